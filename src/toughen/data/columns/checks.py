"""What a split must satisfy before anything is trained on it: each failure is one sentence with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.find import all_numbers, is_list, is_string
from toughen.data.columns.labels import Labels, first_row
from toughen.data.read.chunks import map_chunks, pieces
from toughen.data.read.raw import Raw, brief, quote_names
from toughen.errors import InputError


def check_texts(raw: Raw, column: str, role: str = "text") -> pa.ChunkedArray:
    """Return the texts of a split, string [N]; ``role`` is text or text_pair.

    Raises:
        InputError: at a column of another type, invalid UTF-8, or the first text that is null or blank.
    """
    which = "text" if role == "text" else "second text"
    texts = as_strings(raw, column, role)
    empty = map_chunks(texts, _is_empty, pa.bool_())
    row = first_row(empty)
    if row is not None:
        what = "null" if texts[row].as_py() is None else "empty"
        raise InputError(f"{raw.place(row)}: the {which} is {what}{_others(empty)}; fill it in or remove the row.")
    if not raw.typed and all_numbers(texts):
        raise only_numbers(raw.name, column, role)
    return texts


def lenient_texts(raw: Raw, column: str, role: str = "text") -> pa.ChunkedArray:
    """Return texts to be answered, string [N]: null and empty ones stay, and numbers are texts as they are written.

    Raises:
        InputError: at a column of lists or the like, or invalid UTF-8.
    """
    kind = raw.column(column).type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or is_string(kind):
        return as_strings(raw, column, role)
    return map_chunks(raw.column(column), lambda piece: piece.cast(pa.string()), pa.string())


def only_numbers(name: str, column: str, role: str) -> InputError:
    """Return what to say of a text column in which every value is a number."""
    return InputError(f"The text column {column!r} of {name} holds numbers, not text; choose with --data.{role}.")


def _is_empty(texts: Any) -> Any:
    return pc.or_kleene(pc.is_null(texts), pc.equal(pc.utf8_trim_whitespace(texts), ""))


def as_strings(raw: Raw, column: str, role: str) -> pa.ChunkedArray:
    """Return a column of texts as it stands, string [N].

    Raises:
        InputError: at a column of another type, or the first text that is invalid UTF-8.
    """
    texts = raw.column(column)
    kind = texts.type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (binary or text or pa.types.is_null(kind)):
        raise InputError(
            f"The text column {column!r} of {raw.name} holds {brief(kind)}, not text; choose with --data.{role}."
        )
    try:
        if text:
            texts.validate(full=True)  # Arrow trusts what a file calls a string
        return texts if kind == pa.string() else map_chunks(texts, lambda piece: piece.cast(pa.string()), pa.string())
    except pa.ArrowInvalid as error:
        row = _first_bad_utf8(texts)
        raise InputError(f"{raw.place(row)}: the text is invalid UTF-8; save it as UTF-8.") from error


def _first_bad_utf8(texts: pa.ChunkedArray) -> int:
    for row, value in enumerate(value for piece in pieces(texts) for value in piece.cast(pa.large_binary())):
        try:
            (value.as_py() or b"").decode()
        except UnicodeDecodeError:
            return row
    return 0


def _others(mask: pa.ChunkedArray) -> str:
    more = int(pc.sum(mask).as_py()) - 1
    return f" (and {more} more like it)" if more else ""


def check_words(raw: Raw, column: str) -> pa.ChunkedArray:
    """Return the words of every text of a split, list<string> [N].

    Raises:
        InputError: at a column of another type, or the first text that is null, has no words or an empty one.
    """
    if not is_list(raw, column, of_text=True):
        kind = raw.column(column).type
        raise InputError(
            f"The text column {column!r} of {raw.name} holds {brief(kind)}, not lists of words; choose "
            "with --data.text."
        )
    words = raw.column(column)
    bare = pc.or_kleene(pc.is_null(words), pc.equal(pc.list_value_length(words), 0))
    row = first_row(bare)
    if row is not None:
        raise InputError(f"{raw.place(row)}: the text has no words{_others(bare)}; fill it in or remove the row.")
    _refuse_empty_words(raw, words)
    kind = pa.list_(pa.string())
    return map_chunks(words, lambda piece: piece.cast(kind), kind)


def _refuse_empty_words(raw: Raw, words: pa.ChunkedArray) -> None:
    first = 0
    for piece in pieces(words):
        blank = first_row(_is_empty(piece.flatten().cast(pa.string())))
        if blank is not None:
            row, word = _row_and_word(piece, blank)
            raise InputError(
                f"{raw.place(first + row)}: word {word + 1} is empty; fill it in or remove it and its tag."
            )
        first += len(piece)


def _row_and_word(lists: Any, position: int) -> tuple[int, int]:
    stops = np.cumsum(np.asarray(pc.list_value_length(lists)))
    row = int(np.searchsorted(stops, position, side="right"))
    return row, position - (int(stops[row - 1]) if row else 0)


def check_groups(raw: Raw, column: str) -> pa.ChunkedArray:
    """Return the group of every row, string [N].

    Raises:
        InputError: at the first row that has none, or a column that holds lists.
    """
    values = raw.column(column)
    if pa.types.is_nested(values.type):
        raise InputError(
            f"The group column {column!r} of {raw.name} holds {brief(values.type)}; give one group per row."
        )
    groups = values.cast(pa.string())
    missing = pc.or_kleene(pc.is_null(groups), pc.equal(pc.utf8_trim_whitespace(groups), ""))
    row = first_row(missing)
    if row is not None:
        raise InputError(
            f"{raw.place(row)}: the group in column {column!r} is null{_others(missing)}; fill it in or remove the row."
        )
    return groups


def check_labels(raw: Raw, column: str, labels: Labels) -> None:
    """Refuse a split in which a row has no label.

    Raises:
        InputError: naming the first such row.
    """
    missing = pc.is_null(labels.names)
    row = first_row(missing)
    if row is not None:
        raise InputError(
            f"{raw.place(row)}: the label in column {column!r} is null{_others(missing)}; fill it in or remove the row."
        )


def check_classes(raw: Raw, column: str, labels: Labels) -> None:
    """Refuse training rows that are all of one class.

    Raises:
        InputError: naming the class.
    """
    classes = labels.names.unique().drop_null()
    if len(classes) == 1:
        raise InputError(
            f"{raw.name} has one class only: every row of column {column!r} says {classes[0].as_py()!r}; "
            "a classifier needs at least two."
        )


def check_seen(raw: Raw, labels: Labels, seen: Sequence[str], place: Callable[[int], str] | None = None) -> None:
    """Refuse a split with a label that the training rows never have.

    ``place`` says where a label stands, if the labels are not one per row.

    Raises:
        InputError: naming the first such row and its label.
    """
    unseen = pc.invert(pc.is_in(labels.names, value_set=pa.array(seen, pa.string())))
    row = first_row(unseen)
    if row is not None:
        where = (place or raw.place)(row)
        raise InputError(
            f"{where}: label {labels.names[row].as_py()!r} is never seen in train, whose labels are "
            f"{quote_names(seen)}; correct it, or add rows of that class to train."
        )


def has_no_labels(labels: Labels) -> bool:
    """Tell a split whose labels are withheld (all null, or -1 on the hub)."""
    return bool(labels.names.null_count == len(labels.names))
