"""Any number of labels per row: the sets of multi-label, and the tags of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.find import is_list, is_string
from toughen.data.columns.labels import Labels, first_row
from toughen.data.read.raw import Raw, brief
from toughen.errors import InputError

SEPARATORS = ("|", ",")  # the first that a column has divides its labels
BRACKETED = r"^\s*\[.*\]\s*$"
PARTS = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s,\[\]'\"]+")  # of a list that was printed: [1, 2], ['a' 'b']
ONES, ZEROS = ("1", "1.0", "True", "true"), ("0", "0.0", "False", "false")


@dataclass(frozen=True)
class NameLists:
    """Labels of every row, one row's after the other.

    Attributes:
        flat: their names, string [M], and the order that the source keeps for them.
        offsets: where each row's labels start, and M, int64 [N+1].
    """

    flat: Labels
    offsets: npt.NDArray[np.int64]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Return the row of each label, int64 [M]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def matrix(self, label_names: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return 1 where a row has a label, [N, K]."""
        hot = np.zeros((len(self.offsets) - 1, len(label_names)), np.float32)
        hot[self.rows, np.asarray(self.flat.ids(label_names))] = 1
        return hot


def read_list_column(raw: Raw, column: str) -> NameLists:
    """Return a column of lists of names or ids.

    Raises:
        InputError: at a row or an entry that is null, or entries that are neither words nor whole numbers.
    """
    values = raw.column(column).combine_chunks()
    _refuse_null_rows(values, raw, column)
    offsets = np.concatenate([[0], np.cumsum(np.asarray(pc.list_value_length(values)), dtype=np.int64)])
    return NameLists(_entries(pc.list_flatten(values), offsets, raw, column), offsets)


def _refuse_null_rows(values: Any, raw: Raw, column: str) -> None:
    row = first_row(pc.is_null(values))
    if row is not None:
        raise InputError(
            f"{raw.place(row)}: the label in column {column!r} is null; give a list, which is empty where the row has "
            "no label."
        )


def _entries(flat: Any, offsets: npt.NDArray[np.int64], raw: Raw, column: str) -> Labels:
    def place(position: int) -> str:
        return raw.place(int(np.searchsorted(offsets, position, side="right")) - 1)

    integer = pa.types.is_integer(flat.type)
    if not (integer or is_string(flat.type) or pa.types.is_null(flat.type)):
        raise InputError(
            f"The label column {column!r} of {raw.name} holds lists of {flat.type}; give lists of words or of whole "
            "numbers."
        )
    names = raw.class_names.get(column) if integer else None
    if names is not None:
        outside = first_row(pc.or_(pc.less(flat, 0), pc.greater_equal(flat, len(names))))
        if outside is not None:
            raise InputError(
                f"{place(outside)}: label {flat[outside].as_py()} is none of the {len(names)} classes of {column!r}; "
                "correct it."
            )
        flat = pa.array(names, pa.string()).take(flat)
    flat = pc.utf8_trim_whitespace(flat.cast(pa.string()))
    empty = first_row(pc.or_kleene(pc.is_null(flat), pc.equal(flat, "")))
    if empty is not None:
        raise InputError(f"{place(empty)}: a label in column {column!r} is null or empty; fill it in or remove it.")
    return Labels(pa.chunked_array([flat]), names)


def read_separated(raw: Raw, column: str) -> NameLists:
    """Return a column of texts such as ``joy|anger``, ``2,27`` or ``[2, 27]``; an empty one is a row with no label.

    Raises:
        InputError: at a row that is null.
    """
    texts = raw.column(column).cast(pa.string())
    _refuse_null_rows(texts, raw, column)
    found = [text.strip() for text in texts.to_pylist()]
    printed = pc.all(pc.match_substring_regex(texts, BRACKETED), min_count=0).as_py()
    mark = next((mark for mark in SEPARATORS if any(mark in text for text in found)), SEPARATORS[-1])
    parts = [_parse_printed(text) if printed else [part.strip() for part in text.split(mark)] for text in found]
    parts = [[part for part in row if part] for row in parts]
    return _join_lists(parts, None)


def _parse_printed(text: str) -> list[str]:
    return [part.strip("'\"").strip() for part in PARTS.findall(text)]


def _join_lists(parts: list[list[str]], order: tuple[str, ...] | None) -> NameLists:
    flat = pa.array([part for row in parts for part in row], pa.string())
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in parts], dtype=np.int64)])
    return NameLists(Labels(pa.chunked_array([flat]), order), offsets)


def read_flags(raw: Raw, columns: Sequence[str]) -> NameLists:
    """Return several columns of 0 and 1, whose names are the labels.

    Raises:
        InputError: at a value that is neither.
    """
    return _from_matrix(np.stack([_flag(raw, column) for column in columns], axis=1), tuple(columns))


def _flag(raw: Raw, column: str) -> npt.NDArray[np.bool_]:
    values = raw.column(column)
    try:
        texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = pa.chunked_array([pa.array([str(value) for value in values.to_pylist()], pa.string())])
    ones, zeros = (pc.is_in(texts, value_set=pa.array(words)) for words in (ONES, ZEROS))
    wrong = first_row(pc.invert(pc.or_(ones, zeros)))
    if wrong is not None:
        raise InputError(
            f"{raw.place(wrong)}: label column {column!r} holds {values[wrong].as_py()!r}, but every one of several "
            "label columns must say 0 or 1; correct it."
        )
    return np.asarray(ones)


def _from_matrix(hot: npt.NDArray[np.bool_], order: tuple[str, ...]) -> NameLists:
    names = pa.array(order, pa.string()).take(pa.array(np.nonzero(hot)[1]))
    offsets = np.concatenate([[0], np.cumsum(hot.sum(1), dtype=np.int64)])
    return NameLists(Labels(pa.chunked_array([names]), order), offsets)


def read_label_sets(raw: Raw, columns: Sequence[str]) -> NameLists:
    """Return the labels of multi-label data, however they are written.

    Raises:
        InputError: if a column holds one class per row, or anything that is no set of labels.
    """
    if len(columns) > 1:
        return read_flags(raw, columns)
    column = raw.column(columns[0])
    if is_list(raw, columns[0]):
        hot = _multi_hot(column)
        names = raw.class_names.get(columns[0])
        if hot is None or (names is not None and len(names) != hot.shape[1]):
            return read_list_column(raw, columns[0])
        return _from_matrix(hot, names or tuple(map(str, range(hot.shape[1]))))
    if is_string(column.type):
        return read_separated(raw, columns[0])
    raise InputError(
        f"data.task is multi-label, but the label column {columns[0]!r} of {raw.name} holds {brief(column.type)}; give "
        "lists, words with commas between them, or name several 0/1 columns (data.label: a,b,c)."
    )


def _multi_hot(column: pa.ChunkedArray) -> npt.NDArray[np.bool_] | None:
    """Return [N, K] where every list says 0 or 1 for each of K labels; ids never come twice in a list, so these do."""
    kind = column.type.value_type
    number = pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)
    if not number or column.null_count or len(pc.unique(pc.list_value_length(column))) != 1:
        return None
    flat = pc.list_flatten(column.combine_chunks())
    values = np.asarray(flat.cast(pa.float64())).reshape(len(column), -1)
    if not np.isin(values, (0, 1)).all():
        return None
    certain = not pa.types.is_integer(kind) or values.shape[1] > 2 or bool((values[:, 1:] == values[:, :1]).any())
    return values == 1 if values.shape[1] > 1 and certain else None
