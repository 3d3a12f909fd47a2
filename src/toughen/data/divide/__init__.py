"""Train, validation, test and folds: who learns from which rows."""
