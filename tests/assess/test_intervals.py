"""Bootstrap intervals: right values on each resample, scipy's interval, honest coverage, speed, determinism."""

from functools import partial

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk

from toughen.assess.intervals import metric_intervals, metric_values
from toughen.assess.metrics import classification_metrics
from toughen.statistics import bootstrap

METRICS = ("accuracy", "f1", "roc_auc")
intervals_of = partial(metric_intervals, "single-label")


def simulated(n: int, classes: int = 2, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes)) + np.eye(classes)[labels]
    if ties:
        logits = logits.round()
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_every_resample_has_the_score_that_the_metrics_give_it(classes, ties):
    """Redraw the same resamples and score each with `classification_metrics`: the vectorised values are equal."""
    p, y = simulated(60, classes, ties=ties)
    values = metric_values("single-label", p, y, metrics=METRICS, samples=20, seed=3)
    draws = np.random.default_rng(3).integers(60, size=(20, 60))
    for k, draw in enumerate(draws):
        scores = classification_metrics(p[draw], y[draw])
        for name in METRICS:
            assert values[name][k] == pytest.approx(scores[name], abs=1e-12), name
    assert len(set(values["roc_auc"])) > 10


def test_agrees_with_scipy():
    """Two bootstraps of 4,000 resamples differ by Monte Carlo error only (about .003 here)."""
    p, y = simulated(80)
    ours = intervals_of(p, y, samples=4000, seed=1)
    hard = p.argmax(1)
    cases = {
        "accuracy": lambda i: (hard[i] == y[i]).mean(),
        "f1": lambda i: 2 * (hard[i] & y[i]).sum() / (hard[i] + y[i]).sum(),
        "roc_auc": lambda i: sk.roc_auc_score(y[i], p[i, 1]),
    }
    for name, statistic in cases.items():
        resamples = 1000 if name == "roc_auc" else 4000
        theirs = scipy.stats.bootstrap(
            (np.arange(80),), statistic, n_resamples=resamples, method="percentile", vectorized=False, rng=2
        ).confidence_interval
        assert ours[name] == pytest.approx((theirs.low, theirs.high), abs=0.025), name


def test_covers_the_truth_about_as_often_as_it_says():
    """The true accuracy of a simulated classifier lies in its 90 % interval in 90 % of 300 worlds (within 5 points)."""
    rng = np.random.default_rng(0)
    hits = 0
    for world in range(300):
        right = rng.random(200) < 0.8
        y = np.tile([0, 1], 100)
        p = np.eye(2)[np.where(right, y, 1 - y)]
        low, high = intervals_of(p, y, metrics=("accuracy",), samples=300, seed=world, level=0.9)["accuracy"]
        hits += low <= 0.8 <= high
    assert 0.85 < hits / 300 < 0.95


def test_same_seed_same_interval_and_the_seed_matters():
    p, y = simulated(100)
    assert intervals_of(p, y, seed=5) == intervals_of(p, y, seed=5)
    assert intervals_of(p, y, seed=5) != intervals_of(p, y, seed=6)


def test_blocks_do_not_change_the_result(monkeypatch):
    p, y = simulated(100)
    whole = intervals_of(p, y, metrics=METRICS, samples=50)
    monkeypatch.setattr(bootstrap, "_CELLS", 700)
    assert intervals_of(p, y, metrics=METRICS, samples=50) == whole


def test_resamples_without_both_classes_are_skipped_and_counted():
    """One positive among 10 is missing from a resample with probability .9^10 = .349."""
    p, y = simulated(10)
    y = np.array([1] + [0] * 9)
    interval = intervals_of(p, y, samples=1000)["roc_auc"]
    assert interval.skipped == pytest.approx(349, abs=50)
    assert 0 <= interval[0] <= interval[1] <= 1


def test_a_metric_that_is_undefined_everywhere_has_no_interval():
    p, y = simulated(10)
    result = intervals_of(p, np.zeros_like(y), samples=20)
    assert result["roc_auc"] is None
    assert result["accuracy"] is not None


@pytest.mark.parametrize("wrong", [{"metrics": ("bleu",)}, {"samples": 0}, {"level": 1.0}])
def test_misuse_is_refused(wrong):
    with pytest.raises(ValueError, match=r"bootstrap for bleu|samples must be|level must"):
        intervals_of(*simulated(10), **wrong)
