"""A run folder as files: what it holds, and whether it is complete."""

from __future__ import annotations

from pathlib import Path

from toughen.files.manifest import is_sealed

RECIPE, METRICS, MODEL, HASHES = "recipe.yaml", "metrics.json", "model", "train_hashes.npy"
FOLDS, PSEUDO, CHOSEN = "folds.json", "pseudo.json", "pseudo.parquet"
OUT_OF_FOLD, SUBMISSION = "oof.parquet", "submission.csv"
COMBINATION, COMBINATION_FORMAT = "combination.json", 1
PROBE = "probe.json"
MISTAKES = "mistakes.json"
ABSTENTION = "abstention.json"
BEFORE_RECIPE = (FOLDS, PSEUDO, CHOSEN, PROBE, COMBINATION)
"""What may be written before the recipe, with which a run begins."""


def is_complete(folder: Path) -> bool:
    """Whether nothing at all is missing in a run folder, report and model card among it: its manifest comes last."""
    return (folder / METRICS).exists() and is_sealed(folder)
