"""Train, validation, test and folds: who learns from which rows, and what the parts have in common.

Imports from `columns`, `read` and the ground; every room above may import it.
"""
