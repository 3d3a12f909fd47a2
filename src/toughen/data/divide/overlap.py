"""Texts that recur: within a split, between splits, and across the line of a held-out split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toughen.arrays import Ints
from toughen.data.columns.find import is_string
from toughen.data.read.chunks import ROWS, hash_texts, pieces, select_rows, table_of_dataset
from toughen.tasks import TaskName

if TYPE_CHECKING:
    import datasets

BETWEEN = "\x1f"  # between the two texts of a pair: the unit separator, which no text holds
HASH = "hash"
_EACH = r"\p{Han}\p{Hiragana}\p{Katakana}"
WORD = rf"[{_EACH}]|[^\s{_EACH}\x{{3000}}-\x{{303F}}\x{{FF00}}-\x{{FFEF}}]+"


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
    return hashes_of(table_of_dataset(dataset.select_columns(_text_columns(dataset.column_names))))


def _text_columns(names: Sequence[str]) -> list[str]:
    return [name for name in ("text", "text_pair") if name in names]


def hashes_of(table: pa.Table) -> npt.NDArray[np.uint64]:
    """Return the numbers of :func:`text_hashes`, or those in the column ``hash`` where :func:`sketch` made one."""
    if HASH in table.column_names:
        return np.asarray(table[HASH])
    parts = table.select(_text_columns(table.column_names)).to_batches(max_chunksize=ROWS)
    found = [hash_texts(identity(pa.Table.from_batches([part]))) for part in parts]
    return np.concatenate([np.empty(0, np.uint64), *found])


def sketch(table: pa.Table) -> pa.Table:
    """Return what must be known of every row to divide a table: all but its texts.

    These are ``hash`` (uint64, see :func:`text_hashes`) and ``words`` (int64, how many), ``row`` (its position in the
    table, int64), ``label`` and ``group`` where the table has them.
    """
    others = {name: table[name] for name in ("label", "group") if name in table.column_names}
    facts = {HASH: hashes_of(table), "words": word_counts(table), "row": np.arange(table.num_rows)}
    return pa.table({**facts, **others})


def word_counts(table: pa.Table) -> Ints:
    """Return the words of each row, int64 [N], of a pair both texts'.

    A word is a run of characters without white space, or one Chinese or Japanese character.
    """
    if "words" in table.column_names:
        return np.asarray(table["words"])
    found: Ints = np.sum([_words(table[name]) for name in _text_columns(table.column_names)], axis=0)
    return found


def _words(texts: pa.ChunkedArray) -> Ints:
    counts = pc.count_substring_regex(texts, WORD) if is_string(texts.type) else pc.list_value_length(texts)
    return np.asarray(counts, np.int64)


def count_shared(one: pa.Table, other: pa.Table) -> int:
    """Return how many distinct texts stand in both tables."""
    return len(np.intersect1d(hashes_of(one), hashes_of(other)))


def without(table: pa.Table, *others: pa.Table) -> pa.Table:
    """Return the rows whose text stands in none of the other tables."""
    shared = np.zeros(table.num_rows, np.bool_)
    for other in others:
        shared |= np.isin(hashes_of(table), hashes_of(other))
    return select_rows(table, np.flatnonzero(~shared))


def _number_values(values: npt.NDArray[np.uint64]) -> Ints:
    """Return one number per value, int64 [N]: equal for equal values, counted up in order of appearance."""
    _, first, found = np.unique(values, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), np.int64)
    ranks[np.argsort(first)] = np.arange(len(first))
    return ranks[found]


def text_ids(table: pa.Table) -> Ints:
    """Return one number per row, int64 [N]: equal for equal texts, counted up in order of appearance."""
    return _number_values(hashes_of(table))


def unit_ids(table: pa.Table) -> Ints:
    """Return one number per row, int64 [N], equal for rows that must stay on one side of a division.

    These are copies of a text and, where there is a column ``group``, rows of a group; and what such rows connect.
    """
    texts = text_ids(table)
    if "group" not in table.column_names:
        return texts
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = _number_few_values(table["group"]) + len(texts)
    size = 2 * len(texts)
    graph = coo_array((np.ones(len(texts)), (texts, groups)), shape=(size, size))
    parts = connected_components(graph, directed=False)[1][texts]
    return np.unique(parts, return_inverse=True)[1].astype(np.int64)


def _number_few_values(values: pa.ChunkedArray) -> Ints:
    """Return one number per value, int64 [N]: equal for equal values, which are few or short."""
    return np.asarray(pc.index_in(values, value_set=values.unique()).cast(pa.int64()))


def _label_ids(table: pa.Table, task: TaskName) -> Ints:
    """Return one number per row, int64 [N]: equal for equal labels."""
    column = table["label"]
    if task not in ("multi-label", "tokens"):
        return _number_few_values(column)
    kind = pa.list_(pa.int8() if task == "multi-label" else pa.int64())
    texts = (pc.binary_join(piece.cast(kind).cast(pa.list_(pa.string())), " ") for piece in pieces(column))
    return _number_values(np.concatenate([np.empty(0, np.uint64), *map(hash_texts, texts)]))


def count_repeats(table: pa.Table, task: TaskName) -> tuple[int, int]:
    """Return (rows that repeat an earlier text, texts that carry more than one label)."""
    ids, labels = text_ids(table), _label_ids(table, task)
    texts, kinds = int(ids.max(initial=-1)) + 1, int(labels.max(initial=0)) + 1
    pairs = np.unique(ids * kinds + labels) // kinds
    return len(ids) - texts, int((np.bincount(pairs) > 1).sum())


def count_shared_groups(one: pa.Table, other: pa.Table) -> int:
    """Return how many groups have rows in both tables; 0 where one of them names no groups."""
    if "group" not in one.column_names or "group" not in other.column_names:
        return 0
    return int(pc.sum(pc.is_in(one["group"].unique(), value_set=other["group"].unique())).as_py() or 0)
