"""The bootstrap over seeds and texts, where the truth is known."""

import numpy as np
import pytest

from toughen.statistics.bootstrap import hierarchical, two_sided

TEXTS, SAMPLES = 60, 400


def experiment(rng, seeds, between, within):
    """Scores of two recipes that are equally good: each run its own luck, each text its own difficulty.

    Returns:
        [2, seeds, SAMPLES] means over the same resamples of the texts.
    """
    luck = rng.normal(0, between, (2, seeds, 1))
    difficulty = rng.normal(0, within, (2, TEXTS))  # how much each recipe likes each text
    drawn = rng.integers(TEXTS, size=(SAMPLES, TEXTS))
    return luck + difficulty[:, drawn].mean(axis=2)[:, None, :]


def covered(seeds, between, within, *, resample_seeds=True, paired=True):
    """Return the share of 400 experiments whose interval holds the true difference, 0."""
    rng = np.random.default_rng(1)
    hits = 0
    for k in range(400):
        first, second = experiment(rng, seeds, between, within)
        if not resample_seeds:
            first, second = (x.mean(axis=0, keepdims=True) for x in (first, second))
        found = hierarchical(first, second, paired=paired, seed=k)
        hits += found.low <= 0 <= found.high
    return hits / 400


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Ten seeds: the percentile interval is a little narrow, as its normal tails are."""
    assert 0.88 < covered(10, 1.0, 2.0) < 0.985
    assert 0.88 < covered(10, 1.0, 2.0, paired=False) < 0.985
    assert 0.9 < covered(1, 0.0, 2.0) < 0.985


def test_leaving_the_seeds_out_covers_far_too_seldom():
    assert covered(10, 2.0, 2.0, resample_seeds=False) < 0.7


def test_the_variance_over_seeds_is_the_unbiased_one():
    """Without variance over texts, that of the draws is s^2 / n with s^2 divided by n - 1."""
    values = np.array([0.1, 0.4, 0.2, 0.9])
    first = np.repeat(values[:, None], 200_000, axis=1)
    found = hierarchical(first, np.zeros((1, 200_000)), paired=False)
    rng = np.random.default_rng(0)
    reference = rng.choice(values, size=(200_000, 3)).mean(axis=1)
    assert reference.var() == pytest.approx(values.var(ddof=1) / 4, rel=0.02)
    assert (found.low, found.high) == pytest.approx(np.quantile(reference, [0.025, 0.975]), abs=1e-6)


def test_one_run_each_is_the_ordinary_paired_bootstrap():
    """Normal case in closed form: interval mean +- 1.96 s / sqrt(N), p = 2 (1 - Phi(z))."""
    rng = np.random.default_rng(3)
    difference = rng.normal(0.15, 1, 400)
    drawn = difference[rng.integers(400, size=(20_000, 400))].mean(axis=1)
    found = hierarchical(drawn[None], np.zeros((1, 20_000)), paired=True)
    error = difference.std() / 20
    assert (found.low, found.high) == pytest.approx(difference.mean() + np.array([-1.96, 1.96]) * error, abs=0.004)
    from scipy.stats import norm

    assert found.p == pytest.approx(2 * norm.sf(difference.mean() / error), abs=0.005)


def test_pairing_removes_what_the_seeds_share():
    """Both recipes have the same luck with each seed: paired, the difference is exact; unpaired it is lost in it."""
    luck = np.random.default_rng(0).normal(0, 1, (5, 1)) * np.ones((5, 500))
    paired = hierarchical(luck + 0.1, luck, paired=True)
    apart = hierarchical(luck + 0.1, luck, paired=False)
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))
    assert apart.high - apart.low > 0.5
    with pytest.raises(ValueError, match="equally many"):
        hierarchical(luck[:2], luck, paired=True)


def test_undefined_resamples_are_counted_and_p_is_never_zero():
    drawn = np.array([[0.1, np.nan, 0.2, 0.3]])
    found = hierarchical(drawn, np.zeros((1, 4)), paired=True)
    assert found.skipped == 1
    assert found.p == 2 / 4
    assert hierarchical(drawn * np.nan, np.zeros((1, 4)), paired=True) is None
    assert two_sided(np.zeros(10)) == 1
    assert two_sided(np.ones(199)) == 2 / 200
