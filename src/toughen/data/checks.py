"""What a split must satisfy before anything is trained on it: each failure is one sentence with its place."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns import all_numbers
from toughen.data.labels import Labels, first_row
from toughen.data.raw import Raw, listed
from toughen.errors import InputError


def check_texts(raw: Raw, column: str) -> pa.ChunkedArray:
    """Return the texts of a split, string [N].

    Raises:
        InputError: at a column of another type, invalid UTF-8, or the first text that is null or blank.
    """
    texts = _as_strings(raw, column)
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    empty = pc.or_kleene(pc.is_null(texts), blank)
    row = first_row(empty)
    if row is not None:
        what = "null" if texts[row].as_py() is None else "empty"
        raise InputError(f"{raw.place(row)}: the text is {what}{_others(empty)}; fill it in or remove the row.")
    if not raw.typed and all_numbers(texts):
        raise InputError(f"The text column {column!r} of {raw.name} holds numbers, not text; choose with --data.text.")
    return texts


def _as_strings(raw: Raw, column: str) -> pa.ChunkedArray:
    texts = raw.column(column)
    kind = texts.type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (binary or text or pa.types.is_null(kind)):
        raise InputError(f"The text column {column!r} of {raw.name} holds {kind}, not text; choose with --data.text.")
    try:
        if text:
            texts.validate(full=True)  # Arrow trusts what a file calls a string
        return texts.cast(pa.string())
    except pa.ArrowInvalid as error:
        row = _first_bad_utf8(texts)
        raise InputError(f"{raw.place(row)}: the text is invalid UTF-8; save it as UTF-8.") from error


def _first_bad_utf8(texts: pa.ChunkedArray) -> int:
    for row, value in enumerate(texts.cast(pa.large_binary())):
        try:
            (value.as_py() or b"").decode()
        except UnicodeDecodeError:
            return row
    return 0


def _others(mask: pa.ChunkedArray) -> str:
    more = int(pc.sum(mask).as_py()) - 1
    return f" (and {more} more like it)" if more else ""


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


def check_seen(raw: Raw, labels: Labels, seen: Sequence[str]) -> None:
    """Refuse a split with a label that the training rows never have.

    Raises:
        InputError: naming the first such row and its label.
    """
    unseen = pc.invert(pc.is_in(labels.names, value_set=pa.array(seen, pa.string())))
    row = first_row(unseen)
    if row is not None:
        raise InputError(
            f"{raw.place(row)}: label {labels.names[row].as_py()!r} is never seen in train, whose labels are "
            f"{listed(seen)}; correct it, or add rows of that class to train."
        )


def has_no_labels(labels: Labels) -> bool:
    """Tell a split whose labels are withheld (all null, or -1 on the hub)."""
    return bool(labels.names.null_count == len(labels.names))
