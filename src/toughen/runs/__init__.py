"""A run folder: its files, the handle that reads it, and several runs that answer as one.

Imports from `recipe`, `classifier` and below; every room above may import it, and takes a `FinishedRun`.
"""
