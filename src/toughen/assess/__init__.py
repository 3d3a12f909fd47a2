"""Scores of a trained classifier: metrics, intervals, noise, and the probabilities they are computed from."""
