"""Texts that recur: within a split, between splits, and across the line of a held-out split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns import is_string
from toughen.tasks import TaskName

if TYPE_CHECKING:
    import datasets

BETWEEN = "\x1f"  # between the two texts of a pair: the unit separator, which no text holds

Ints = npt.NDArray[np.int64]


def identity(table: pa.Table) -> pa.ChunkedArray:
    """Return what makes two texts the same one: the text without the space around it.

    Of a pair it is both texts; of tokens the words with a space between them.
    """
    texts = table["text"]
    if not is_string(texts.type):
        texts = pc.binary_join(texts, " ")
    texts = pc.utf8_trim_whitespace(texts.cast(pa.large_string()))
    if "text_pair" not in table.column_names:
        return texts
    second = pc.utf8_trim_whitespace(table["text_pair"].cast(pa.large_string()))
    return pc.binary_join_element_wise(texts, second, pa.scalar(BETWEEN, pa.large_string()))


def text_hashes(dataset: datasets.Dataset) -> npt.NDArray[np.uint64]:
    """Return a number per text, uint64 [N], the same for the same text on every machine and in every run.

    Equal are the texts that count as the same when splits are compared: see :func:`identity`. Two different texts of a
    million have equal numbers with a chance of about 3e-8.

    Args:
        dataset: with the column ``text`` (and ``text_pair``).
    """
    columns = [name for name in ("text", "text_pair") if name in dataset.column_names]
    texts = identity(dataset.select_columns(columns).with_format("arrow")[:]).to_pylist()
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def count_shared(one: pa.Table, other: pa.Table) -> int:
    """Return how many distinct texts stand in both tables."""
    return int(pc.sum(pc.is_in(identity(one).unique(), value_set=identity(other).unique())).as_py() or 0)


def without(table: pa.Table, *others: pa.Table) -> pa.Table:
    """Return the rows whose text stands in none of the other tables."""
    for other in others:
        table = table.filter(pc.invert(pc.is_in(identity(table), value_set=identity(other).unique())))
    return table


def _numbered(values: pa.ChunkedArray) -> Ints:
    """Return one number per value, int64 [N]: equal for equal values, counted up in order of appearance."""
    return np.asarray(pc.index_in(values, value_set=values.unique()).cast(pa.int64()))


def text_ids(table: pa.Table) -> Ints:
    """Return one number per row, int64 [N]: equal for equal texts, counted up in order of appearance."""
    return _numbered(identity(table))


def unit_ids(table: pa.Table) -> Ints:
    """Return one number per row, int64 [N], equal for rows that must stay on one side of a division.

    These are copies of a text and, where there is a column ``group``, rows of a group; and what such rows connect.
    """
    texts = text_ids(table)
    if "group" not in table.column_names:
        return texts
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = _numbered(table["group"]) + len(texts)
    size = 2 * len(texts)
    graph = coo_array((np.ones(len(texts)), (texts, groups)), shape=(size, size))
    parts = connected_components(graph, directed=False)[1][texts]
    return np.unique(parts, return_inverse=True)[1].astype(np.int64)


def _label_ids(table: pa.Table, task: TaskName) -> Ints:
    """Return one number per row, int64 [N]: equal for equal labels."""
    column = table["label"]
    if task in ("multi-label", "tokens"):
        column = pc.binary_join(
            column.cast(pa.list_(pa.int8() if task == "multi-label" else pa.int64())).cast(pa.list_(pa.string())), " "
        )
    return _numbered(column)


def count_repeats(table: pa.Table, task: TaskName) -> tuple[int, int]:
    """Return (rows that repeat an earlier text, texts that carry more than one label)."""
    ids, labels = text_ids(table), _label_ids(table, task)
    texts = int(ids.max(initial=-1)) + 1
    pairs = np.unique(np.stack([ids, labels]), axis=1)
    return len(ids) - texts, int((np.bincount(pairs[0]) > 1).sum())


def count_shared_groups(one: pa.Table, other: pa.Table) -> int:
    """Return how many groups have rows in both tables; 0 where one of them names no groups."""
    if "group" not in one.column_names or "group" not in other.column_names:
        return 0
    return int(pc.sum(pc.is_in(one["group"].unique(), value_set=other["group"].unique())).as_py() or 0)
