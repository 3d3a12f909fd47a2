"""Soft labels: a probability of each class per row, given as such or as the votes of annotators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.arrays import Floats, Ints
from toughen.data.columns.find import is_list, is_string
from toughen.data.columns.labels import Labels, read_labels
from toughen.data.columns.lists import NameLists, read_list_column, read_separated
from toughen.data.columns.numeric import parse_weights
from toughen.data.columns.roles import Columns
from toughen.data.config import SOFT_LABEL
from toughen.data.read.raw import Raw, brief, quote_names
from toughen.errors import InputError, count

SUM_TOLERANCE = 0.01
"""By how much the probabilities of a row may miss a sum of 1, as rounded ones do; they are divided by their sum."""
TIE = 1e-9
"""Two probabilities that differ by less are equal."""
PREFIX = "probability_"
"""Stands before the name of a class in what ``predict`` and folds write, and does not belong to it."""


def class_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that columns of probabilities are named after."""
    if all(name.startswith(PREFIX) and name != PREFIX for name in columns):
        return tuple(name.removeprefix(PREFIX) for name in columns)
    return tuple(columns)


def read_probabilities(raw: Raw, columns: Sequence[str]) -> Floats:
    """Return columns of numbers as they stand, [N, K]; NaN where a value is none.

    Raises:
        InputError: at a column that holds neither numbers nor texts.
    """
    return np.stack([parse_weights(raw, column, "label", "probability") for column in columns], axis=1)


def faulty_rows(values: Floats) -> Ints:
    """Return the rows of [N, K] that are no probabilities: a number is missing or negative, or the sum is not 1."""
    with np.errstate(invalid="ignore"):
        good = (values >= 0).all(1) & (abs(values.sum(1) - 1) <= SUM_TOLERANCE)
    return np.flatnonzero(~good)


def check_probabilities(raw: Raw, columns: Sequence[str], values: Floats) -> None:
    """Refuse a split in which a row's numbers are no probabilities.

    Raises:
        InputError: naming the first such row.
    """
    wrong = faulty_rows(values)
    if not len(wrong):
        return
    row = values[int(wrong[0])]
    shown = ", ".join(f"{value:g}" for value in row[:6]) + (", ..." if len(row) > 6 else "")
    if np.isnan(row).any():
        what = f"the probability in column {columns[int(np.isnan(row).argmax())]!r} is no number"
    elif (row < 0).any():
        at = int((row < 0).argmax())
        what = f"the probability in column {columns[at]!r} is {row[at]:g}, and none is negative"
    else:
        what = f"the probabilities in columns {quote_names(columns)} are {shown}, whose sum is {row.sum():g} and not 1"
    more = f" (and {len(wrong) - 1} more rows that are no probabilities)" if len(wrong) > 1 else ""
    raise InputError(
        f"{raw.place(int(wrong[0]))}: {what}{more}; correct it (numbers of votes: divide them by their sum), or leave "
        "such rows out with --data.bad_rows drop."
    )


def read_votes(raw: Raw, columns: Sequence[str]) -> NameLists:
    """Return the votes of every row: one per annotator's column that is not empty, or the entries of a list.

    Raises:
        InputError: if a column holds neither classes nor lists of them.
    """
    if len(columns) > 1:
        return _votes_of_annotators(raw, columns)
    values = raw.column(columns[0])
    if is_list(raw, columns[0]):
        return read_list_column(raw, columns[0])
    if is_string(values.type):
        return read_separated(raw, columns[0])
    raise InputError(
        f"data.vote_columns names one column, {columns[0]!r} of {raw.name}, which holds {brief(values.type)}; give "
        "lists of classes or words with | between them, or name a column for each annotator (a,b,c)."
    )


def _votes_of_annotators(raw: Raw, columns: Sequence[str]) -> NameLists:
    found = [read_labels(raw, column).names.combine_chunks() for column in columns]
    cast = np.stack([np.asarray(pc.is_valid(names)) for names in found], axis=1)
    row, annotator = np.nonzero(cast)
    every = pa.concat_arrays([names.cast(pa.string()) for names in found])
    flat = every.take(pa.array(annotator * len(cast) + row))
    offsets = np.concatenate([[0], np.cumsum(cast.sum(1), dtype=np.int64)])
    return NameLists(Labels(pa.chunked_array([flat])), offsets)


def vote_shares(votes: NameLists, label_names: Sequence[str]) -> Floats:
    """Return the share of each class among the votes of a row, [N, K]; NaN where a row has none."""
    counts = np.zeros((len(votes.offsets) - 1, len(label_names)))
    np.add.at(counts, (votes.rows, np.asarray(votes.flat.ids(label_names))), 1.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / counts.sum(1, keepdims=True))


def check_votes(raw: Raw, columns: Sequence[str], votes: NameLists) -> None:
    """Refuse a split in which a row has no vote.

    Raises:
        InputError: naming the first such row.
    """
    bare = np.flatnonzero(np.diff(votes.offsets) == 0)
    if len(bare):
        more = f" (and {len(bare) - 1} more like it)" if len(bare) > 1 else ""
        raise InputError(
            f"{raw.place(int(bare[0]))}: no vote in {quote_names(columns)}{more}; fill one in, or leave such rows out "
            "with --data.bad_rows drop."
        )


def list_column(probabilities: Floats) -> pa.ListArray:
    """Return probabilities [N, K] as a column of lists."""
    starts = np.arange(len(probabilities) + 1, dtype=np.int32) * probabilities.shape[1]
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(np.ascontiguousarray(probabilities).reshape(-1)))


def most_probable(probabilities: Floats) -> Ints:
    """Return the most probable class of each row, int64 [N]; of several the first, as ids are given."""
    return np.asarray(_highest(probabilities).argmax(1), np.int64)


def count_ties(probabilities: Floats) -> int:
    """Return how many rows [N, K] have more than one most probable class."""
    return int((_highest(probabilities).sum(1) > 1).sum())


def _highest(probabilities: Floats) -> Any:
    return probabilities >= probabilities.max(1, keepdims=True) - TIE


def soft_label_matrix(column: Any) -> Floats:
    """Return a column of lists of K probabilities as [N, K]."""
    flat = np.asarray(pc.list_flatten(column), np.float64)
    return flat.reshape(len(column), -1)


def soft_label_notes(facts: Mapping[str, Mapping[str, Any]], splits: Mapping[str, Raw], columns: Columns) -> list[str]:
    """Say where soft labels come from, and how soft they are; nothing where there are none.

    Args:
        facts: by split what was read of it beside texts and labels.
        splits: as they were read.
        columns: of the training rows.
    """
    if columns.soft is None:
        return []
    notes = [
        f"soft labels: {columns.soft} in {quote_names(columns.label)}; rows are counted, divided and scored under "
        "their most probable class, and trained on with all probabilities"
    ]
    for split, found in facts.items():
        if SOFT_LABEL not in found:
            notes.append(f"{splits[split].name} has one class per row, and is scored by it")
            continue
        values = soft_label_matrix(found[SOFT_LABEL])
        ties = count_ties(values)
        tied = f"; {count(ties, 'row')} with a tie, counted under the first of its classes" if ties else ""
        notes.append(f"soft labels of {split}: the most probable class has {values.max(1).mean():.0%} on average{tied}")
    return notes
