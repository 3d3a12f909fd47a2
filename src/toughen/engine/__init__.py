"""The training step: objective, adversary, average, and the one place that reduces and back-propagates.

Knows torch, not transformers' Trainer; imports from `machine` and the ground. Every room above may import it.
"""
