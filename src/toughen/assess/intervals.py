"""How sure a score is: percentile bootstrap over the examples, all resamples at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toughen.assess.metrics import Scored

Floats = NDArray[np.float64]

_CELLS = 4_000_000  # resampled examples held at a time, 32 MB as float64


class Interval(tuple[float, float]):
    """(low, high), a pair that also knows how many resamples were `skipped` because the metric was undefined there."""

    skipped: int

    def __new__(cls, low: float, high: float, skipped: int = 0) -> Self:
        """Build the pair."""
        pair = super().__new__(cls, (low, high))
        pair.skipped = skipped
        return pair


def bootstrap_intervals(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    metrics: Sequence[str] = ("accuracy", "f1", "roc_auc"),
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Percentile bootstrap intervals of scores, over examples.

    The interval speaks of other texts like these, not of other training seeds. A resample where a metric is undefined
    (no positives drawn, say) is skipped for that metric and counted in `Interval.skipped`.

    Args:
        probabilities: [N, C] float, rows sum to 1.
        labels: [N] int, ids in 0..C-1.
        metrics: of accuracy, f1, roc_auc, as `classification_metrics` defines them.
        samples: resamples, each of N examples drawn with replacement.
        seed: of the draws; the same seed gives the same intervals.
        level: mass between the two ends, in (0, 1).

    Returns:
        {metric: (low, high)}, or None for a metric that is undefined in every resample.

    Raises:
        RuntimeError: if a probability is not finite.
        ValueError: if a metric is unknown, or `samples` or `level` make no sense.
    """
    _check(metrics, samples, level)
    values = bootstrap_values(probabilities, labels, metrics=metrics, samples=samples, seed=seed)
    return {name: _interval(drawn, level) for name, drawn in values.items()}


def bootstrap_values(
    probabilities: ArrayLike, labels: ArrayLike, *, metrics: Sequence[str], samples: int, seed: int
) -> dict[str, Floats]:
    """Each metric on each resample: {metric: [samples] float, NaN where it is undefined}."""
    scored = Scored.of(probabilities, labels)
    measures = {name: _MEASURES[name](scored) for name in metrics}
    parts: dict[str, list[Floats]] = {name: [] for name in metrics}
    if scored.n == 0:
        return {name: np.full(samples, np.nan) for name in metrics}
    for counts in _resamples(scored.n, samples, np.random.default_rng(seed)):
        for name, measure in measures.items():
            parts[name].append(measure(counts))
    return {name: np.concatenate(part) for name, part in parts.items()}


def _check(metrics: Sequence[str], samples: int, level: float) -> None:
    unknown = [name for name in metrics if name not in _MEASURES]
    if unknown:
        raise ValueError(f"no bootstrap for {', '.join(unknown)}; there is one for {', '.join(_MEASURES)}")
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"samples must be at least 1 and level in (0, 1), got {samples} and {level}")


def _interval(drawn: Floats, level: float) -> Interval | None:
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), len(drawn) - len(defined))


def _resamples(n: int, samples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield blocks [s, N] of how often each example was drawn, few enough rows at a time to bound the memory."""
    rows = max(1, min(samples, _CELLS // n))
    for start in range(0, samples, rows):
        block = min(rows, samples - start)
        drawn = rng.integers(n, size=(block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(np.float64)


_Measure = Callable[[Floats], Floats]  # counts [s, N] -> values [s]


def _accuracy(scored: Scored) -> _Measure:
    right = (scored.predictions == scored.labels).astype(np.float64)
    return lambda counts: counts @ right / scored.n


def _f1(scored: Scored) -> _Measure:
    """F1 = 2 TP / (examples with the label + examples predicted so), per class, from resampled counts."""
    one_hot = np.eye(scored.classes)[:, 1:] if scored.classes == 2 else np.eye(scored.classes)  # [C, classes averaged]
    labelled, predicted = one_hot[scored.labels], one_hot[scored.predictions]  # [N, classes averaged]

    def measure(counts: Floats) -> Floats:
        per_class = _ratio(2 * (counts @ (labelled * predicted)), counts @ (labelled + predicted))  # [s, averaged]
        return np.asarray(per_class.mean(axis=1))

    return measure


def _roc_auc(scored: Scored) -> _Measure:
    ids = [1] if scored.classes == 2 else range(scored.classes)
    per_class = [_auc_of_class(scored.probabilities[:, i], scored.labels == i) for i in ids]
    return lambda counts: np.mean([auc(counts) for auc in per_class], axis=0)


def _auc_of_class(scores: Floats, positive: NDArray[np.bool_]) -> _Measure:
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


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with NaN where the denominator is 0."""
    undefined = denominator == 0
    return np.where(undefined, np.nan, numerator / np.where(undefined, 1.0, denominator))


_MEASURES: dict[str, Callable[[Scored], _Measure]] = {"accuracy": _accuracy, "f1": _f1, "roc_auc": _roc_auc}
