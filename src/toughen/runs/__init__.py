"""A run folder: its files, the handle that reads it, and several runs that answer as one."""
