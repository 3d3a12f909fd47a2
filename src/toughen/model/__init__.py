"""The model: heads, adapters, layer groups, and loading a saved one.

Imports from `engine` and below; every room above may import it, its two configs without torch.
"""
