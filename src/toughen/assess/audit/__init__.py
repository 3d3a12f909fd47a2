"""What training rows are worth a look: wrong labels, copies, outliers, classes that overlap.

Imports from `assess` and below: `audit` asks a run in folds, `findings` puts together what the other modules find in
arrays and texts, `files` writes it.
"""
