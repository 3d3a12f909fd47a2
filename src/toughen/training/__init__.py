"""One training: from a recipe and checked data to a run folder, its folds, its teacher, its fresh examples.

Imports from `report`, `cost`, `attack` and below; `run` and `combining` may import it.
"""
