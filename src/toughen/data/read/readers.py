"""Read one file into a split, a large one into a file that is mapped.

Arrow does the reading; what it refuses is read again, slowly, to name the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from toughen.data.read import spill
from toughen.data.read.diagnose import (
    csv_fault,
    headers,
    json_records,
    misused_quote,
    parse_json,
    refuse_bad_utf8,
)
from toughen.data.read.raw import Raw, refuse_duplicate_columns, table_of
from toughen.data.read.spill import collect
from toughen.errors import InputError

BLOCK = 8 << 20  # bytes per Arrow block; a record must fit into one
LINES = 1000  # rows that are read at once where blocks are not counted in bytes


def read_file(path: Path, name: str | None = None) -> Raw:
    """Read ``.csv .tsv .jsonl .json .parquet`` into a split.

    Raises:
        InputError: if the file is missing, empty, malformed, not UTF-8 or of another kind.
    """
    name = name or str(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"Cannot read {name}: the extension must be one of {' '.join(READERS)}.")
    if not path.is_file():
        raise InputError(f"The file {name} is missing; check the path.")
    try:
        if path.stat().st_size == 0:
            raise _empty(name)
        return reader(path, name)
    except OSError as error:
        raise InputError(f"Cannot read {name}: {error.strerror or error}.") from error


def read_lines(path: Path, name: str) -> Raw:
    """Read a text file with one text per line (for texts without labels)."""
    refuse_bad_utf8(path, name)
    schema = pa.schema([("text", pa.string())])
    with path.open(encoding="utf-8-sig") as file:
        # A line may hold characters at which splitlines divides and files do not.
        lines = iter(line for whole in file for line in whole.splitlines())
        parts = iter(lambda: list(islice(lines, LINES)), [])
        return Raw(collect((pa.record_batch([part], schema=schema) for part in parts), schema), name)


def _empty(name: str) -> InputError:
    return InputError(f"{name} is empty: it holds no rows, so give a file with texts in it.")


def _read_csv(path: Path, name: str) -> Raw:
    return _read_delimited(path, name, ",")


def _read_tsv(path: Path, name: str) -> Raw:
    return _read_delimited(path, name, "\t")


@dataclass(frozen=True)
class Delimited:
    """A file of separated values that was looked at and can be read.

    Attributes:
        path: the file.
        name: what the user calls it.
        delimiter: between fields.
        quoted: whether fields may stand in quotes.
        names: of the columns, as the header has them.
    """

    path: Path
    name: str
    delimiter: str
    quoted: bool
    names: tuple[str, ...]

    def batches(self, block: int) -> pa.csv.CSVStreamingReader:
        """Return Arrow's reader of it, all columns as text, in blocks of so many bytes."""
        convert = pa.csv.ConvertOptions(
            column_types={column: pa.string() for column in self.names}, strings_can_be_null=False
        )
        parse = pa.csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char='"' if self.quoted else False,
            newlines_in_values=self.quoted,
            ignore_empty_lines=True,
        )
        how = pa.csv.ReadOptions(block_size=block)
        return pa.csv.open_csv(self.path, read_options=how, parse_options=parse, convert_options=convert)

    def fault(self, error: pa.ArrowInvalid) -> InputError:
        """Return what to say where Arrow fails."""
        if "Empty CSV" in str(error):
            return _empty(self.name)
        found = csv_fault(self.path, self.name, self.delimiter, self.quoted)
        return InputError(found or _unread(self.name, error))

    def tidied(self, table: pa.Table) -> pa.Table:
        """Return a table without the columns that have no name."""
        table = table.rename_columns([column.strip() for column in table.column_names])
        return table.select([i for i, column in enumerate(table.column_names) if column])


def delimited(path: Path, name: str, delimiter: str) -> Delimited:
    """Look at a file of separated values.

    Raises:
        InputError: if it is not UTF-8, its quotes are broken, or it has no columns or two of one name.
    """
    refuse_bad_utf8(path, name)
    # Many .tsv files (GLUE's among them) put quotes in texts and know no quoting; a .csv that does so is broken.
    stray = misused_quote(path, delimiter)
    if stray and delimiter == ",":
        raise InputError(f"{name}, line {stray}: a quoted field is not closed properly; double the quotes inside it.")
    quoted = not stray
    names = headers(path, delimiter, quoted)
    if not names:
        raise _empty(name)
    # Spreadsheets leave columns without a name behind the last one: they are not read.
    refuse_duplicate_columns([column.strip() for column in names if column.strip()], name)
    return Delimited(path, name, delimiter, quoted, tuple(names))


