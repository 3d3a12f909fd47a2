"""How sure a score is: percentile bootstrap over the examples, all resamples at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toughen.arrays import Floats
from toughen.assess.entities import Tagged
from toughen.assess.metrics import Scored
from toughen.assess.multilabel import MultiScored
from toughen.assess.regression import Measured
from toughen.assess.resampled import MULTI, NUMBER, SINGLE, TAGS, Measure, Measures, S
from toughen.statistics.shares import Interval
from toughen.tasks import TaskName

_CELLS = 4_000_000  # resampled examples held at a time, 32 MB as float64
_TABLES: dict[TaskName, Mapping[str, Any]] = {
    "single-label": SINGLE,
    "multi-label": MULTI,
    "regression": NUMBER,
    "tokens": TAGS,
}
MAIN_METRICS: dict[TaskName, tuple[str, ...]] = {
    "single-label": ("accuracy", "f1", "roc_auc"),
    "multi-label": ("f1", "f1_micro", "accuracy"),
    "regression": ("pearson", "spearman", "rmse"),
    "tokens": ("f1", "precision", "recall", "accuracy"),
}
"""The metrics of each task that get an interval unless others are named."""


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
    return task_intervals("single-label", probabilities, labels, metrics, samples, seed, level=level)


def task_intervals(
    task: TaskName,
    outputs: Any,
    labels: Any,
    metrics: Sequence[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
    thresholds: Sequence[float] | None = None,
    *,
    label_names: Sequence[str] | None = None,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Percentile bootstrap intervals of any task's scores, over texts (a sentence's words are drawn together).

    Args:
        task: decides what `outputs` and `labels` are, as for `task_metrics`.
        outputs: of N texts.
        labels: of N texts.
        metrics: of single-label accuracy, f1, roc_auc; multi-label f1, f1_micro, accuracy, roc_auc; regression
            pearson, spearman, mse, rmse, mae; tokens f1, precision, recall, accuracy. None: `MAIN_METRICS`.
        samples: resamples, each of N texts drawn with replacement.
        seed: of the draws; the same seed draws the same texts whatever the task.
        thresholds: as for `task_metrics`; they stay as they are in every resample.
        label_names: tokens' tags; not needed for the other tasks.
        level: mass between the two ends, in (0, 1).

    Returns:
        {metric: (low, high)}, or None for a metric that is undefined in every resample; else as
        `bootstrap_intervals`.

    Raises:
        RuntimeError: if an output is not finite.
        ValueError: if a metric is unknown, `samples` or `level` make no sense, or shapes do not fit the task.
    """
    chosen = MAIN_METRICS[task] if metrics is None else metrics
    _check(task, chosen, samples, level)
    values = task_values(task, outputs, labels, chosen, samples, seed, thresholds, label_names=label_names)
    return {name: _interval(drawn, level) for name, drawn in values.items()}


def bootstrap_values(
    probabilities: ArrayLike, labels: ArrayLike, *, metrics: Sequence[str], samples: int, seed: int
) -> dict[str, Floats]:
    """Each metric on each resample: {metric: [samples] float, NaN where it is undefined}."""
    return task_values("single-label", probabilities, labels, metrics, samples, seed)


def task_values(
    task: TaskName,
    outputs: Any,
    labels: Any,
    metrics: Sequence[str],
    samples: int,
    seed: int,
    thresholds: Sequence[float] | None = None,
    *,
    label_names: Sequence[str] | None = None,
) -> dict[str, Floats]:
    """Each metric on each resample: {metric: [samples] float, NaN where undefined}; arguments of `task_intervals`."""
    n, measures = _measures(task, outputs, labels, thresholds, label_names, metrics)
    if n == 0:
        return {name: np.full(samples, np.nan) for name in metrics}
    parts: dict[str, list[Floats]] = {name: [] for name in metrics}
    for counts in _resamples(n, samples, np.random.default_rng(seed)):
        for name, measure in measures.items():
            parts[name].append(measure(counts))
    return {name: np.concatenate(part) for name, part in parts.items()}


def _measures(
    task: TaskName,
    outputs: Any,
    labels: Any,
    thresholds: Sequence[float] | None,
    names: Sequence[str] | None,
    metrics: Sequence[str],
) -> tuple[int, dict[str, Measure]]:
    """Check the inputs as `task_metrics` does; return the number of texts and the metrics' measures."""
    if task == "single-label":
        threshold = None if thresholds is None else thresholds[0]
        return _of(Scored.of(outputs, labels, names, threshold), SINGLE, metrics)
    if task == "multi-label":
        return _of(MultiScored.of(outputs, labels, names, thresholds), MULTI, metrics)
    if task == "regression":
        return _of(Measured.of(outputs, labels), NUMBER, metrics)
    if names is None:
        raise ValueError("tokens are scored by the names of their tags; give label_names")
    return _of(Tagged.of(outputs, labels, names), TAGS, metrics)


def _of(scored: S, table: Measures[S], metrics: Sequence[str]) -> tuple[int, dict[str, Measure]]:
    return scored.n, {name: table[name](scored) for name in metrics} if scored.n else {}


def _check(task: TaskName, metrics: Sequence[str], samples: int, level: float) -> None:
    known = _TABLES[task]
    unknown = [name for name in metrics if name not in known]
    if unknown:
        raise ValueError(f"no bootstrap for {', '.join(unknown)}; there is one for {', '.join(known)}")
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
