"""Exact bounds on a share that was counted."""

from __future__ import annotations

from toughen.statistics.bootstrap import Interval


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval | None:
    """Return the exact two-sided interval of a binomial share; None without trials.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial"
    (Biometrika 26, 1934).

    Args:
        successes: 0 to ``trials``.
        trials: independent ones.
        level: chance that the interval covers the true share, at least.
    """
    if not trials:
        return None
    tail = (1 - level) / 2
    return Interval(lower_bound(successes, trials, tail), 1 - lower_bound(trials - successes, trials, tail))


def lower_bound(successes: int, trials: int, tail: float) -> float:
    """Return the share below which so many successes or more have a chance of at most ``tail``."""
    from scipy.stats import beta

    return float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
