"""How sure a score is: the bootstrap interval of every metric over the texts, all resamples at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from toughen.arrays import Floats
from toughen.assess.calibration import calibration, decisions, mean, measures
from toughen.assess.entities import Tagged
from toughen.assess.metrics import Scored, task_metrics
from toughen.assess.multilabel import MultiScored
from toughen.assess.regression import Measured
from toughen.assess.resampled import MULTI, NUMBER, SINGLE, TAGS, WEIGHTED, type_f1
from toughen.classifier.tags import entity_types
from toughen.statistics.bootstrap import SAMPLES, Interval, Measure, percentile_interval, resample_measures
from toughen.tasks import TaskName

MAIN_METRICS: dict[TaskName, tuple[str, ...]] = {
    "single-label": ("accuracy", "f1", "roc_auc"),
    "multi-label": ("f1", "f1_micro", "accuracy"),
    "regression": ("pearson", "spearman", "rmse"),
    "tokens": ("f1", "precision", "recall", "accuracy"),
}
"""The metrics of each task that are compared, and shown of slices, unless others are named."""


def metric_intervals(
    task: TaskName,
    outputs: Any,
    labels: Any,
    label_names: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Percentile bootstrap intervals of any task's scores, over texts (a sentence's words are drawn together).

    An interval speaks of other texts like these, not of other training seeds. A resample where a metric is undefined
    (no positives drawn, say) is skipped for that metric and counted in `Interval.skipped`.

    Args:
        task: decides what ``outputs`` and ``labels`` are, as for `task_metrics`.
        outputs: of N texts.
        labels: of N texts.
        label_names: as for `task_metrics`.
        thresholds: as for `task_metrics`; they stay as they are in every resample.
        metrics: of `resampled_metrics`; None is all of them.
        samples: resamples, each of N texts drawn with replacement.
        seed: of the draws; the same seed draws the same texts whatever the task and the metrics.
        level: mass between the two ends, in (0, 1).

    Returns:
        {metric: (low, high)}, or None for a metric that is undefined in every resample.

    Raises:
        RuntimeError: if an output is not finite.
        ValueError: if a metric is unknown, ``samples`` or ``level`` make no sense, or shapes do not fit the task.
    """
    values = metric_values(task, outputs, labels, label_names, thresholds, metrics=metrics, samples=samples, seed=seed)
    return {name: percentile_interval(drawn, level) for name, drawn in values.items()}


def metric_values(
    task: TaskName,
    outputs: Any,
    labels: Any,
    label_names: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, Floats]:
    """Return {metric: [samples] its value on each resample, NaN where undefined}; arguments of `metric_intervals`."""
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    found, n, cells = _measures(task, outputs, labels, label_names, thresholds, metrics)
    values = {name: np.full(samples, np.nan) for name in found}
    known = {name: measure for name, measure in found.items() if measure is not None}
    return values | (resample_measures(known, n, samples=samples, seed=seed, cells=cells) if known else {})


def metric_points(
    task: TaskName,
    outputs: Any,
    labels: Any,
    label_names: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Return what `task_metrics` returns and, of every metric that has an interval, the value beside it."""
    points: dict[str, Any] = dict(task_metrics(task, outputs, labels, label_names, thresholds))
    if task != "regression":
        told = calibration(decisions(task, outputs, labels, thresholds))
        points |= {name: told.get(name) for name in resampled_metrics(task, label_names) if name not in points}
    return points


def resampled_metrics(task: TaskName, names: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that can be resampled, of a task with these labels."""
    return (*_makers(task, names), *_of_decisions(task))


def _measures(
    task: TaskName,
    outputs: Any,
    labels: Any,
    names: Sequence[str] | None,
    thresholds: Sequence[float] | None,
    wanted: Sequence[str] | None = None,
) -> tuple[dict[str, Measure | None], int, int]:
    """Return measures by name, the number of texts, and of numbers that they hold per resample.

    Arguments are those of `task_metrics`; ``wanted`` are metrics of `resampled_metrics`, all by default. A measure is
    None where there is nothing to measure.

    Raises:
        ValueError: if a metric is unknown, or shapes do not fit the task.
    """
    scored = _check_inputs(task, outputs, labels, names, thresholds)
    makers, of_decisions = _makers(task, getattr(scored, "names", ())), _of_decisions(task)
    chosen = (*makers, *of_decisions) if wanted is None else tuple(wanted)
    unknown = [name for name in chosen if name not in makers and name not in of_decisions]
    if unknown:
        known = ", ".join((*makers, *of_decisions))
        raise ValueError(f"no bootstrap for {', '.join(unknown)}; there is one for {known}")
    if not scored.n:
        return dict.fromkeys(chosen), 0, 0
    table: dict[str, Measure] = {name: makers[name](scored) for name in chosen if name in makers}
    cells = scored.n
    if set(chosen) & set(of_decisions):
        decided = decisions(task, outputs, labels, thresholds)
        table |= measures(decided) | {"log_loss": partial(mean, decided, decided.loss)}
        cells = len(decided.confidence)
    return {name: table.get(name) for name in chosen}, scored.n, cells


def _check_inputs(
    task: TaskName, outputs: Any, labels: Any, names: Sequence[str] | None, thresholds: Sequence[float] | None
) -> Any:
    """Check the inputs as `task_metrics` does."""
    if task == "single-label":
        return Scored.of(outputs, labels, names, None if thresholds is None else thresholds[0])
    if task == "multi-label":
        return MultiScored.of(outputs, labels, names, thresholds)
    if task == "regression":
        return Measured.of(outputs, labels)
    if names is None:
        raise ValueError("tokens are scored by the names of their tags; give label_names")
    return Tagged.of(outputs, labels, names)


def _makers(task: TaskName, names: Sequence[str]) -> Mapping[str, Callable[[Any], Measure]]:
    if task == "single-label":
        return {**SINGLE, **(WEIGHTED if len(names) > 2 else {})}
    if task == "tokens":
        types = {f"f1_{kind}": partial(type_f1, position=i) for i, kind in enumerate(entity_types(names))}
        return {**TAGS, **types}
    return MULTI if task == "multi-label" else NUMBER


def _of_decisions(task: TaskName) -> tuple[str, ...]:
    if task == "regression":
        return ()
    loss = () if task == "tokens" else ("log_loss",)
    return (*loss, "brier", "ece", "ece_equal_width", *(() if task == "multi-label" else ("aurc",)))
