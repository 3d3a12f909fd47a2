"""What a recipe's step costs in passes, operations, memory and time: predicted, and measured beside it.

Imports from `huggingface` and below; `training`, `compare` and the command may import it.
"""
