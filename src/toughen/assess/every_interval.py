"""An interval for every metric that evaluation reports, all from the same resamples of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.assess import calibration
from toughen.assess.entities import Tagged
from toughen.assess.metrics import Scored
from toughen.assess.multilabel import MultiScored
from toughen.assess.regression import Measured
from toughen.assess.resampled import MULTI, NUMBER, SINGLE, TAGS, Measure
from toughen.statistics.shares import Interval
from toughen.tasks import TaskName

SAMPLES = 1000
_CELLS = 4_000_000  # resampled decisions held at a time, 32 MB as float64


def every_value(
    task: TaskName,
    outputs: Any,
    labels: Any,
    names: Sequence[str],
    thresholds: Sequence[float] | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    only: Sequence[str] | None = None,
) -> dict[str, Floats]:
    """Return {metric: [samples] values on resamples of the texts, NaN where undefined}.

    Arguments are those of `task_metrics`; ``only`` names the metrics that are wanted.
    """
    table, n, cells = _table(task, outputs, labels, names, thresholds)
    if only is not None:
        table = {name: measure for name, measure in table.items() if name in only}
    if not n:
        return {name: np.full(samples, np.nan) for name in table}
    parts: dict[str, list[Floats]] = {name: [] for name in table}
    for counts in resamples(n, samples, seed, cells=cells):
        for name, measure in table.items():
            parts[name].append(measure(counts))
    return {name: np.concatenate(part) for name, part in parts.items()}


def resamples(n: int, samples: int, seed: int, *, cells: int = 0) -> Iterator[Floats]:
    """Yield blocks [s, N] of how often each text was drawn; ``cells`` numbers are held per resample, N at least."""
    rng = np.random.default_rng(seed)
    rows = max(1, min(samples, _CELLS // max(n, cells)))
    for start in range(0, samples, rows):
        block = min(rows, samples - start)
        drawn = rng.integers(n, size=(block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(np.float64)


def interval(values: Floats, level: float = 0.95) -> Interval | None:
    """Return the percentile interval of resampled values, None where all are undefined."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), len(values) - len(defined))


def _table(
    task: TaskName, outputs: Any, labels: Any, names: Sequence[str], thresholds: Sequence[float] | None
) -> tuple[dict[str, Measure], int, int]:
    """Return the measures of a task, the number of texts and of decisions."""
    if task == "regression":
        number = Measured.of(outputs, labels)
        found = {name: make(number) for name, make in NUMBER.items()} if number.n else {}
        return (found | {"r2": partial(_r2, number)} if number.n else {}), number.n, number.n
    decided = calibration.decisions(task, outputs, labels, thresholds)
    usual: dict[str, Measure]
    if task == "single-label":
        usual = _single(Scored.of(outputs, labels, names, None if thresholds is None else thresholds[0]))
    elif task == "multi-label":
        usual = _multi(MultiScored.of(outputs, labels, names, thresholds))
    else:
        usual = _tags(Tagged.of(outputs, labels, names))
    if task != "tokens":
        usual |= {"log_loss": partial(calibration.mean, decided, decided.loss)}
    table = usual | calibration.measures(decided) if decided.texts else {}
    return table, decided.texts, len(decided.confidence)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    undefined = denominator == 0
    return np.where(undefined, np.nan, numerator / np.where(undefined, 1.0, denominator))


# ---------------------------------------------------------------- one class per text


def _single(s: Scored) -> dict[str, Measure]:
    if not s.n:
        return {}
    classes = np.eye(s.classes)
    true, said = classes[s.labels], classes[s.predictions]
    own = s.averaged
    table: dict[str, Measure] = {name: make(s) for name, make in SINGLE.items()}
    table["precision"] = partial(_macro_share, true[:, own] * said[:, own], said[:, own])
    table["recall"] = partial(_macro_share, true[:, own] * said[:, own], true[:, own])
    table["mcc"] = partial(_mcc, true, said)
    if s.classes > 2:
        table["recall_weighted"] = table["accuracy"]  # the same number by definition
        table["precision_weighted"] = partial(_weighted, true, true * said, said)
        table["f1_weighted"] = partial(_weighted, true, 2 * true * said, true + said)
    return table


