"""Combine: several finished runs into one, by their outputs, by their weights, or by teaching one model.

Stands above `run`, because what it returns is a `Run`; the command may import it.
"""
