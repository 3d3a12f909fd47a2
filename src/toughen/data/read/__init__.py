"""From a file, a folder or an object in memory to an Arrow table, or one sentence that says what is wrong with it.

Imports from `machine` and the ground; `columns`, `divide`, `tokens` and every room above may import it.
"""
