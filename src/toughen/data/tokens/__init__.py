"""Texts to token ids, kept on disk."""
