"""A recipe: four slots and the training settings, read from YAML, flags or Python."""