def _read_delimited(path: Path, name: str, delimiter: str) -> Raw:
    file = delimited(path, name, delimiter)

    def read(block: int) -> pa.Table:
        with file.batches(block) as batches:
            return collect(batches, batches.schema)

    try:
        table = _with_blocks(read, path)
    except pa.ArrowInvalid as error:
        raise file.fault(error) from error
    return Raw(file.tidied(table), name, typed=False)


def _with_blocks(read: Callable[[int], pa.Table], path: Path) -> pa.Table:
    """Read in small blocks; if one record is longer than a block, in one."""
    try:
        return read(BLOCK)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise
        return read(min(path.stat().st_size + 1, 2**31 - 1))


def _unread(name: str, error: Exception) -> str:
    first = str(error).splitlines()[0].rstrip(".")
    return f"{name} cannot be read ({first}); check that its content fits its extension."


def _read_json(path: Path, name: str) -> Raw:
    refuse_bad_utf8(path, name)
    start = first_character(path)
    if not start:
        raise _empty(name)
    return _json_list(path, name) if start == "[" else _json_lines(path, name)


def first_character(path: Path) -> str:
    """Return the first character of a text file that is no white space; nothing if there is none."""
    with path.open(encoding="utf-8-sig") as file:
        return next((line.strip()[0] for line in file if line.strip()), "")


def _json_lines(path: Path, name: str) -> Raw:
    try:
        schema = _text_fields(path)
        parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")

        table = _with_blocks(lambda block: _json_table(path, block, parse), path)
        if any(_guessed(kind) for kind in table.schema.types):
            raise ValueError("Arrow took texts for dates")
        return Raw(table, name)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        # Arrow reads fast but refuses vaguely: read row by row, which either succeeds or says where it fails.
        if isinstance(error, InputError):
            raise
        return table_of_records(list(json_records(path, name)), name)


def _json_table(path: Path, block: int, parse: pa.json.ParseOptions) -> pa.Table:
    how = pa.json.ReadOptions(block_size=block)
    if path.stat().st_size > spill.IN_RAM:
        try:
            with pa.json.open_json(path, read_options=how, parse_options=parse) as batches:
                return collect(batches, batches.schema)
        except pa.ArrowInvalid:
            pass  # a later block has other fields or types than the first: only the whole file tells
    return pa.json.read_json(path, read_options=how, parse_options=parse)


def _guessed(kind: pa.DataType) -> bool:
    """Tell lists of dates, which JSON does not have."""
    return bool(pa.types.is_list(kind) and pa.types.is_temporal(kind.value_type))


def _text_fields(path: Path) -> pa.Schema:
    """Fix the type of what is text in the first record: Arrow would take texts that look like dates for dates."""
    with path.open(encoding="utf-8-sig") as file:
        first = json.loads(next(line for line in file if line.strip()))
    if not isinstance(first, dict):
        raise ValueError("not a record")
    return pa.schema([(key, pa.string()) for key, value in first.items() if isinstance(value, str)])


def _json_list(path: Path, name: str) -> Raw:
    try:
        records = parse_json(path.read_text("utf-8-sig"), name)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: malformed JSON ({error.msg}); mend it there.") from error
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f'{name}, row {row + 1} is not a record such as {{"text": ..., "label": ...}}.')
    return table_of_records(records, name)


def table_of_records(records: list[dict[str, Any]], name: str) -> Raw:
    """Build a split from JSON objects; what one of them lacks is null."""
    keys = dict.fromkeys(key for record in records for key in record)
    return table_of({key: [record.get(key) for record in records] for key in keys}, name)


def _read_parquet(path: Path, name: str) -> Raw:
    try:
        with pa.parquet.ParquetFile(path, memory_map=True) as file:
            table = _parquet_table(file)
    except InputError:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise InputError(_unread(name, error)) from error
    return Raw(table, name, class_names=class_names_of(table.schema))


def _parquet_table(file: pa.parquet.ParquetFile) -> pa.Table:
    parts = file.metadata
    if sum(parts.row_group(i).total_byte_size for i in range(parts.num_row_groups)) <= spill.IN_RAM:
        return file.read()
    return collect(file.iter_batches(batch_size=LINES), file.schema_arrow)


def class_names_of(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Return the class names that the `datasets` library keeps in an Arrow schema."""
    facts = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = facts.get("info", {}).get("features") or {}
    inner = {name: _inner_feature(feature) for name, feature in features.items()}
    classes = {name: f for name, f in inner.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    return {name: tuple(feature["names"]) for name, feature in classes.items() if feature.get("names")}


def _inner_feature(feature: Any) -> Any:
    """Return what a list holds, in each way in which `datasets` has written it; other features as they are."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    lists = isinstance(feature, dict) and feature.get("_type") in ("List", "LargeList", "Sequence")
    return feature.get("feature") if lists else feature


READERS: dict[str, Callable[[Path, str], Raw]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
