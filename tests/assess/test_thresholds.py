"""Thresholds: no cut has a better F1, ties go towards 0.5, and the scores they give are those that were promised."""

import time

import numpy as np
import pytest
import sklearn.metrics as sk

from toughen.assess.metrics import classification_metrics, task_metrics
from toughen.assess.multilabel import multilabel_metrics
from toughen.assess.thresholds import best_threshold, tune_thresholds


def f1_at(threshold, scores, positive):
    predicted, positive = scores >= threshold, positive == 1
    return 2 * (predicted & positive).sum() / (predicted.sum() + positive.sum())


def test_by_hand():
    """Scores .9+ .7- .3+ .1-: F1 is 2/3, 1/2, 4/5, 2/3 by number predicted; the best cut lies between .3 and .1."""
    scores, positive = np.array([0.1, 0.9, 0.3, 0.7]), np.array([False, True, True, False])
    assert best_threshold(scores, positive) == pytest.approx(0.2)
    assert f1_at(0.2, scores, positive) == pytest.approx(sk.f1_score(positive, scores >= 0.2)) == pytest.approx(4 / 5)


def test_the_highest_f1_of_all_cuts_is_found():
    """500 random problems with ties among the scores, against every cut there is; 0.5 is seldom as good."""
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(500):
        n = rng.integers(1, 12)
        scores, positive = rng.random(n).round(1), rng.random(n) < 0.4
        if not positive.any():
            positive[0] = True
        found = best_threshold(scores, positive)
        best = max(f1_at(cut, scores, positive) for cut in scores)
        assert f1_at(found, scores, positive) == pytest.approx(best), (scores, positive)
        moved += f1_at(0.5, scores, positive) < best - 1e-9
    assert moved > 100


def test_lies_midway_between_neighbours_and_0_is_the_lowest_neighbour():
    assert best_threshold(np.array([0.8, 0.2]), np.array([True, False])) == 0.5
    assert best_threshold(np.array([0.8, 0.6]), np.array([True, True])) == pytest.approx(0.3)
    assert best_threshold(np.array([0.0, 0.0]), np.array([True, True])) == 0.0


def test_ties_go_towards_one_half():
    """.9+ .8- .6- .4+ .3- .3-: F1 is 2/3 predicting one (cut .85), 2/4 next, 2/3 predicting four (cut .35)."""
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.3, 0.3])
    positive = np.array([True, False, False, True, False, False])
    assert f1_at(0.85, scores, positive) == f1_at(0.35, scores, positive)
    assert best_threshold(scores, positive) == pytest.approx(0.35)


def test_a_cut_between_neighbours_in_float64_keeps_the_lower_one_out():
    low = 0.3
    high = np.nextafter(low, 1)
    found = best_threshold(np.array([high, low]), np.array([True, False]))
    assert high >= found > low


def test_multi_label_tunes_each_label_alone_and_an_absent_one_stays():
    rng = np.random.default_rng(1)
    y = (rng.random((300, 3)) < [0.1, 0.4, 0.0]).astype(int)
    p = np.clip(0.25 * y + 0.5 * rng.random((300, 3)), 0, 1)
    thresholds = tune_thresholds("multi-label", p, y.astype(float).tolist())
    assert thresholds[:2] == [best_threshold(p[:, k], y[:, k] == 1) for k in range(2)]
    assert thresholds[2] == 0.5
    for k in range(2):
        best = max(f1_at(cut, p[:, k], y[:, k]) for cut in p[:, k])
        assert multilabel_metrics(p[:, [k]], y[:, [k]], thresholds=[thresholds[k]])["f1"] == pytest.approx(best)
        assert best > multilabel_metrics(p[:, [k]], y[:, [k]])["f1"]


def test_binary_tunes_the_positive_class():
    rng = np.random.default_rng(2)
    y = (rng.random(400) < 0.2).astype(int)
    positive = np.clip(0.2 * y + 0.6 * rng.random(400), 0, 1)
    p = np.stack([1 - positive, positive], axis=1)
    thresholds = tune_thresholds("single-label", p, y)
    assert len(thresholds) == 1
    tuned = task_metrics("single-label", p, y, thresholds=thresholds)
    assert tuned["f1"] == pytest.approx(max(f1_at(cut, positive, y) for cut in positive))
    assert tuned["f1"] > classification_metrics(p, y)["f1"]


def test_a_threshold_is_inclusive_and_leaves_the_ranking_alone():
    p, y = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]), [0, 1, 1]
    tuned, plain = classification_metrics(p, y, threshold=0.4), classification_metrics(p, y)
    assert (tuned["recall"], plain["recall"]) == (1, 0.5)
    assert (tuned["roc_auc"], tuned["log_loss"]) == (plain["roc_auc"], plain["log_loss"])


def test_a_million_scores_take_about_a_second():
    rng = np.random.default_rng(0)
    scores, positive = rng.random(1_000_000), rng.random(1_000_000) < 0.1
    start = time.process_time()
    best_threshold(scores, positive)
    assert time.process_time() - start < 2


TERNARY = [[0.2, 0.3, 0.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tune_thresholds("single-label", TERNARY, [0]), "two classes"),
        (lambda: tune_thresholds("regression", [0.5], [1.0]), "regression has no thresholds"),
        (lambda: classification_metrics(TERNARY, [0], threshold=0.5), "for two classes"),
        (lambda: classification_metrics([[0.5, 0.5]], [0], threshold=1.5), r"in \[0, 1\]"),
        (lambda: task_metrics("regression", [0.5], [1.0], thresholds=[0.5]), "regression has no thresholds"),
        (lambda: task_metrics("single-label", [[0.5, 0.5]], [0], thresholds=[0.5, 0.5]), "one threshold, got 2"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
