"""What a recipe's step costs in passes, operations, memory and time: predicted, and measured beside it."""
