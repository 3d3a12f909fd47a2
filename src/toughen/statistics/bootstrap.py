"""Paired bootstrap of a difference, over texts and over the seeds of two recipes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toughen.arrays import Floats


@dataclass(frozen=True)
class Difference:
    """What the resamples say.

    Attributes:
        low, high: ends of the percentile interval.
        p: two-sided; no smaller than 2 / (samples + 1).
        skipped: resamples left out because the score was undefined there.
    """

    low: float
    high: float
    p: float
    skipped: int


def hierarchical(
    first: Floats, second: Floats, *, paired: bool, seed: int = 0, level: float = 0.95
) -> Difference | None:
    """Resample seeds on top of texts that were resampled already.

    Row k of ``first`` and ``second`` holds the score of run k on each resample of the texts, the same resamples for all
    runs, so texts are always paired. Within each resample the runs are drawn too, and their scores averaged. Of n seeds
    n - 1 are drawn: drawing n would understate the variance over seeds by the factor (n - 1) / n. A single run stays
    as it is, and the interval then speaks of other texts only.

    Args:
        first: [n, S] scores of one recipe's n runs on S resamples.
        second: [m, S] of the other's m runs.
        paired: whether row k of both has the same seed; the same rows are drawn then, and n = m.
        seed: of the draws.
        level: mass of the interval, in (0, 1).

    Returns:
        The interval and p of first - second; None if the score is undefined in every resample.
    """
    rng = np.random.default_rng(seed)
    samples = first.shape[1]
    if paired and len(first) != len(second):
        raise ValueError(f"paired runs must be equally many, got {len(first)} and {len(second)}")
    weights = _draws(len(first), samples, rng)
    others = weights if paired else _draws(len(second), samples, rng)
    drawn = (weights * first).sum(axis=0) - (others * second).sum(axis=0)
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(low), float(high), two_sided(defined), samples - len(defined))


def two_sided(drawn: Floats) -> float:
    """Return the p value of 0 among resampled differences [S]: twice the smaller tail, each counted with one more."""
    smaller = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(drawn) + 1))


def _draws(runs: int, samples: int, rng: np.random.Generator) -> Floats:
    """Return the share of each run in each resample: [runs, samples], columns sum to 1."""
    if runs == 1:
        return np.ones((1, samples))
    counts = rng.multinomial(runs - 1, np.full(runs, 1 / runs), size=samples)
    return np.asarray(counts.T / (runs - 1), dtype=np.float64)
