"""The Trainer: the only room that knows the internals of transformers' Trainer."""
