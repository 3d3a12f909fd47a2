"""Which column is what, labels of every kind, and rows that cannot be used.

Imports from `read` and the ground; `divide`, `tokens` and every room above may import it.
"""
