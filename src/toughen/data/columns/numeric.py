"""Labels that are numbers, for regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.find import is_string
from toughen.data.columns.labels import NULL_WORDS, first_row
from toughen.data.read.raw import Raw, brief
from toughen.errors import InputError

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def read_numbers(raw: Raw, column: str) -> npt.NDArray[np.float64]:
    """Return the label column as numbers, [N]; NaN where there is none.

    Raises:
        InputError: at a label that is a word, a list, or infinite.
    """
    values = raw.column(column)
    kind = values.type
    if is_string(kind):
        values = _parse_numbers(values, raw, column)
    elif not (_is_number(kind) or pa.types.is_null(kind)):
        raise InputError(
            f"data.task is regression, but the label column {column!r} of {raw.name} holds {brief(kind)}; give one "
            "number per row."
        )
    numbers = np.asarray(values.cast(pa.float64()).to_numpy(), np.float64)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise InputError(f"{raw.place(int(infinite[0]))}: the label in column {column!r} is infinite; correct it.")
    return numbers


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _parse_numbers(values: pa.ChunkedArray, raw: Raw, column: str) -> Any:
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    empty = pc.or_(pc.equal(texts, ""), pc.is_in(texts, value_set=NULL_WORDS))
    texts = pc.if_else(empty, pa.scalar(None, pa.string()), texts)
    word = first_row(pc.invert(pc.match_substring_regex(texts, NUMBER)))
    if word is not None:
        raise InputError(
            f"{raw.place(word)}: label {texts[word].as_py()!r} in column {column!r} is no number, but data.task is "
            "regression; correct it, or name another task."
        )
    return pc.replace_substring_regex(texts, r"^\+", "").cast(pa.float64())


def read_weights(raw: Raw, column: str) -> npt.NDArray[np.float64]:
    """Return what each row counts for, [N], all above 0.

    Raises:
        InputError: at the first row whose weight is missing, no number, infinite, 0 or negative.
    """
    weights = parse_weights(raw, column)
    wrong = np.flatnonzero(~(weights > 0) | np.isinf(weights))
    if len(wrong):
        value = raw.column(column)[int(wrong[0])].as_py()
        more = f" (and {len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
        raise InputError(
            f"{raw.place(int(wrong[0]))}: the weight in column {column!r} is {'null' if value is None else repr(value)}"
            f"{more}, where a number above 0 is needed; correct it, or leave such rows out with --data.bad_rows drop."
        )
    return weights


def parse_weights(raw: Raw, column: str, role: str = "weight", kind: str = "number above 0") -> npt.NDArray[np.float64]:
    """Return a column as numbers, [N]; NaN where a value is none. ``role`` and ``kind`` say what it should hold.

    Raises:
        InputError: at a column that holds neither numbers nor texts.
    """
    values = raw.column(column)
    if is_string(values.type):
        texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
        known = pc.fill_null(pc.match_substring_regex(texts, NUMBER), False)
        texts = pc.if_else(known, pc.replace_substring_regex(texts, r"^\+", ""), pa.scalar(None, pa.string()))
        values = texts.cast(pa.float64())
    elif not (_is_number(values.type) or pa.types.is_null(values.type)):
        raise InputError(
            f"The {role} column {column!r} of {raw.name} holds {brief(values.type)}; give one {kind} per row."
        )
    return np.asarray(values.cast(pa.float64()).to_numpy(), np.float64)


def check_numbers(raw: Raw, column: str, numbers: npt.NDArray[np.float64]) -> None:
    """Refuse a split in which a row has no number.

    Raises:
        InputError: naming the first such row.
    """
    missing = np.flatnonzero(np.isnan(numbers))
    if len(missing):
        more = f" (and {len(missing) - 1} more like it)" if len(missing) > 1 else ""
        raise InputError(
            f"{raw.place(int(missing[0]))}: the label in column {column!r} is null{more}; fill it in or remove the row."
        )


def check_spread(raw: Raw, column: str, numbers: npt.NDArray[np.float64]) -> None:
    """Refuse training rows that all have the same number.

    Raises:
        InputError: naming the number.
    """
    if numbers.min() == numbers.max():
        raise InputError(
            f"{raw.name} has one label only: every row of column {column!r} says {numbers[0]:g}; regression needs at "
            "least two different numbers."
        )
