"""Can a model tell texts of another kind from its own? AUROC of two scores that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from toughen.arrays import Floats
from toughen.errors import InputError
from toughen.statistics.bootstrap import percentile_interval, resamples

SCORES: Mapping[str, str] = {
    "max_softmax": "highest probability (Hendrycks and Gimpel, 1610.02136)",
    "energy": "log of the sum of exp(logits) (Liu et al., 2010.03759); of several labels the sum over labels of "
    "log(1 + exp(logit)) (Wang et al., 2111.12797)",
}


def novelty(classifier: Any, rows: Any, others: Any, *, samples: int, seed: int, batch_size: int) -> dict[str, Any]:
    """Score how well confidence separates the data from out-of-distribution texts.

    Args:
        classifier: single-label or multi-label.
        rows: N texts of the model's own kind.
        others: M texts of another kind, without labels.
        samples: bootstrap resamples of both sets.
        seed: of the resamples.
        batch_size: texts per pass.

    Returns:
        n, n_ood, and of each score auroc (the chance that a text of the model's own kind scores higher, ties by half;
        0.5 is chance) with its interval.

    Raises:
        InputError: if the task is another one.
    """
    if classifier.task not in ("single-label", "multi-label"):
        raise InputError(
            f"--ood is for single-label and multi-label, but the model does {classifier.task}; leave it out."
        )
    own, foreign = (_scores(classifier, part, batch_size) for part in (rows, others))
    result: dict[str, Any] = {"n": len(rows), "n_ood": len(others)}
    for name in SCORES:
        value = auroc(own[name], foreign[name])
        result[name] = {"auroc": value, "interval": _interval(own[name], foreign[name], samples, seed)}
    return result


def _scores(classifier: Any, rows: Any, batch_size: int) -> dict[str, Floats]:
    probabilities = classifier.probabilities(rows, batch_size=batch_size)
    logits = classifier.logits(rows, batch_size=batch_size)
    several = classifier.task == "multi-label"
    energy = np.logaddexp(0, logits).sum(axis=1) if several else np.logaddexp.reduce(logits, axis=1)
    return {"max_softmax": probabilities.max(axis=1), "energy": energy}


def auroc(own: Floats, foreign: Floats) -> float:
    """Return the share of pairs in which the first kind scores higher, ties by half."""
    return float(_auroc(own, foreign, np.ones((1, len(own))), np.ones((1, len(foreign))))[0])


def _auroc(own: Floats, foreign: Floats, own_counts: Floats, foreign_counts: Floats) -> Floats:
    """Return [s] of resamples of both kinds [s, N] and [s, M]."""
    values, group = np.unique(np.concatenate([own, foreign]), return_inverse=True)
    group = group.reshape(-1)
    up, down = (
        _sum_by_group(counts, ids, len(values))
        for counts, ids in ((own_counts, group[: len(own)]), (foreign_counts, group[len(own) :]))
    )
    below = np.cumsum(down, axis=1) - down / 2
    return np.asarray((up * below).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1)))


def _sum_by_group(counts: Floats, ids: Any, groups: int) -> Floats:
    """Sum columns [s, N] by group: [s, G]."""
    order = np.argsort(ids, kind="stable")
    found = np.zeros((len(counts), groups))
    present, starts = np.unique(ids[order], return_index=True)
    found[:, present] = np.add.reduceat(counts[:, order], starts, axis=1)
    return found


def _interval(own: Floats, foreign: Floats, samples: int, seed: int) -> Any:
    """Resample both sets, each by itself."""
    size = len(own) + len(foreign)
    # Seeds differ, or sets of one size would be drawn alike.
    draws = zip(
        resamples(len(own), samples, seed, cells=size),
        resamples(len(foreign), samples, seed + 1, cells=size),
        strict=True,
    )
    return percentile_interval(np.concatenate([_auroc(own, foreign, a, b) for a, b in draws]))
