"""Scores where a text's label is a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toughen.arrays import Floats
from toughen.assess.definition import Metrics, Rule, apply_rules, checked_weights, nothing, refuse_non_finite

_NEARLY_CONSTANT = 1e-13  # spread relative to the mean below which float64's rounding would be correlated


def regression_metrics(values: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> Metrics:
    """Score predicted numbers.

    Args:
        values: [N] float, what the model predicted.
        labels: [N] float or int.
        weights: [N] above 0, what each example counts for; None = all alike.

    Returns:
        pearson and spearman (correlations in [-1, 1]; ties get their mean rank), mse, rmse and mae (in the labels'
        unit, mse squared), r2 (1 - mse / variance of the labels; below 0 is worse than their mean), n and undefined.

    Raises:
        RuntimeError: if a value is not finite: the model is at fault.
        ValueError: if shapes do not fit or a label is not finite.
    """
    return apply_rules(Measured.of(values, labels, weights), _RULES)


@dataclass(frozen=True)
class Measured:
    """Checked inputs: values and labels [N] float64, and what each example counts for, if not all count alike."""

    values: Floats
    labels: Floats
    weights: Floats | None = None

    @classmethod
    def of(cls, values: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Measured:
        """Check and convert; raises as `regression_metrics` says."""
        x, y = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"values and labels must both have shape [N], got {list(x.shape)} and {list(y.shape)}")
        refuse_non_finite(x)
        if not np.isfinite(y).all():
            raise ValueError("a label is not a finite number")
        return cls(x, y, checked_weights(weights, len(x)))

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.labels)


def is_constant(values: Floats) -> bool:
    """Say whether numbers differ by no more than float64's rounding of them."""
    return bool(np.ptp(values) <= _NEARLY_CONSTANT * abs(values.mean()))


def _constant(s: Measured) -> str | None:
    if s.n == 1:
        return "there is one example, and a correlation takes two"
    for what, values in (("label", s.labels), ("prediction", s.values)):
        if is_constant(values):
            return f"every {what} is {values[0]:.6g}, and a constant correlates with nothing"
    return None


def _constant_labels(s: Measured) -> str | None:
    constant = is_constant(s.labels)
    return f"every label is {s.labels[0]:.6g}, so there is no variance to explain" if constant else None


def _pearson(s: Measured) -> float:
    from scipy.stats import pearsonr

    if s.weights is None:
        return float(pearsonr(s.values, s.labels).statistic)
    return _correlation(s.values, s.labels, s.weights)


def _spearman(s: Measured) -> float:
    from scipy.stats import spearmanr

    if s.weights is None:
        return float(spearmanr(s.values, s.labels).statistic)
    return _correlation(_ranks(s.values, s.weights), _ranks(s.labels, s.weights), s.weights)


def _correlation(x: Floats, y: Floats, weights: Floats) -> float:
    covariance = np.cov(x, y, aweights=weights)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Return the mean rank of each value, where a row of weight 2 is two rows: what lies below, and half of its tie."""
    _, where = np.unique(values, return_inverse=True)
    sizes = np.bincount(where, weights=weights)
    return np.asarray((np.cumsum(sizes) - sizes / 2)[where])


def _mean(s: Measured, values: Floats) -> float:
    return float(np.average(values, weights=s.weights))


def _mse(s: Measured) -> float:
    return _mean(s, (s.values - s.labels) ** 2)


_RULES: dict[str, Rule[Measured]] = {
    "pearson": (_constant, _pearson),
    "spearman": (_constant, _spearman),
    "mse": (nothing, _mse),
    "rmse": (nothing, lambda s: float(np.sqrt(_mse(s)))),
    "mae": (nothing, lambda s: _mean(s, np.abs(s.values - s.labels))),
    "r2": (_constant_labels, lambda s: 1 - _mse(s) / _mean(s, (s.labels - _mean(s, s.labels)) ** 2)),
}
