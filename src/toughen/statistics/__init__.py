"""Resamples, intervals, seeds, shares: one bootstrap for every metric and every command.

Imports from the ground alone; every room may import it.
"""
