"""From a file, a folder or an object in memory to an Arrow table."""
