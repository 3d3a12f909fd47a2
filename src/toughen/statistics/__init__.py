"""Resamples, intervals, seeds, shares: one bootstrap for every metric and every command."""
