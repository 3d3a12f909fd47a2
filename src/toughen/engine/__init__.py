"""The training step: knows torch, not transformers' Trainer."""