def _macro_share(part: Floats, whole: Floats, counts: Floats) -> Floats:
    """Return [s] the mean over classes of sums of part [N, K] over sums of whole; NaN if one of them is 0 / 0."""
    return np.asarray(_ratio(counts @ part, counts @ whole).mean(axis=1))


def _weighted(true: Floats, part: Floats, whole: Floats, counts: Floats) -> Floats:
    """Average shares per class by support; a class without support has no weight."""
    support, shares = counts @ true, _ratio(counts @ part, counts @ whole)
    return np.asarray(np.where(support > 0, shares * support, 0.0).sum(axis=1) / counts.sum(axis=1))


def _mcc(true: Floats, said: Floats, counts: Floats) -> Floats:
    """Matthews correlation of C classes (Gorodkin's R_K), as scikit-learn has it."""
    n, right = counts.sum(axis=1), (counts @ (true * said)).sum(axis=1)
    t, p = counts @ true, counts @ said
    spread = (n**2 - (p**2).sum(axis=1)) * (n**2 - (t**2).sum(axis=1))
    return _ratio(right * n - (t * p).sum(axis=1), np.sqrt(spread))


# ---------------------------------------------------------------- several labels, numbers, tags


def _multi(s: MultiScored) -> dict[str, Measure]:
    if not s.n:
        return {}
    true, said = s.labels.astype(np.float64), s.predictions.astype(np.float64)
    table: dict[str, Measure] = {name: make(s) for name, make in MULTI.items()}
    table["precision"] = partial(_macro_share, true * said, said)
    table["recall"] = partial(_macro_share, true * said, true)
    table["f1_weighted"] = partial(_f1_by_support, true, said)
    table["hamming_loss"] = partial(_mean, (true != said).mean(axis=1))
    precisions = [_average_precision(p, y == 1) for p, y in zip(s.probabilities.T, s.labels.T, strict=True)]
    table["average_precision"] = lambda counts: np.mean([measure(counts) for measure in precisions], axis=0)
    return table


def _mean(values: Floats, counts: Floats) -> Floats:
    return np.asarray(counts @ values / counts.sum(axis=1))


def _f1_by_support(true: Floats, said: Floats, counts: Floats) -> Floats:
    support = counts @ true
    shares = np.nan_to_num(_ratio(2 * (counts @ (true * said)), counts @ (true + said)))
    return _ratio((shares * support).sum(axis=1), support.sum(axis=1))


def _average_precision(scores: Floats, positive: NDArray[np.bool_]) -> Measure:
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


def _r2(s: Measured, counts: Floats) -> Floats:
    y = s.labels - s.labels.mean()
    mse, mean, square = (counts @ np.stack([(s.values - s.labels) ** 2, y, y * y], axis=1) / s.n).T
    varied = np.where(counts > 0, y, -np.inf).max(axis=1) > np.where(counts > 0, y, np.inf).min(axis=1)
    return 1 - _ratio(mse, np.where(varied, square - mean**2, 0.0))


def _tags(s: Tagged) -> dict[str, Measure]:
    if not s.n:
        return {}
    table: dict[str, Measure] = {name: make(s) for name, make in TAGS.items()}
    for i, kind in enumerate(s.types):
        right, predicted, labelled = s.counts[:, i].T.astype(np.float64)
        table[f"f1_{kind}"] = partial(_share, 2 * right, predicted + labelled)
    return table


def _share(part: Floats, whole: Floats, counts: Floats) -> Floats:
    return _ratio(counts @ part, counts @ whole)


def every_interval(values: Mapping[str, Floats]) -> dict[str, Interval | None]:
    """Return the interval of each metric that `every_value` resampled."""
    return {name: interval(drawn) for name, drawn in values.items()}
