"""The Trainer: the only room that knows the internals of transformers' Trainer.

Imports from `assess` and below; `cost`, `training`, `compare` and `combining` may import it.
"""
