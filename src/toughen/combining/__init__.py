"""Combine: several finished runs into one, by their outputs, by their weights, or by teaching one model."""
