"""Read one file into a split, a large one into a file that is mapped.

Arrow does the reading; what it refuses is read again, slowly, to name the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from toughen.arrays import Ints
from toughen.data.read import spill
from toughen.data.read.chunks import select_rows
from toughen.data.read.delimited import empty, explain_unreadable, inspect_delimited
from toughen.data.read.diagnose import foreign_lines, foreign_rows, is_utf8, json_records, parse_json, refuse_bad_utf8
from toughen.data.read.labelled_lines import read_labelled_lines
from toughen.data.read.layouts import read_object, table_of_records
from toughen.data.read.plain import PACKED, SAMPLE, inner, kind_of, plain, two_bytes, with_bad_bytes_replaced
from toughen.data.read.raw import Damage, Raw, find_intact_rows
from toughen.data.read.spill import collect
from toughen.errors import InputError
from toughen.files import load_json

BLOCK = 8 << 20  # bytes per Arrow block; a record must fit into one
LINES = 1000  # rows that are read at once where blocks are not counted in bytes


def read_file(path: Path, name: str | None = None, *, encoding: str | None = None, drop: bool = False) -> Raw:
    """Read ``.csv .tsv .jsonl .json .parquet`` and labelled lines (``.txt``) into a split, also packed (``.csv.gz``).

    Args:
        path: the file.
        name: what the user calls it.
        encoding: of its text; None = UTF-8.
        drop: whether rows that are damaged are left out, and named in ``Raw.damage``.

    Raises:
        InputError: if the file is missing, empty, malformed, of another encoding or of another kind.
    """
    name = name or str(path)
    reader = READERS.get(kind_of(path))
    if reader is None:
        raise InputError(f"Cannot read {name}: the extension must be one of {' '.join(READERS)}{_also(path)}.")
    if not path.is_file():
        raise InputError(f"The file {name} is missing; check the path.")
    try:
        if path.stat().st_size == 0:
            raise empty(name)
        return reader(plain(path, name, encoding), name, drop)
    except OSError as error:
        raise InputError(f"Cannot read {name}: {error.strerror or error}.") from error


def _also(path: Path) -> str:
    return f" (packed as {' '.join(PACKED)}, too)" if inner(path) != path else ""


def read_lines(path: Path, name: str) -> Raw:
    """Read a plain text file with one text per line (for texts without labels); a line ends at LF, CRLF or CR."""
    refuse_bad_utf8(path, name)
    schema = pa.schema([("text", pa.string())])
    with path.open(encoding="utf-8-sig") as file:
        lines = (line.removesuffix("\n") for line in file)
        parts = iter(lambda: list(islice(lines, LINES)), [])
        return Raw(collect((pa.record_batch([part], schema=schema) for part in parts), schema), name)


def _read_delimited(path: Path, name: str, drop: bool) -> Raw:
    with _repaired(path, drop) as repaired:
        file = inspect_delimited(repaired, name)
        damage: list[Damage] = []

        def read(block: int) -> pa.Table:
            with file.batches(block, (lambda _row: "skip") if drop else None) as batches:
                return collect(batches, batches.schema)

        try:
            table = _with_blocks(read, repaired)
            damage = file.damage() if drop else []
        except pa.ArrowInvalid as error:
            raise file.fault(error) from error
    rows = find_intact_rows(table.num_rows, damage)
    if repaired != path:
        foreign = foreign_rows(path, name, file.delimiter, file.quoted)
        table, rows, damage = _without_foreign(table, rows, damage, foreign)
    return Raw(file.drop_unnamed(table), name, typed=False, rows=rows, notes=file.note, damage=damage)


@contextmanager
def _repaired(path: Path, drop: bool) -> Iterator[Path]:
    """Give the file itself, or where rows that are not UTF-8 are to be left out, for the block one that can be read."""
    if not (drop and _has_bad_rows(path)):
        yield path
        return
    with with_bad_bytes_replaced(path) as repaired:
        yield repaired


def _has_bad_rows(path: Path) -> bool:
    """Tell a file of which some rows may not be UTF-8 from one that is, or whose letters have two bytes each."""
    with path.open("rb") as file:
        return not two_bytes(file.read(SAMPLE)) and not is_utf8(path)


def _without_foreign(
    table: pa.Table, rows: Ints | None, damage: list[Damage], foreign: list[Damage]
) -> tuple[pa.Table, Ints, list[Damage]]:
    """Return a table, the numbers of its rows and all damage, without the rows that are not UTF-8."""
    numbers = np.arange(table.num_rows) if rows is None else rows
    kept = np.flatnonzero(~np.isin(numbers, [one.row - 1 for one in foreign]))
    torn = {one.row for one in damage}
    more = [one for one in foreign if one.row not in torn]
    return select_rows(table, kept), numbers[kept], sorted([*damage, *more], key=lambda one: one.row)


def _with_blocks(read: Callable[[int], pa.Table], path: Path) -> pa.Table:
    """Read in small blocks; if one record is longer than a block, in one."""
    try:
        return read(BLOCK)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise
        return read(min(path.stat().st_size + 1, 2**31 - 1))


def _read_json(path: Path, name: str, drop: bool) -> Raw:
    if not drop:
        refuse_bad_utf8(path, name)
    with _repaired(path, drop) as repaired:
        if not first_character(repaired):
            raise empty(name)
        if drop and is_json_lines(repaired):
            damage: list[Damage] = []
            found = table_of_records(list(json_records(repaired, name, damage)), name)
            table, rows = found.table, find_intact_rows(found.table.num_rows, damage)
            if repaired != path:
                table, rows, damage = _without_foreign(table, rows, damage, foreign_lines(path, name))
            return replace(found, table=table, rows=rows, damage=damage)
    if drop:
        refuse_bad_utf8(path, name)
    return _json_lines(path, name) if is_json_lines(path) else _json_whole(path, name)


def is_json_lines(path: Path) -> bool:
    """Tell JSON lines from one value that is the whole file: a list, or an object that holds the rows.

    One line is a record of its own, unless it holds columns (values that are all lists or objects, under no name that
    words have) or a list of records.
    """
    with path.open(encoding="utf-8-sig") as file:
        lines = (line for line in file if line.strip())
        first, second = next(lines, ""), next(lines, "")
    if first.lstrip().startswith("["):
        return False
    try:
        record = load_json(first)
    except ValueError:
        return not _is_object(path)
    if second or not isinstance(record, dict) or not record:
        return True
    return not (_holds_columns(record) or any(_is_rows(value) for value in record.values()))


def _holds_columns(record: dict[str, Any]) -> bool:
    words = any(key.lower() in ("tokens", "words") for key in record)
    return not words and all(isinstance(value, list | dict) for value in record.values())


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_object(path: Path) -> bool:
    """Tell one object over several lines from JSON lines of which the first is damaged."""
    try:
        return isinstance(load_json(path.read_text("utf-8-sig")), dict)
    except ValueError:
        return False


def first_character(path: Path) -> str:
    """Return the first character of a text file that is no white space; nothing if there is none."""
    with path.open(encoding="utf-8-sig") as file:
        return next((line.strip()[0] for line in file if line.strip()), "")


def _json_lines(path: Path, name: str) -> Raw:
    try:
        schema = _text_fields(path)
        parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")

        table = _with_blocks(lambda block: _json_table(path, block, parse), path)
        if any(_holds_dates(kind) for kind in table.schema.types):
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


def _holds_dates(kind: pa.DataType) -> bool:
    """Tell lists of dates, which JSON does not have."""
    return bool(pa.types.is_list(kind) and pa.types.is_temporal(kind.value_type))


def _text_fields(path: Path) -> pa.Schema:
    """Fix the type of what is text in the first record: Arrow would take texts that look like dates for dates."""
    with path.open(encoding="utf-8-sig") as file:
        first = load_json(next(line for line in file if line.strip()))
    if not isinstance(first, dict):
        raise ValueError("not a record")
    return pa.schema([(key, pa.string()) for key, value in first.items() if isinstance(value, str)])


def _json_whole(path: Path, name: str) -> Raw:
    try:
        records = parse_json(path.read_text("utf-8-sig"), name)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: malformed JSON ({error.msg}); mend it there.") from error
    if isinstance(records, dict):
        return read_object(records, name)
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f'{name}, row {row + 1} is not a record such as {{"text": ..., "label": ...}}.')
    return table_of_records(records, name)


def _read_parquet(path: Path, name: str, _drop: bool) -> Raw:
    try:
        with pa.parquet.ParquetFile(path, memory_map=True) as file:
            table = _parquet_table(file)
    except InputError:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise InputError(explain_unreadable(name, error)) from error
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


READERS: dict[str, Callable[[Path, str, bool], Raw]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": read_labelled_lines,
}
