"""Metrics of every task on many resamples at once, from how often each example was drawn.

Nothing but the counts changes from resample to resample, so most measures are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.assess.definition import Sized
from toughen.assess.entities import Tagged
from toughen.assess.metrics import Scored
from toughen.assess.multilabel import MultiScored
from toughen.assess.regression import Measured
from toughen.statistics.bootstrap import Measure

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


def _macro_share(part: Floats, whole: Floats, counts: Floats) -> Floats:
    """Return [s] the mean over classes of sums of part [N, K] over sums of whole; NaN if one of them is 0 / 0."""
    return np.asarray(_ratio(counts @ part, counts @ whole).mean(axis=1))


def _share(part: Floats, whole: Floats, counts: Floats) -> Floats:
    return _ratio(counts @ part, counts @ whole)


# ---------------------------------------------------------------- one class per text


def _single_f1(s: Scored) -> Measure:
    one_hot = np.eye(s.classes)[:, s.averaged]  # [C, classes averaged]
    return _macro_f1(one_hot[s.labels], one_hot[s.predictions])


def _single_auc(s: Scored) -> Measure:
    ids = np.flatnonzero(s.averaged)
    return _macro_auc(s.scores[:, ids], s.labels[:, None] == ids)


def _one_hot(s: Scored, *, averaged: bool = False) -> tuple[Floats, Floats]:
    """Return the labels and the predictions as masks [N, C], or of the classes that are averaged."""
    classes = np.eye(s.classes)[:, s.averaged] if averaged else np.eye(s.classes)
    return classes[s.labels], classes[s.predictions]


def _single_precision(s: Scored) -> Measure:
    true, said = _one_hot(s, averaged=True)
    return partial(_macro_share, true * said, said)


def _single_recall(s: Scored) -> Measure:
    true, said = _one_hot(s, averaged=True)
    return partial(_macro_share, true * said, true)


def _precision_weighted(s: Scored) -> Measure:
    true, said = _one_hot(s)
    return partial(_support_average, true, true * said, said)


def _f1_weighted(s: Scored) -> Measure:
    true, said = _one_hot(s)
    return partial(_support_average, true, 2 * true * said, true + said)


def _support_average(true: Floats, part: Floats, whole: Floats, counts: Floats) -> Floats:
    """Average shares per class by support; a class without support has no weight."""
    support, shares = counts @ true, _ratio(counts @ part, counts @ whole)
    return np.asarray(np.where(support > 0, shares * support, 0.0).sum(axis=1) / counts.sum(axis=1))


def _mcc(true: Floats, said: Floats, counts: Floats) -> Floats:
    """Matthews correlation of C classes (Gorodkin's R_K), as scikit-learn has it."""
    n, right = counts.sum(axis=1), (counts @ (true * said)).sum(axis=1)
    t, p = counts @ true, counts @ said
    spread = (n**2 - (p**2).sum(axis=1)) * (n**2 - (t**2).sum(axis=1))
    return _ratio(right * n - (t * p).sum(axis=1), np.sqrt(spread))


def _accuracy(s: Scored) -> Measure:
    return _mean_of(s.predictions == s.labels)


SINGLE: Measures[Scored] = {
    "accuracy": _accuracy,
    "f1": _single_f1,
    "roc_auc": _single_auc,
    "precision": _single_precision,
    "recall": _single_recall,
    "mcc": lambda s: partial(_mcc, *_one_hot(s)),
}
WEIGHTED: Measures[Scored] = {
    "recall_weighted": _accuracy,  # the same number by definition
    "precision_weighted": _precision_weighted,
    "f1_weighted": _f1_weighted,
}
"""Beside `SINGLE` where there are more than two classes."""


# ---------------------------------------------------------------- any number of labels


def _f1_micro(s: MultiScored) -> Measure:
    right = (s.labels & s.predictions).sum(axis=1).astype(np.float64)
    either = (s.labels + s.predictions).sum(axis=1).astype(np.float64)
    return lambda counts: _ratio(2 * (counts @ right), counts @ either)


def _masks(s: MultiScored) -> tuple[Floats, Floats]:
    """Return the labels and the predictions [N, K] of 0 and 1."""
    return s.labels.astype(np.float64), s.predictions.astype(np.float64)


def _multi_precision(s: MultiScored) -> Measure:
    true, said = _masks(s)
    return partial(_macro_share, true * said, said)


def _multi_recall(s: MultiScored) -> Measure:
    true, said = _masks(s)
    return partial(_macro_share, true * said, true)


def _mean(values: Floats, counts: Floats) -> Floats:
    return np.asarray(counts @ values / counts.sum(axis=1))


def _f1_by_support(true: Floats, said: Floats, counts: Floats) -> Floats:
    support = counts @ true
    shares = np.nan_to_num(_ratio(2 * (counts @ (true * said)), counts @ (true + said)))
    return _ratio((shares * support).sum(axis=1), support.sum(axis=1))


def _precision_of_label(scores: Floats, positive: NDArray[np.bool_]) -> Measure:
    """Sum over falling scores of (rise of recall) x precision, equal scores together."""
    order = np.argsort(-scores, kind="stable")
    _, starts = np.unique(-scores[order], return_index=True)
    is_positive = positive[order].astype(np.float64)

    def measure(counts: Floats) -> Floats:
        drawn = counts[:, order]
        up = np.add.reduceat(drawn * is_positive, starts, axis=1)
        seen = np.cumsum(np.add.reduceat(drawn, starts, axis=1), axis=1)
        precision = np.nan_to_num(_ratio(np.cumsum(up, axis=1), seen))
        return _ratio((up * precision).sum(axis=1), up.sum(axis=1))

    return measure


def _average_precision(s: MultiScored) -> Measure:
    each = [_precision_of_label(p, y == 1) for p, y in zip(s.probabilities.T, s.labels.T, strict=True)]
    return lambda counts: np.mean([measure(counts) for measure in each], axis=0)


MULTI: Measures[MultiScored] = {
    "f1": lambda s: _macro_f1(s.labels.astype(np.float64), s.predictions.astype(np.float64)),
    "f1_micro": _f1_micro,
    "accuracy": lambda s: _mean_of((s.labels == s.predictions).all(axis=1)),
    "roc_auc": lambda s: _macro_auc(s.probabilities, s.labels == 1),
    "precision": _multi_precision,
    "recall": _multi_recall,
    "f1_weighted": lambda s: partial(_f1_by_support, *_masks(s)),
    "hamming_loss": lambda s: partial(_mean, (s.labels != s.predictions).mean(axis=1)),
    "average_precision": _average_precision,
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


def _r2(s: Measured, counts: Floats) -> Floats:
    y = s.labels - s.labels.mean()
    mse, mean, square = (counts @ np.stack([(s.values - s.labels) ** 2, y, y * y], axis=1) / s.n).T
    varied = np.where(counts > 0, y, -np.inf).max(axis=1) > np.where(counts > 0, y, np.inf).min(axis=1)
    return 1 - _ratio(mse, np.where(varied, square - mean**2, 0.0))


NUMBER: Measures[Measured] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "mse": _mean_square,
    "rmse": _root_mean_square,
    "mae": lambda s: _mean_of(abs(s.values - s.labels)),
    "r2": lambda s: partial(_r2, s),
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


def type_f1(s: Tagged, position: int) -> Measure:
    """Measure the F1 of the entities of one type of `Tagged.types`."""
    right, predicted, labelled = s.counts[:, position].T.astype(np.float64)
    return partial(_share, 2 * right, predicted + labelled)
