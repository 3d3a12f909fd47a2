"""The scores of a run as tables: by split, and beside simple models on the same texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toughen.report.page import Table
from toughen.report.sentences import name_metric, number, scores

_TOLD = (("test", "test"), ("out_of_fold", "out-of-fold"), ("held_out", "held-out"), ("validation", "validation"))
"""Which split counts, by key and name: the first that was scored."""
_SIMPLE = {"frozen": "frozen + linear", "words": "TF-IDF + linear", "majority": "majority"}
"""The simple models in the order of their columns."""


def headline(metrics: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return what counts: the test split, else out of fold, else validation; None where nothing was scored."""
    for key, name in _TOLD:
        if metrics.get(key):
            return name, metrics[key]
    return None


def score_table(metrics: Mapping[str, Any]) -> Table:
    """Show the scores on the split that counts, of simple models on the same texts, and on the other splits."""
    columns: dict[str, Mapping[str, Any]] = {}
    for key, split in _TOLD:
        if not metrics.get(key):
            continue
        columns[f"this model, {split}"] = metrics[key]
        if len(columns) == 1:
            simple = (metrics.get("baselines") or {}).get(key) or {}
            columns |= {name: simple[kind] for kind, name in _SIMPLE.items() if kind in simple}
    names = dict.fromkeys(name for split in columns.values() for name in scores(split))
    rows = [(name_metric(name), *(number(split.get(name), 4) for split in columns.values())) for name in names]
    texts = ("texts", *(number(split.get("n")) for split in columns.values()))
    alone = not any(name in columns for name in _SIMPLE.values())
    caption = "Scores of the saved model" if alone else "Scores beside simple models on the same texts"
    return Table(caption, ("score", *columns), [texts, *rows], narrow=True)
