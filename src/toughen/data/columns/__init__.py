"""Which column is what, and labels of every kind."""
