"""Noise: texts as people and machines spoil them without meaning to, typed, misspelt, in other letters.

Imports `data` and below; the rest of `attack`, `serve` and `training` may import it.
"""
