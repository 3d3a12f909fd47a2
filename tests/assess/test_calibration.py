"""Calibration: errors by hand, Brier and losses as scikit-learn has them, the risk-coverage curve in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from toughen.assess.calibration import (
    aurc,
    calibration,
    calibration_error,
    decisions,
    equal_mass,
    equal_width,
    measures,
    reliability,
    risk_coverage,
)
from toughen.assess.metrics import task_metrics

RNG = np.random.default_rng(0)


def simplex(n, classes):
    return RNG.dirichlet(np.ones(classes), n)


def test_the_error_of_six_answers_is_the_one_worked_out_by_hand():
    """Two bins of width 1/2 and two of three answers each.

    Width: (0, .5] holds .4, .5 (mean .45, half right: gap .05), (.5, 1] holds .6, .8, .9, 1 (mean .825, 2 of 4: .325).
    ECE = 2/6 x .05 + 4/6 x .325. Mass: {.4, .5, .6} mean .5, 2 right: gap 1/6; {.8, .9, 1} mean .9, 1 right: 17/30.
    """
    confidence = np.array([0.9, 0.4, 1.0, 0.6, 0.5, 0.8])
    right = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    by_width, by_mass = equal_width(confidence, 2), equal_mass(confidence, 2)
    assert by_width.tolist() == [1, 0, 1, 1, 0, 1]
    assert by_mass.tolist() == [1, 0, 1, 0, 0, 1]
    assert calibration_error(confidence, right, by_width) == pytest.approx(2 / 6 * 0.05 + 4 / 6 * 0.325)
    assert calibration_error(confidence, right, by_mass) == pytest.approx((1 / 6 + 17 / 30) / 2)
    low, high = reliability(confidence, right, by_mass)
    assert (low["n"], low["low"], low["high"]) == (3, 0.4, 0.6)
    assert (high["confidence"], high["accuracy"]) == pytest.approx((0.9, 1 / 3))


@given(st.lists(st.sampled_from([0.5, 0.6, 0.75, 0.9, 1.0]), min_size=1, max_size=60), st.integers(1, 15))
def test_bins_of_equal_mass_keep_equals_together_and_leave_none_empty(confidence, bins):
    found = equal_mass(np.array(confidence), bins)
    homes = {value: {b for c, b in zip(confidence, found, strict=True) if c == value} for value in confidence}
    assert all(len(home) == 1 for home in homes.values())
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))
    assert found.max() < bins


def test_bins_of_distinct_confidences_are_equally_full():
    found = np.bincount(equal_mass(RNG.random(150)))
    assert found.tolist() == [10] * 15


@pytest.mark.parametrize("classes", [2, 4])
def test_the_brier_score_is_scikit_learns(classes):
    p, y = simplex(50, classes), RNG.integers(classes, size=50)
    ours = decisions("single-label", p, y).brier.mean()
    theirs = brier_score_loss(y, p[:, 1]) if classes == 2 else np.mean(((p - np.eye(classes)[y]) ** 2).sum(1))
    assert ours == pytest.approx(theirs)
    several = (simplex(50, 3) > 0.4).astype(int)
    found = calibration(decisions("multi-label", p3 := RNG.random((50, 3)), several))["brier"]
    assert found == pytest.approx(np.mean([brier_score_loss(several[:, k], p3[:, k]) for k in range(3)]))


def test_the_log_loss_that_is_resampled_is_the_metric():
    p, y = simplex(40, 3), np.arange(40) % 3
    metric = task_metrics("single-label", p, y)["log_loss"]
    assert decisions("single-label", p, y).loss.mean() == pytest.approx(metric)


def test_risk_of_a_perfect_ranking_is_the_closed_form():
    """Of n answers, surest first, the first k right: risk at coverage i/n is max(0, i - k)/i."""
    n, k = 20, 15
    confidence = np.linspace(1, 0.5, n)
    right = (np.arange(n) < k).astype(float)
    shuffled = RNG.permutation(n)
    coverage, risk = risk_coverage(confidence[shuffled], right[shuffled])
    assert coverage == pytest.approx(np.arange(1, n + 1) / n)
    assert risk == pytest.approx([max(0, i - k) / i for i in range(1, n + 1)])
    assert aurc(confidence, right) < aurc(confidence[::-1], right), "a ranking upside down costs more"


def test_confidence_that_says_nothing_risks_the_error_rate_at_every_coverage():
    right = (np.arange(30) % 3 > 0).astype(float)
    _, risk = risk_coverage(np.full(30, 0.7), right)
    assert risk == pytest.approx(np.full(30, 1 / 3))
    assert aurc(np.full(30, 0.7), right[::-1].copy()) == pytest.approx(1 / 3), "the order of the rows plays no part"


def test_drawing_every_text_once_gives_the_numbers_themselves():
    p, y = simplex(60, 3), RNG.integers(3, size=60)
    found = decisions("single-label", p, y)
    told = calibration(found)
    for name, measure in measures(found).items():
        assert measure(np.ones((2, 60))) == pytest.approx([told[name]] * 2), name
    assert set(measures(found)) == {"ece", "ece_equal_width", "brier", "aurc"}


def test_words_count_once_each_whatever_their_text_is_drawn():
    tags = [simplex(3, 2), simplex(1, 2), simplex(0, 2)]
    found = decisions("tokens", tags, [[0, 1, 1], [0], []])
    assert (found.texts, found.owner.tolist()) == (3, [0, 0, 0, 1])
    drawn = measures(found)["brier"](np.array([[0.0, 2.0, 1.0]]))
    assert drawn == pytest.approx(found.brier[3])


def test_a_tuned_threshold_decides_what_confidence_is_of():
    p = np.array([[0.7, 0.3], [0.9, 0.1]])
    found = decisions("single-label", p, [1, 0], thresholds=[0.2])
    assert found.confidence.tolist() == [0.3, 0.9]
    assert found.right.tolist() == [1, 1]


def test_numbers_have_no_calibration():
    with pytest.raises(ValueError, match="no probabilities"):
        decisions("regression", np.ones(2), np.ones(2))
