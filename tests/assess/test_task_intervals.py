"""Intervals of every task: each resample has the score that the metrics give it; undefined ones are skipped."""

import numpy as np
import pytest

from toughen.assess.definition import NO_NUMBERS
from toughen.assess.intervals import MAIN_METRICS, metric_intervals, metric_points, resampled_metrics
from toughen.assess.metrics import task_metrics

N = 40
TAG_NAMES = ("O", "B-PER", "I-PER", "B-LOC")
TASKS = tuple(MAIN_METRICS)


def simulated(task, n=N, seed=0):
    """Outputs of n texts with ties among them, labels that they somewhat predict, thresholds."""
    rng = np.random.default_rng(seed)
    if task == "single-label":
        y = rng.integers(2, size=n)
        p = np.clip(0.3 * y + 0.7 * rng.random(n), 0, 1).round(1)
        return np.stack([1 - p, p], axis=1), y, [0.35]
    if task == "multi-label":
        y = rng.integers(2, size=(n, 3))
        return np.clip(0.3 * y + 0.7 * rng.random((n, 3)), 0, 1).round(1), y, [0.3, 0.5, 0.6]
    if task == "regression":
        y = rng.normal(100, 1, n).round(1)
        return (y + rng.normal(size=n)).round(1), y, None
    y = [rng.integers(4, size=rng.integers(1, 8)) for _ in range(n)]
    p = [(np.eye(4)[row] + rng.dirichlet(np.ones(4), len(row))) / 2 for row in y]
    flips = [np.where(rng.random(len(row))[:, None] < 0.3, q[:, ::-1], q) for row, q in zip(y, p, strict=True)]
    return flips, [row.tolist() for row in y], None


def drawn(values, draw):
    return [values[i] for i in draw] if isinstance(values, list) else values[draw]


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_has_a_value_an_interval_and_a_name_known_before(task):
    outputs, labels, thresholds = simulated(task)
    names = {"tokens": TAG_NAMES, "multi-label": ("a", "b", "c"), "regression": ("stars",)}.get(task, ("a", "b"))
    points = metric_points(task, outputs, labels, names, thresholds)
    found = metric_intervals(task, outputs, labels, names, thresholds, samples=50)
    assert tuple(found) == resampled_metrics(task, names)
    assert set(found) == set(points) - {"n", *NO_NUMBERS}
    biased = {"ece", "ece_equal_width"}  # resampling raises them
    for name in set(found) - biased:
        assert found[name][0] < points[name] < found[name][1], name
    alone = metric_intervals(task, outputs, labels, names, thresholds, metrics=list(found)[-1:], samples=50)
    assert alone == {name: found[name] for name in list(found)[-1:]}, "what else is asked for changes nothing"


@pytest.mark.parametrize("task", TASKS)
def test_intervals_hold_the_score_and_thresholds_move_them(task):
    outputs, labels, thresholds = simulated(task, 200)
    names = TAG_NAMES if task == "tokens" else None
    scores = task_metrics(task, outputs, labels, names, thresholds)
    found = metric_intervals(task, outputs, labels, names, thresholds, metrics=MAIN_METRICS[task])
    assert tuple(found) == MAIN_METRICS[task]
    for name, interval in found.items():
        assert interval[0] < scores[name] < interval[1], name
        assert interval.skipped == 0
    if thresholds:
        assert metric_intervals(task, outputs, labels)["f1"] != found["f1"]


def test_resamples_without_variance_or_entities_are_skipped_and_counted():
    """One value among 10 that differs is missing from a resample with probability .9^10 = .349."""
    odd = [1.0] + [0.1] * 9
    correlated = metric_intervals("regression", np.arange(10.0), odd, metrics=["pearson", "spearman"])
    for interval in correlated.values():
        assert interval.skipped == pytest.approx(349, abs=50)
    tagged = [[1]] + [[0]] * 9
    outputs = [np.eye(4)[row] for row in tagged]
    entities = metric_intervals("tokens", outputs, tagged, metrics=["f1", "accuracy"], label_names=TAG_NAMES)
    assert entities["f1"].skipped == correlated["pearson"].skipped, "the same seed draws the same texts"
    assert entities["accuracy"].skipped == 0


def test_a_metric_that_is_undefined_everywhere_has_no_interval():
    result = metric_intervals("regression", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], samples=20)
    assert (result["pearson"], result["spearman"]) == (None, None)
    assert result["rmse"] is not None
    assert set(metric_intervals("multi-label", np.empty((0, 2)), [], samples=20).values()) == {None}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metrics": ["f1"]}, "no bootstrap for f1; there is one for pearson"),
        ({"samples": 0}, "samples must be"),
        ({"level": 1.0}, "level must lie in"),
    ],
)
def test_misuse_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        metric_intervals("regression", [1.0, 2.0], [1.0, 2.0], **more)


def test_tokens_need_their_names():
    with pytest.raises(ValueError, match="give label_names"):
        metric_intervals("tokens", [np.eye(2)], [[0, 1]])
