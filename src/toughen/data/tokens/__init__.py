"""Texts to token ids, cut or in windows, kept on disk.

Imports from `columns`, `read` and the ground; every room above may import it.
"""
