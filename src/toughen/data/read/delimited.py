"""Files of separated values: which character separates, whether fields stand in quotes, and how Arrow reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from toughen.data.read.diagnose import (
    csv_faults,
    header_rows,
    headers,
    misused_quote,
    refuse_bad_utf8,
    table_rows,
)
from toughen.data.read.raw import Damage, refuse_duplicate_columns
from toughen.errors import InputError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
LOOKED_AT = 50  # rows by which a separator is told


@dataclass(frozen=True)
class Delimited:
    """A file of separated values that was looked at and can be read.

    Attributes:
        path: the file.
        name: what the user calls it.
        delimiter: between fields.
        quoted: whether fields may stand in quotes.
        names: of the columns, as the header has them.
        skipped: lines before the header: one where it says sep=;
    """

    path: Path
    name: str
    delimiter: str
    quoted: bool
    names: tuple[str, ...]
    skipped: int = 0

    def batches(self, block: int, damaged: Callable[[Any], str] | None = None) -> pa.csv.CSVStreamingReader:
        """Return Arrow's reader of it, all columns as text, in blocks of so many bytes.

        ``damaged`` says of a row with too many or too few fields whether that is an "error" or it is to "skip".
        """
        convert = pa.csv.ConvertOptions(
            column_types={column: pa.string() for column in self.names}, strings_can_be_null=False
        )
        parse = pa.csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char='"' if self.quoted else False,
            newlines_in_values=self.quoted,
            ignore_empty_lines=True,
            invalid_row_handler=damaged,
        )
        how = pa.csv.ReadOptions(block_size=block, skip_rows=self.skipped)
        return pa.csv.open_csv(self.path, read_options=how, parse_options=parse, convert_options=convert)

    def fault(self, error: pa.ArrowInvalid) -> InputError:
        """Return what to say where Arrow fails."""
        if "Empty CSV" in str(error):
            return empty(self.name)
        found = next(csv_faults(self.path, self.delimiter, self.quoted), None)
        return InputError(explain_unreadable(self.name, error) if found is None else self._describe_fault(*found))

    def damage(self) -> list[Damage]:
        """Return all rows with too many or too few fields."""
        faults = csv_faults(self.path, self.delimiter, self.quoted)
        return [Damage(row, self._describe_fault(row, line, fields)) for row, line, fields in faults]

    def _describe_fault(self, row: int, line: int, fields: int) -> str:
        much = "many" if fields > len(self.names) else "few"
        return (
            f"{self.name}, line {line} (row {row}): too {much} fields, {fields} where the header has "
            f"{len(self.names)}; quote fields that contain the separator ({SEPARATORS[self.delimiter]}), or leave such "
            "rows out with --data.bad_rows drop."
        )

    @property
    def note(self) -> tuple[str, ...]:
        """Say which character separates, where it is not the one that the extension promises."""
        usual = "\t" if self.path.suffix.lower() == ".tsv" else ","
        return () if self.delimiter == usual else (f"{self.name}: separator {SEPARATORS[self.delimiter]}",)

    def drop_unnamed(self, table: pa.Table) -> pa.Table:
        """Return a table without the columns that have no name."""
        table = table.rename_columns([column.strip() for column in table.column_names])
        return table.select([i for i, column in enumerate(table.column_names) if column])


def empty(name: str) -> InputError:
    """Return what to say of a file without rows."""
    return InputError(f"{name} is empty: it holds no rows, so give a file with texts in it.")


def explain_unreadable(name: str, error: Exception) -> str:
    """Return what to say where a library gives up, and nothing shows why."""
    first = str(error).splitlines()[0].rstrip(".")
    return f"{name} cannot be read ({first}); check that its content fits its extension."


def inspect_delimited(path: Path, name: str) -> Delimited:
    """Look at a file of separated values.

    Raises:
        InputError: if it is not UTF-8, its quotes are broken, or it has no columns or two of one name.
    """
    refuse_bad_utf8(path, name)
    delimiter = separator(path)
    # Many .tsv files (GLUE's among them) put quotes in texts and know no quoting; a .csv that does so is broken.
    stray = misused_quote(path, delimiter)
    if stray and delimiter != "\t":
        raise InputError(f"{name}, line {stray}: a quoted field is not closed properly; double the quotes inside it.")
    quoted = not stray
    names = headers(path, delimiter, quoted)
    if not names:
        raise empty(name)
    # Spreadsheets leave columns without a name behind the last one: they are not read.
    refuse_duplicate_columns([column.strip() for column in names if column.strip()], name)
    return Delimited(path, name, delimiter, quoted, tuple(names), header_rows(path))


def separator(path: Path) -> str:
    """Return the character that separates: what a first line ``sep=;`` says, else what makes rows of one width.

    That of the extension goes first. Another one is taken where the header has that and not this, or where all rows
    have the header's width by that and not by this.
    """
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    if header_rows(path):
        with path.open(encoding="utf-8-sig", newline="") as file:
            named = file.readline().rstrip("\r\n").strip('"')[-1]
        if named in SEPARATORS:
            return named
    widths = {mark: _widths(path, mark) for mark in (usual, *(mark for mark in SEPARATORS if mark != usual))}
    several = [mark for mark, found in widths.items() if found and found[0] > 1]
    even = [mark for mark in several if len(set(widths[mark])) == 1]
    return next(iter([*(mark for mark in even if mark == usual), *even, *several]), usual)


def _widths(path: Path, mark: str) -> list[int]:
    rows = islice(table_rows(path, mark, quoted=mark != "\t"), LOOKED_AT)
    return [len(row) for row, _ in rows]
