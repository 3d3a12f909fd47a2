"""A recipe: four slots and the training settings, read from YAML, flags or Python.

Imports the parts that it declares from `model`, `engine`, `data`; every room above may import it.
"""
