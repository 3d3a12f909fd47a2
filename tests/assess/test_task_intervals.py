"""Intervals of every task: each resample has the score that the metrics give it; undefined ones are skipped."""

import time

import numpy as np
import pytest

from toughen.assess.intervals import MAIN_METRICS, bootstrap_intervals, task_intervals, task_values
from toughen.assess.metrics import task_metrics
from toughen.assess.resampled import MULTI, NUMBER, SINGLE, TAGS

N = 40
TAG_NAMES = ("O", "B-PER", "I-PER", "B-LOC")
TABLES = {"single-label": SINGLE, "multi-label": MULTI, "regression": NUMBER, "tokens": TAGS}


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


@pytest.mark.parametrize("task", TABLES)
def test_every_resample_has_the_score_that_the_metrics_give_it(task):
    """Redraw the same resamples and score each with `task_metrics`: the vectorised values are equal."""
    outputs, labels, thresholds = simulated(task)
    names = TAG_NAMES if task == "tokens" else None
    metrics = tuple(TABLES[task])
    values = task_values(task, outputs, labels, metrics, 20, 3, thresholds, label_names=names)
    draws = np.random.default_rng(3).integers(N, size=(20, N))
    for k, draw in enumerate(draws):
        scores = task_metrics(task, drawn(outputs, draw), drawn(labels, draw), names, thresholds)
        for name in metrics:
            assert values[name][k] == pytest.approx(scores[name], abs=1e-9), name
    assert all(len(set(values[name])) > 8 for name in metrics)


@pytest.mark.parametrize("task", TABLES)
def test_intervals_hold_the_score_and_thresholds_move_them(task):
    outputs, labels, thresholds = simulated(task, 200)
    names = TAG_NAMES if task == "tokens" else None
    scores = task_metrics(task, outputs, labels, names, thresholds)
    found = task_intervals(task, outputs, labels, thresholds=thresholds, label_names=names)
    assert tuple(found) == MAIN_METRICS[task]
    for name, interval in found.items():
        assert interval[0] < scores[name] < interval[1], name
        assert interval.skipped == 0
    if thresholds:
        assert task_intervals(task, outputs, labels)["f1"] != found["f1"]


def test_single_label_is_the_old_function():
    outputs, labels, _ = simulated("single-label")
    assert task_intervals("single-label", outputs, labels, seed=4) == bootstrap_intervals(outputs, labels, seed=4)


def test_resamples_without_variance_or_entities_are_skipped_and_counted():
    """One value among 10 that differs is missing from a resample with probability .9^10 = .349."""
    odd = [1.0] + [0.1] * 9
    correlated = task_intervals("regression", np.arange(10.0), odd, ["pearson", "spearman"])
    for interval in correlated.values():
        assert interval.skipped == pytest.approx(349, abs=50)
    tagged = [[1]] + [[0]] * 9
    outputs = [np.eye(4)[row] for row in tagged]
    entities = task_intervals("tokens", outputs, tagged, ["f1", "accuracy"], label_names=TAG_NAMES)
    assert entities["f1"].skipped == correlated["pearson"].skipped, "the same seed draws the same texts"
    assert entities["accuracy"].skipped == 0


def test_a_metric_that_is_undefined_everywhere_has_no_interval():
    result = task_intervals("regression", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], samples=20)
    assert (result["pearson"], result["spearman"]) == (None, None)
    assert result["rmse"] is not None
    assert set(task_intervals("multi-label", np.empty((0, 2)), [], samples=20).values()) == {None}


def test_two_thousand_texts_take_well_under_two_seconds_a_task():
    for task in ("multi-label", "regression", "tokens"):
        outputs, labels, thresholds = simulated(task, 2000)
        start = time.process_time()
        task_intervals(
            task, outputs, labels, thresholds=thresholds, label_names=TAG_NAMES if task == "tokens" else None
        )
        assert time.process_time() - start < 2, task


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metrics": ["f1"]}, "no bootstrap for f1; there is one for pearson"),
        ({"samples": 0}, "samples must be"),
        ({"level": 1.0}, "level in"),
    ],
)
def test_misuse_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        task_intervals("regression", [1.0, 2.0], [1.0, 2.0], **more)


def test_tokens_need_their_names():
    with pytest.raises(ValueError, match="give label_names"):
        task_intervals("tokens", [np.eye(2)], [[0, 1]])
