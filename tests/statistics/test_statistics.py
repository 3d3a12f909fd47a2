"""Tests over seeds and over pairs of answers, against scipy, published tables and hand computation."""

import math

import numpy as np
import pytest
from scipy import stats

from toughen.statistics.seeds import holm, mcnemar, over_seeds, pooled_sd, smallest_effect
from toughen.statistics.shares import lower_bound


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_interval_and_test_over_seeds_are_student_s(n):
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.87, 0.01, n), rng.normal(0.86, 0.01, n)
    found = over_seeds(first - second)
    oracle = stats.ttest_rel(first, second)
    assert found.p == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(oracle.confidence_interval(0.95), abs=1e-12)
    assert found.sd == pytest.approx(np.std(first - second, ddof=1))


def test_one_seed_has_no_interval_and_neither_have_equal_ones():
    assert over_seeds([0.5]).low is None
    assert over_seeds([0.5]).p is None
    for same in ([0.0, 0.0, 0.0], [0.25, 0.25], [0.82 - 0.8, 0.84 - 0.82, 0.83 - 0.81]):
        found = over_seeds(same)
        assert (found.low, found.high, found.p, found.sd) == (None, None, None, 0.0)
        assert found.mean == pytest.approx(same[0])
    assert over_seeds([0.25, 0.25 + 1e-9]).low is not None
    assert pooled_sd([[0.5, 0.5], [0.6, 0.6, 0.6]]) is None
    with pytest.raises(ValueError, match="finite"):
        over_seeds([float("nan"), 1])


def test_holm_by_hand():
    """.01 x 4; .02 x 3; .03 x 2 = .06, which ties with the one before; .20 x 1: and None is no test."""
    assert holm([0.03, None, 0.01, 0.20, 0.02]) == pytest.approx([0.06, None, 0.04, 0.20, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_promised_error_rate_and_none_does_not():
    """Of six true null hypotheses one is found at level .05 in at most 5 % of the draws; uncorrected in 26 %."""
    drawn = np.random.default_rng(0).uniform(size=(4000, 6))
    corrected = np.array([holm(list(row)) for row in drawn])
    assert (corrected.min(axis=1) < 0.05).mean() < 0.06
    assert (drawn.min(axis=1) < 0.05).mean() > 0.2


def test_mcnemar_of_a_published_table():
    """1 and 7 discordant pairs: p .070, mid-p .039 (Fagerland, Lydersen and Laake 2013, table 1)."""
    found = mcnemar(1, 7)
    assert (round(found.p, 3), round(found.p_mid, 3)) == (0.070, 0.039)


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 9), (20, 11), (6, 6), (0, 0)])
def test_mcnemar_is_the_binomial_test_and_mid_p_halves_what_was_observed(first, second):
    found, swapped = mcnemar(first, second), mcnemar(second, first)
    assert (found.p, found.p_mid) == pytest.approx((swapped.p, swapped.p_mid))
    if first + second == 0:
        assert (found.p, found.p_mid) == (1, 1)
        return
    n = first + second
    probabilities = [math.comb(n, k) / 2**n for k in range(n + 1)]
    as_extreme = sum(p for p in probabilities if p <= probabilities[first] * (1 + 1e-9))
    observed = sum(p for p in probabilities if abs(p - probabilities[first]) < 1e-12)
    assert found.p == pytest.approx(as_extreme)
    assert found.p_mid == pytest.approx(as_extreme - observed / 2)


@pytest.mark.parametrize(("n", "effect"), [(2, 11.549890), (3, 3.264044), (5, 1.681997), (10, 0.996002)])
def test_smallest_effect_in_standard_deviations(n, effect):
    """`TTestPower().solve_power(nobs=n, alpha=.05, power=.8)` of statsmodels."""
    assert smallest_effect(1.0, n) == pytest.approx(effect, rel=1e-6)
    assert smallest_effect(0.02, n) == pytest.approx(0.02 * effect, rel=1e-6)


def test_the_smallest_effect_is_found_in_four_of_five_experiments():
    effect = smallest_effect(0.3, 4)
    drawn = np.random.default_rng(0).normal(effect, 0.3, (4000, 4))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)
    assert smallest_effect(1.0, 1) is None
    assert smallest_effect(1.0, 5, alpha=0.01) > smallest_effect(1.0, 5)


def test_the_standard_deviation_is_pooled_within_groups():
    """Squares 2 and 8 over 1 + 2 degrees of freedom; a group of one says nothing."""
    assert pooled_sd([[1, 3], [0, 2, 4], [100]]) == pytest.approx(math.sqrt(10 / 3))
    assert pooled_sd([[1], []]) is None


def test_no_success_leaves_the_share_unbounded_below():
    assert lower_bound(0, 10, 0.05) == 0.0
    assert lower_bound(10, 10, 0.05) == pytest.approx(0.05**0.1)
