"""Reports as one HTML file each, and the model card.

Imports from `attack`, `assess` and below; whatever finishes something may import `write`, which needs no extra.
"""
