"""The model: heads, adapters, layer groups, and loading a saved one."""
