"""Scores of a trained classifier: metrics, intervals, calibration, slices, mistakes, novelty.

Imports from `runs` and below; whatever reports or compares scores may import it.
"""
