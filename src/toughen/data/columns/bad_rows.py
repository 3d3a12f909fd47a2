"""Rows from which nothing can be learnt: which they are, and a split without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toughen.arrays import Ints
from toughen.data.columns.checks import as_strings
from toughen.data.columns.find import is_list, is_string
from toughen.data.columns.labels import read_labels
from toughen.data.columns.numeric import parse_weights, read_numbers
from toughen.data.columns.roles import Columns, Soft, columns_of_split
from toughen.data.columns.soft_labels import faulty_rows, read_probabilities
from toughen.data.read.chunks import select_rows
from toughen.data.read.raw import Raw
from toughen.tasks import TaskName

Mask = npt.NDArray[np.bool_]
_WITHOUT: dict[Soft | None, str] = {
    None: "without a label",
    "probabilities": "without probabilities of the classes that sum to 1",
    "votes": "without a vote",
}


def bad_rows(raw: Raw, columns: Columns, task: TaskName) -> dict[str, Ints]:
    """Return {what is wrong: positions of such rows}; a row stands under the first thing that is wrong with it.

    Raises:
        InputError: if a column is missing or holds something else than the task needs in every row.
    """
    masks = {"without a text": _blank(raw, columns.text)}
    if columns.pair is not None:
        masks["without a second text"] = _blank(raw, columns.pair)
    own = columns_of_split(raw, columns)
    masks[_WITHOUT[own.soft]] = _unlabelled_rows(raw, own, task)
    if columns.group is not None and columns.group in raw.columns:
        masks["without a group"] = _blank(raw, columns.group)
    if columns.weight is not None and columns.weight in raw.columns:
        weights = parse_weights(raw, columns.weight)
        masks["without a weight above 0"] = ~(weights > 0) | np.isinf(weights)
    if task == "tokens":
        words, tags = (
            np.asarray(pc.fill_null(pc.list_value_length(raw.column(name)), 0))
            for name in (columns.text, columns.label[0])
        )
        masks["with more words than tags, or fewer"] = words != tags
    found: dict[str, Ints] = {}
    seen = np.zeros(raw.table.num_rows, bool)
    for what, mask in masks.items():
        found[what] = np.flatnonzero(mask & ~seen)
        seen |= mask
    return {what: rows for what, rows in found.items() if len(rows)}


def without_rows(raw: Raw, bad: Mapping[str, Ints]) -> Raw:
    """Return the split without these rows; the others keep their numbers.

    Raises:
        InputError: if none is left.
    """
    if not bad:
        return raw
    kept = np.setdiff1d(np.arange(raw.table.num_rows), np.concatenate(list(bad.values())))
    files = raw.files and [raw.files[row] for row in kept]
    return replace(raw, table=select_rows(raw.table, kept), files=files, rows=raw.numbers()[kept], damage=())


def describe_bad_rows(raw: Raw, bad: Mapping[str, Ints]) -> list[str]:
    """Say how many rows of a split were left out, and why."""
    parts = [f"{len(raw.damage):,} that could not be read"] if raw.damage else []
    parts += [f"{len(rows):,} {what}" for what, rows in bad.items()]
    return [f"{raw.name}: rows left out (data.bad_rows drop): {', '.join(parts)}"] if parts else []


def _blank(raw: Raw, column: str) -> Mask:
    values = raw.column(column)
    if is_list(raw, column):
        return np.asarray(pc.or_kleene(pc.is_null(values), pc.equal(pc.list_value_length(values), 0)))
    if is_string(values.type):
        values = as_strings(raw, column, "text")
        return np.asarray(pc.or_kleene(pc.is_null(values), pc.equal(pc.utf8_trim_whitespace(values), "")))
    return np.asarray(pc.is_null(values))


def _unlabelled_rows(raw: Raw, columns: Columns, task: TaskName) -> Mask:
    if columns.soft == "probabilities":
        numbers = read_probabilities(raw, columns.label)
        return np.isin(np.arange(len(numbers)), faulty_rows(numbers))
    if columns.soft == "votes":
        return np.asarray(np.all([_blank(raw, name) for name in columns.label], axis=0))
    if task == "single-label":
        return np.asarray(pc.is_null(read_labels(raw, columns.label[0], columns.renames).names))
    if task == "regression":
        return np.isnan(read_numbers(raw, columns.label[0]))
    return np.asarray(np.any([_null(raw, name) for name in columns.label], axis=0))


def _null(raw: Raw, column: str) -> Mask:
    """Tell rows without a value; several labels may be an empty list or text."""
    values = raw.column(column)
    return np.asarray(pc.is_null(values) if not pa.types.is_null(values.type) else np.ones(len(values), bool))
