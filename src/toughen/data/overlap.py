"""Texts that recur: within a split, between splits, and across the line of a held-out split."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toughen.errors import InputError


def identity(table: pa.Table) -> pa.ChunkedArray:
    """Return what makes two texts the same one: the text without the space around it."""
    return pc.utf8_trim_whitespace(table["text"].cast(pa.large_string()))


def count_shared(one: pa.Table, other: pa.Table) -> int:
    """Return how many distinct texts stand in both tables."""
    return int(pc.sum(pc.is_in(identity(one).unique(), value_set=identity(other).unique())).as_py() or 0)


def without(table: pa.Table, *others: pa.Table) -> pa.Table:
    """Return the rows whose text stands in none of the other tables."""
    for other in others:
        table = table.filter(pc.invert(pc.is_in(identity(table), value_set=identity(other).unique())))
    return table


def text_ids(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return one number per row, int64 [N]: equal for equal texts, counted up in order of appearance."""
    texts = identity(table)
    return np.asarray(pc.index_in(texts, value_set=texts.unique()).cast(pa.int64()))


def count_repeats(table: pa.Table) -> tuple[int, int]:
    """Return (rows that repeat an earlier text, texts that carry more than one label)."""
    ids, labels = text_ids(table), np.asarray(table["label"])
    texts = int(ids.max(initial=-1)) + 1
    pairs = np.unique(np.stack([ids, labels]), axis=1)
    return len(ids) - texts, int((np.bincount(pairs[0]) > 1).sum())


def hold_out(table: pa.Table, share: float, seed: int, names: tuple[str, ...], where: str) -> tuple[pa.Table, pa.Table]:
    """Divide a table into (rest, held out), stratified by label; copies of a text stay on one side.

    At least one text per class goes to each side as a whole, whatever the share.

    Raises:
        InputError: if a class has too few distinct texts.
    """
    ids = text_ids(table)
    labels = np.asarray(table["label"])[np.unique(ids, return_index=True)[1]]  # of each text's first row
    chosen = np.isin(ids, _choose(labels, share, seed, names, where))
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))


def _choose(labels: npt.NDArray[Any], share: float, seed: int, names: tuple[str, ...], where: str) -> npt.NDArray[Any]:
    from sklearn.model_selection import train_test_split

    counts = np.bincount(labels, minlength=len(names))
    present = counts[counts > 0]
    if present.min() < 2:
        few = names[int(np.flatnonzero(counts == 1)[0])]
        raise InputError(
            f"Class {few!r} has 1 distinct text in {where}, too few to hold out a validation split; "
            "add rows of that class or give a validation split."
        )
    size = min(max(round(share * len(labels)), len(present)), len(labels) - len(present))
    held = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed)[1]
    return np.asarray(held)
