"""Intervals of every metric: a resample's value is the metric of the rows that were drawn."""

import numpy as np
import pytest

from toughen.assess.intervals import metric_intervals, metric_values
from toughen.assess.metrics import task_metrics
from toughen.statistics.bootstrap import percentile_interval, resamples

RNG = np.random.default_rng(3)
N = 60
TAGS = ("O", "B-PER", "I-PER", "B-LOC")


def cases():
    """Yield (task, outputs, labels, names, thresholds); ties among the scores, so that they are treated right."""
    three = RNG.dirichlet(np.ones(3), N).round(1) + 0.01
    two = RNG.dirichlet(np.ones(2), N).round(1)
    several = RNG.random((N, 3)).round(1)
    yield "single-label", three / three.sum(1, keepdims=True), RNG.integers(3, size=N), ("a", "b", "c"), None
    yield "single-label", two, RNG.integers(2, size=N), ("a", "b"), (0.4,)
    yield "multi-label", several, (RNG.random((N, 3)) < 0.5).astype(int), ("a", "b", "c"), (0.3, 0.5, 0.7)
    yield "regression", (values := RNG.normal(size=N).round(1)), values + RNG.normal(size=N).round(1), ("stars",), None
    words = [int(n) for n in RNG.integers(1, 6, size=N)]
    tags = [RNG.dirichlet(np.ones(4), n) for n in words]
    yield "tokens", tags, [RNG.integers(4, size=n).tolist() for n in words], TAGS, None


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case[0]}-{len(case[3])}")
def test_each_value_is_the_metric_of_the_texts_drawn(case):
    task, outputs, labels, names, thresholds = case
    found = metric_values(task, outputs, labels, names, thresholds, samples=8, seed=5)
    whole = task_metrics(task, outputs, labels, names, thresholds)
    missing = {name for name, value in whole.items() if isinstance(value, float)} - set(found)
    assert not missing, "every metric has an interval"
    (counts,) = resamples(N, 8, 5)
    for s in range(8):
        drawn = np.repeat(np.arange(N), counts[s].astype(int))
        own = [outputs[i] for i in drawn] if task == "tokens" else outputs[drawn]
        truth = [labels[i] for i in drawn] if task == "tokens" else labels[drawn]
        metrics = task_metrics(task, own, truth, names, thresholds)
        for name in set(found) & set(metrics):
            value = np.nan if metrics[name] is None else metrics[name]
            assert found[name][s] == pytest.approx(value, nan_ok=True), name
    assert len({round(v, 6) for v in next(iter(found.values()))}) > 1, "resamples differ"


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    p, y = RNG.dirichlet(np.ones(2), N), RNG.integers(2, size=N)
    one, same, other = (metric_intervals("single-label", p, y, ("a", "b"), samples=50, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_the_interval_of_a_mean_is_the_normal_one():
    """Accuracy of 400 texts, 80 % right: 1.96 standard errors to either side."""
    right = np.arange(400) % 5 > 0
    p = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    low, high = metric_intervals("single-label", p, np.zeros(400, int), ("a", "b"), samples=4000)["accuracy"]
    error = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - error, 0.8 + error), abs=0.006)


def test_no_texts_have_no_interval():
    found = metric_intervals("single-label", np.empty((0, 2)), np.empty(0, int), ("a", "b"), samples=3)
    assert set(found.values()) == {None}
    assert percentile_interval(np.full(5, np.nan)) is None
    assert percentile_interval(np.array([0.5, np.nan, 0.5])).skipped == 1
