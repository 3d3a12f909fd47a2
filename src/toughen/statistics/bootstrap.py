"""The bootstrap: resamples of the texts, percentile intervals, and paired differences over texts and seeds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from toughen.arrays import Floats

Measure = Callable[[Floats], Floats]
"""From counts [s, N] (s resamples of N texts) to a value of each resample [s], NaN where it is undefined."""

SAMPLES = 1000
_CELLS = 4_000_000  # numbers held at a time, 32 MB as float64


class Interval(tuple[float, float]):
    """(low, high), a pair that also knows how many resamples were `skipped` because the metric was undefined there."""

    skipped: int

    def __new__(cls, low: float, high: float, skipped: int = 0) -> Self:
        """Build the pair."""
        pair = super().__new__(cls, (low, high))
        pair.skipped = skipped
        return pair


def resamples(n: int, samples: int, seed: int, *, cells: int = 0) -> Iterator[Floats]:
    """Yield blocks [s, N] of how often each text was drawn, as few rows at a time as the memory asks for.

    Args:
        n: texts, at least 1.
        samples: resamples in all, each of N texts drawn with replacement.
        seed: of the draws; blocks do not change them.
        cells: numbers that are held per resample, where that is more than N.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, min(samples, _CELLS // max(n, cells)))
    for start in range(0, samples, rows):
        block = min(rows, samples - start)
        drawn = rng.integers(n, size=(block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(np.float64)


def resample_measures(
    measures: Mapping[str, Measure], n: int, *, samples: int = SAMPLES, seed: int = 0, cells: int = 0
) -> dict[str, Floats]:
    """Return every measure on the same resamples: {name: [samples]}; arguments as for `resamples`."""
    parts: dict[str, list[Floats]] = {name: [] for name in measures}
    for counts in resamples(n, samples, seed, cells=cells):
        for name, measure in measures.items():
            parts[name].append(measure(counts))
    return {name: np.concatenate(part) for name, part in parts.items()}


def percentile_interval(values: Floats, level: float = 0.95) -> Interval | None:
    """Return the interval of resampled values [S], NaN ones skipped and counted; None where all are undefined.

    Raises:
        ValueError: if ``level`` is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), len(values) - len(defined))


# ---------------------------------------------------------------- paired differences


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
    found = percentile_interval(drawn, level)
    return None if found is None else Difference(*found, two_sided(drawn[np.isfinite(drawn)]), found.skipped)


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
