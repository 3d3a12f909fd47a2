"""Small samples of seeds and pairs of answers: t intervals, McNemar's exact test, Holm's correction, power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_ROUNDING = 1e-14


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values, in their unit.
        low, high: ends of the t interval; None for a single value, and where all are equal.
        p: two-sided, of the mean being 0; None likewise.
        sd: standard deviation of the values (n - 1); None for a single value.
        n: number of values.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    sd: float | None
    n: int


def over_seeds(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Student's t interval and test of a mean, one value per seed.

    Of paired differences this is the paired t test. Values that are all equal, but for rounding, have neither interval
    nor p: they say nothing of how far others would be from them (runs that collapsed to one answer score alike).

    Args:
        values: [n] float, n at least 1.
        level: mass of the interval, in (0, 1).

    Raises:
        ValueError: if there is no value or one is not finite.
    """
    from scipy.stats import t

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"values must be at least one finite number, got {values!r}")
    mean = float(x.mean())
    if len(x) == 1:
        return Estimate(mean, None, None, None, None, 1)
    sd = float(x.std(ddof=1))
    if sd <= _ROUNDING * max(1.0, float(np.abs(x).max())):
        return Estimate(mean, None, None, None, 0.0, len(x))
    error = sd / math.sqrt(len(x))
    reach = float(t.ppf((1 + level) / 2, len(x) - 1)) * error
    p = float(2 * t.sf(abs(mean) / error, len(x) - 1))
    return Estimate(mean, mean - reach, mean + reach, p, sd, len(x))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number (Holm, 1979), keeping their order; None (no test) is left out of the count.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below the one before, and 1 is the
    most. The chance that any true null hypothesis gets a corrected p below alpha is at most alpha, whatever their
    dependence.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[i] = highest
    return corrected


@dataclass(frozen=True)
class McNemar:
    """Answers on which two classifiers differ: how many only one of them has right, and the exact tests' p values."""

    only_first: int
    only_second: int
    p: float
    p_mid: float


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Exact test that either of two classifiers is alone in being right equally often (McNemar, 1947).

    p is the two-sided binomial test of the discordant pairs at 1/2. It is conservative, because the binomial is
    discrete; p_mid counts the probability of the observed table by half (Lancaster 1961; recommended by Fagerland,
    Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013).

    Args:
        only_first: examples that the first alone has right.
        only_second: examples that the second alone has right.
    """
    from scipy.stats import binom, binomtest

    n = only_first + only_second
    if n == 0:
        return McNemar(0, 0, 1.0, 1.0)
    exact = float(binomtest(only_first, n, 0.5).pvalue)
    observed = float(binom.pmf(only_first, n, 0.5))
    mid = 1 - observed / 2 if only_first == only_second else exact - observed
    return McNemar(only_first, only_second, exact, mid)


def smallest_effect(sd_of_difference: float, n: int, *, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """Return the true mean difference that a paired t test over n seeds finds with this power.

    From the non-central t distribution: the differences are taken to be normal with the standard deviation given.

    Args:
        sd_of_difference: of one seed's difference, in the metric's unit. Of two independent runs with standard
            deviation s each it is s * sqrt(2).
        n: seeds.
        alpha: two-sided level of the test, in (0, 1).
        power: chance of finding it, in (alpha, 1).

    Returns:
        The effect in the metric's unit; None for a single seed, which can show nothing.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if n < 2:
        return None
    df, critical = n - 1, float(t.ppf(1 - alpha / 2, n - 1))

    def missing(shift: float) -> float:
        # The far tail is left out: it is below alpha / 2 and falls with the shift.
        return float(nct.sf(critical, df, shift)) - power

    high = 2.0
    while missing(high) < 0:
        high *= 2
    shift = float(brentq(missing, 0.0, high))
    return shift * sd_of_difference / math.sqrt(n)


def pooled_sd(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups, pooled over those of two values and more.

    None without any, and where all values are equal within their groups: that is no measurement of how they vary.
    """
    parts = [np.asarray(group, dtype=np.float64) for group in groups if len(group) > 1]
    if not parts:
        return None
    squares = sum(float(((x - x.mean()) ** 2).sum()) for x in parts)
    return math.sqrt(squares / sum(len(x) - 1 for x in parts)) or None
