"""Bulk prediction: files of any size, in constant memory, by several processes, continued where they were stopped.

Imports from `deploy` and `runs` and below; the command may import it.
"""
