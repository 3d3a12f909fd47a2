"""The one core that answers texts: windows, pairs, tags, temperatures, thresholds.

Imports from `model` and below; `core` and `answers` load no torch. Every room that asks a model may import it.
"""
