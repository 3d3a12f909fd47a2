"""One line that says a score beside what simple models get on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

BASELINES = {
    "majority": "no reading at all",
    "words": "TF-IDF + linear model",
    "frozen": "frozen encoder + linear model",
}
"""What the simple models of ``metrics.json`` are called."""
HEADLINE = ("accuracy", "f1", "pearson")
"""The metric that a line names: the first that the task has."""


def headlines(baselines: Mapping[str, Any], scores: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield a line per split, such as "test accuracy: 0.930; TF-IDF + linear model 0.770".

    Args:
        baselines: ``baselines`` of ``metrics.json``: metrics by split and simple model; empty where nothing was probed.
        scores: the run's own metrics by split; None before it is trained.
    """
    for split, found in baselines.items():
        own = None if scores is None else scores.get(split) or {}
        metric = next((name for name in HEADLINE if any(name in values for values in found.values())), None)
        if metric is None or (own is not None and own.get(metric) is None):
            continue
        said = [f"{words} {found[kind][metric]:.3f}" for kind, words in BASELINES.items() if _has(found, kind, metric)]
        yield f"{split.replace('_', ' ')} {metric}: " + "; ".join(
            ([] if own is None else [f"{own[metric]:.3f}"]) + [", ".join(said)]
        )


def _has(found: Mapping[str, Any], kind: str, metric: str) -> bool:
    return found.get(kind, {}).get(metric) is not None
