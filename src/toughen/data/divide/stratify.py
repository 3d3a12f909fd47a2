"""Divide texts so that every part is like the whole, for each task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from toughen.arrays import Ints
from toughen.tasks import TaskName

MOST_BINS = 10  # quantile bins that stand in for the classes of regression


def label_matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """Return a multi-label column, lists of K numbers, as [N, K]."""
    flat = np.asarray(column.combine_chunks().flatten(), np.float32)
    return flat.reshape(len(column), -1)


def quantile_bins(numbers: npt.NDArray[np.float64], bins: int) -> Ints:
    """Return the bin of each number, int64 [N]: bins of equal size (give or take one) in the order of the numbers."""
    order = np.argsort(numbers, kind="stable")
    found = np.empty(len(numbers), np.int64)
    found[order] = np.arange(len(numbers)) * bins // len(numbers)
    return found


def strata(table: pa.Table, task: TaskName, bins: int) -> Ints:
    """Return a class per row to stratify by, int64 [N]: the class itself, a quantile bin, or 0 where there is none."""
    if task == "single-label":
        return np.asarray(table["label"], np.int64)
    if task == "regression" and bins > 1:
        return quantile_bins(np.asarray(table["label"], np.float64), bins)
    return np.zeros(table.num_rows, np.int64)


def row_labels(table: pa.Table, task: TaskName) -> npt.NDArray[np.float64]:
    """Return what each row counts for each stratum, [N, L]; a multi-label row without label counts for one more."""
    if task == "multi-label":
        hot = label_matrix(table["label"]).astype(np.float64)
        return np.concatenate([hot, (hot.sum(1, keepdims=True) == 0).astype(np.float64)], axis=1)
    classes = strata(table, task, min(MOST_BINS, table.num_rows // 2))
    return np.eye(int(classes.max()) + 1)[classes]


def by_unit(values: npt.NDArray[np.float64], units: Ints) -> npt.NDArray[np.float64]:
    """Return the sums of rows [N, L] over the units that may not be divided, [U, L]."""
    sums = np.zeros((int(units.max()) + 1, values.shape[1]))
    np.add.at(sums, units, values)
    return sums


def deal(counts: npt.NDArray[np.float64], shares: Sequence[float], seed: int) -> Ints:
    """Deal units to parts so that each part gets its share of every label: iterative stratification.

    The label with the fewest rows left is dealt first; each of its units, the largest first, goes to the part that
    still lacks most of that label, then most of all labels, then by chance.

    On the Stratification of Multi-Label Data (Sechidis, Tsoumakas, Vlahavas, 2011); the deviation is that units may
    be groups of rows, so labels are counted and not only present.

    Args:
        counts: rows of each unit with each label, [U, L].
        shares: of each part, summing to 1, [F].
        seed: of the order and of ties.

    Returns:
        The part of each unit, int64 [U].
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    parts = np.full(len(counts), -1)
    lacks = np.outer(shares, counts.sum(0))
    while (parts < 0).any():
        left = counts[parts < 0].sum(0)
        label = int(np.argmin(np.where(left > 0, left, np.inf)))
        for unit in order[(parts[order] < 0) & (counts[order, label] > 0)]:
            ranked = np.lexsort((rng.random(len(shares)), lacks.sum(1), lacks[:, label]))
            parts[unit] = ranked[-1]
            lacks[ranked[-1]] -= counts[unit]
    return parts
