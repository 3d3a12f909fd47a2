"""Is the difference real, which part made it, and which settings are best: compare, ablate, search.

Imports from `cost`, `huggingface` and below, not from `training`: trainings run in processes of their own.
The command may import it.
"""
