"""Metrics of every task on many resamples at once, from how often each example was drawn.

A measure takes counts [s, N] (s resamples of N examples) and returns values [s], NaN where it is undefined. Nothing but
the counts changes from resample to resample, so most measures are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.assess.definition import Sized
from toughen.assess.entities import Tagged
from toughen.assess.metrics import Scored
from toughen.assess.multilabel import MultiScored
from toughen.assess.regression import Measured

Measure = Callable[[Floats], Floats]
S = TypeVar("S", bound=Sized)
Measures = Mapping[str, Callable[[S], Measure]]


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with NaN where the denominator is 0."""
    undefined = denominator == 0
    return np.where(undefined, np.nan, numerator / np.where(undefined, 1.0, denominator))


def _mean_of(values: NDArray[np.generic]) -> Measure:
    """Average numbers [N]."""
    numbers = values.astype(np.float64)
    return lambda counts: counts @ numbers / len(numbers)


def _macro_f1(labelled: Floats, predicted: Floats) -> Measure:
    """F1 = 2 TP / (examples with the label + examples predicted so), per class of masks [N, K], then their mean."""

    def measure(counts: Floats) -> Floats:
        per_class = _ratio(2 * (counts @ (labelled * predicted)), counts @ (labelled + predicted))  # [s, K]
        return np.asarray(per_class.mean(axis=1))

    return measure


def _auc_of_class(scores: Floats, positive: NDArray[np.bool_]) -> Measure:
    """AUC as P(score of a positive > score of a negative) + half the ties, from weights on groups of equal score."""
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    is_positive = positive[order].astype(np.float64)

    def measure(counts: Floats) -> Floats:
        drawn = counts[:, order]
        up = np.add.reduceat(drawn * is_positive, starts, axis=1)  # [s, G] positives of each score
        down = np.add.reduceat(drawn * (1 - is_positive), starts, axis=1)
        below = np.cumsum(down, axis=1) - down / 2  # negatives that score lower, ties by half
        return _ratio((up * below).sum(axis=1), up.sum(axis=1) * down.sum(axis=1))

    return measure


def _macro_auc(scores: Floats, positive: NDArray[np.bool_]) -> Measure:
    """Average the AUC of columns [N, K]."""
    per_class = [_auc_of_class(column, mask) for column, mask in zip(scores.T, positive.T, strict=True)]
    return lambda counts: np.mean([auc(counts) for auc in per_class], axis=0)


# ---------------------------------------------------------------- one class per text


def _single_f1(s: Scored) -> Measure:
    one_hot = np.eye(s.classes)[:, s.averaged]  # [C, classes averaged]
    return _macro_f1(one_hot[s.labels], one_hot[s.predictions])


def _single_auc(s: Scored) -> Measure:
    ids = np.flatnonzero(s.averaged)
    return _macro_auc(s.scores[:, ids], s.labels[:, None] == ids)


SINGLE: Measures[Scored] = {
    "accuracy": lambda s: _mean_of(s.predictions == s.labels),
    "f1": _single_f1,
    "roc_auc": _single_auc,
}


# ---------------------------------------------------------------- any number of labels


def _f1_micro(s: MultiScored) -> Measure:
    right = (s.labels & s.predictions).sum(axis=1).astype(np.float64)
    either = (s.labels + s.predictions).sum(axis=1).astype(np.float64)
    return lambda counts: _ratio(2 * (counts @ right), counts @ either)


MULTI: Measures[MultiScored] = {
    "f1": lambda s: _macro_f1(s.labels.astype(np.float64), s.predictions.astype(np.float64)),
    "f1_micro": _f1_micro,
    "accuracy": lambda s: _mean_of((s.labels == s.predictions).all(axis=1)),
    "roc_auc": lambda s: _macro_auc(s.probabilities, s.labels == 1),
}


# ---------------------------------------------------------------- a number


def _mean_square(s: Measured) -> Measure:
    return _mean_of((s.values - s.labels) ** 2)


def _pearson(s: Measured) -> Measure:
    # Centred on the whole sample, so that the products of a resample lose no digits to large means.
    x, y = s.values - s.values.mean(), s.labels - s.labels.mean()
    powers = np.stack([x, y, x * x, y * y, x * y], axis=1)  # [N, 5]

    def measure(counts: Floats) -> Floats:
        mean_x, mean_y, xx, yy, xy = (counts @ powers / s.n).T
        spread = np.sqrt(np.maximum(xx - mean_x**2, 0) * np.maximum(yy - mean_y**2, 0))
        varied = _varies(counts, x) & _varies(counts, y)
        return _ratio(xy - mean_x * mean_y, np.where(varied, spread, 0.0))

    return measure


def _varies(counts: Floats, values: Floats) -> NDArray[np.bool_]:
    """Say of each resample whether it drew two different values: [s]. Rounding hides that in a variance."""
    drawn = counts > 0
    highest = np.where(drawn, values, -np.inf).max(axis=1)
    return np.asarray(highest > np.where(drawn, values, np.inf).min(axis=1))


def _spearman(s: Measured) -> Measure:
    ranks_x, ranks_y = _ranks_of(s.values), _ranks_of(s.labels)

    def measure(counts: Floats) -> Floats:
        x, y = ranks_x(counts), ranks_y(counts)
        spread = np.sqrt((counts * x * x).sum(axis=1) * (counts * y * y).sum(axis=1))
        return _ratio((counts * x * y).sum(axis=1), spread)

    return measure


def _ranks_of(values: Floats) -> Measure:
    """Rank values [N] anew in each resample: [s, N], minus the mean rank; equal values share their mean rank."""
    order = np.argsort(values, kind="stable")
    _, starts, group = np.unique(values[order], return_index=True, return_inverse=True)
    group_of = np.empty(len(values), dtype=np.int64)
    group_of[order] = group

    def measure(counts: Floats) -> Floats:
        size = np.add.reduceat(counts[:, order], starts, axis=1)  # [s, G]
        ranks = np.cumsum(size, axis=1) - size / 2  # mean rank - 1/2
        return np.asarray((ranks - len(values) / 2)[:, group_of])

    return measure


def _root_mean_square(s: Measured) -> Measure:
    mean = _mean_square(s)
    return lambda counts: np.asarray(np.sqrt(mean(counts)))


NUMBER: Measures[Measured] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "mse": _mean_square,
    "rmse": _root_mean_square,
    "mae": lambda s: _mean_of(abs(s.values - s.labels)),
}


# ---------------------------------------------------------------- a tag per word


def _entity_f1(s: Tagged) -> Measure:
    right, predicted, labelled = _entities(s)
    return lambda counts: _ratio(2 * (counts @ right), counts @ (predicted + labelled))


def _entity_share(column: int) -> Callable[[Tagged], Measure]:
    def of(s: Tagged) -> Measure:
        found = _entities(s)
        return lambda counts: _ratio(counts @ found[0], counts @ found[column])

    return of


def _entities(s: Tagged) -> Floats:
    """[3, N] entities of each text: right, predicted, labelled."""
    return np.asarray(s.counts.sum(axis=1).T, dtype=np.float64)


def _word_accuracy(s: Tagged) -> Measure:
    right, words = s.words.T.astype(np.float64)
    return lambda counts: _ratio(counts @ right, counts @ words)


TAGS: Measures[Tagged] = {
    "f1": _entity_f1,
    "precision": _entity_share(1),
    "recall": _entity_share(2),
    "accuracy": _word_accuracy,
}
