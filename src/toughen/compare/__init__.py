"""Is the difference real, which part made it, and which settings are best: compare, ablate, search."""
