"""One split as it was read: an Arrow table, and what is needed to say where a row came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from toughen.arrays import Ints
from toughen.data.read.chunks import map_chunks
from toughen.errors import InputError


class NoRowsError(InputError):
    """A table that has columns and not one row."""


@dataclass(frozen=True)
class Damage:
    """A row that could not be read.

    Attributes:
        row: its number, from 1.
        sentence: what is wrong with it, where, and what to do.
        remedy: what reads it, where leaving it out is not all that can be done.
    """

    row: int
    sentence: str
    remedy: str = ""


def find_intact_rows(rows: int, damage: Sequence[Damage]) -> Ints | None:
    """Return the numbers, from 0, of so many rows that were read between damaged ones; None where there are none."""
    if not damage:
        return None
    lost = np.array([one.row - 1 for one in damage])
    return np.setdiff1d(np.arange(rows + len(damage)), lost)


@dataclass(frozen=True)
class Raw:
    """One split before its columns are chosen.

    Attributes:
        table: every column as it was read.
        name: what the user calls it ("reviews.csv", "split 'train' of imdb").
        typed: false where the format has no types (CSV), so that numbers arrive as text.
        class_names: names of the classes of a column that holds ids, where the source keeps them.
        mixed: per column that cannot be held, a phrase that says why, where, and what to do.
        files: the file of each row, where every row is a file of its own.
        first: number of the first row, where this is a piece of a split.
        rows: the number of each row, from 0, where rows before or between them were left out.
        notes: what had to be told from the file, as sentences.
        damage: rows that were left out because they could not be read.
    """

    table: pa.Table
    name: str
    typed: bool = True
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mixed: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] | None = None
    first: int = 0
    rows: Ints | None = None
    notes: Sequence[str] = ()
    damage: Sequence[Damage] = ()

    def __post_init__(self) -> None:
        refuse_duplicate_columns(self.table.column_names, self.name)
        if self.table.num_rows == 0:
            raise NoRowsError(f"{self.name} is empty: it has no rows, so give a source with texts in it.")

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in their order."""
        return list(self.table.column_names)

    def place(self, row: int) -> str:
        """Say where row ``row`` (from 0) stands, counting from 1 as people do."""
        return self.files[row] if self.files else f"{self.name}, row {int(self.numbers()[row]) + 1}"

    def numbers(self) -> Ints:
        """Return the number of each row in its source, from 0, int64 [N]."""
        return self.first + np.arange(self.table.num_rows) if self.rows is None else self.rows

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column with dictionary encoding undone.

        Raises:
            InputError: if there is no such column, or its values have several types.
        """
        if name not in self.columns:
            raise InputError(f"{self.name} has no column {name!r}; its columns are {quote_names(self.columns)}.")
        if name in self.mixed:
            raise InputError(f"Column {name!r} of {self.name} {self.mixed[name]}.")
        column = self.table[name]
        if not pa.types.is_dictionary(column.type):
            return column
        kind = column.type.value_type
        return map_chunks(column, lambda piece: piece.cast(kind), kind)


def refuse_duplicate_columns(names: Sequence[str], where: str) -> None:
    """Refuse a table in which two columns share a name.

    Raises:
        InputError: naming the column.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(f"{where} has more than one column named {quote_names(twice)}; rename all but one.")


def quote_names(names: Sequence[str], most: int = 12) -> str:
    """Return names as quoted prose, cut after ``most``."""
    shown = ", ".join(repr(brief(name)) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") or "none"


def brief(value: object, most: int = 60) -> str:
    """Return a value as text, of a long one the beginning."""
    text = str(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def table_of(columns: Mapping[str, Sequence[Any]], name: str, **facts: Any) -> Raw:
    """Build a split from Python values, noting the columns whose values have several types."""
    arrays: dict[str, pa.Array] = {}
    mixed: dict[str, str] = {}
    for key, values in columns.items():
        try:
            arrays[key] = pa.array(values, from_pandas=True)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError) as error:
            mixed[key] = _half_pair(values) or _two_types(values) or _unheld(error)
            arrays[key] = pa.nulls(len(values))
    return Raw(pa.table(arrays), name, mixed=mixed, **facts)


def _unheld(error: Exception) -> str:
    return f"holds what Arrow cannot hold ({brief(str(error).splitlines()[0], 160)}); use texts and numbers"


def _half_pair(values: Sequence[Any]) -> str | None:
    """Name a text that is no Unicode: half of a surrogate pair is what cutting an escaped emoji leaves."""
    lists = ((row, value if isinstance(value, list | tuple) else [value]) for row, value in enumerate(values))
    for row, value in ((row, value) for row, parts in lists for value in parts if isinstance(value, str)):
        found = next((c for c in value if "\ud800" <= c <= "\udfff"), None)
        if found is not None:
            return (
                f"holds half of a surrogate pair ({found!a}) in row {row + 1}: a character that was cut in two; write "
                "it whole or remove it"
            )
    return None


def _two_types(values: Sequence[Any]) -> str | None:
    """Name two values of different types, also within lists."""
    first: tuple[int, Any] | None = None
    lists = ((row, value if isinstance(value, list | tuple) else [value]) for row, value in enumerate(values))
    for row, value in ((row, value) for row, parts in lists for value in parts):
        if _is_null(value):
            continue
        if first is None:
            first = (row, value)
        elif type(value) is not type(first[1]):
            return f"mixes types: {_value_text(*first)} but {_value_text(row, value)}; use one type"
    return None


def _is_null(value: Any) -> bool:
    """Tell the ways in which Python and pandas write a null."""
    not_a_number = isinstance(value, float) and value != value
    return value is None or not_a_number or type(value).__name__ in ("NAType", "NaTType")


def _value_text(row: int, value: Any) -> str:
    return f"row {row + 1} holds {brief(repr(value), 40)} ({type(value).__name__})"
