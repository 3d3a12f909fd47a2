"""Lists that were printed into a table, such as "[0, 1, 0]" or "['a', 'b']": read as the lists that they are."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.read.raw import Raw
from toughen.files import load_json

NUMBERS = re.compile(r"\[\s*-?[\d.]+(\s+-?[\d.]+)*\s*\]")  # as NumPy prints them
ENTRIES = (str, int, float, bool)


def parse_list(text: str) -> list[Any] | None:
    """Return the list that a text is when JSON, Python or NumPy printed it; None if it is none, or one of others."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = load_json(re.sub(r"\s+", ",", text[1:-1].strip()).join("[]") if NUMBERS.fullmatch(text) else text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return found if isinstance(found, list) and all(isinstance(part, ENTRIES) for part in found) else None


def with_lists(raw: Raw) -> Raw:
    """Return a split whose columns of printed lists hold lists; an empty value is a null."""
    table = raw.table
    for place, name in enumerate(table.column_names):
        found = _lists(table[name])
        if found is not None:
            table = table.set_column(place, name, pa.chunked_array([found]))
    return raw if table is raw.table else replace(raw, table=table)


def _lists(column: pa.ChunkedArray) -> pa.Array | None:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)) or not _may_be(column):
        return None
    rows = [None if text is None or not text.strip() else (parse_list(text), text) for text in column.to_pylist()]
    if any(row is not None and row[0] is None for row in rows) or not any(row and row[0] for row in rows):
        return None
    try:
        return pa.array([None if row is None else row[0] for row in rows])
    except (pa.ArrowException, OverflowError, TypeError):
        return None  # entries of several types: words, as they stand


def _may_be(column: pa.ChunkedArray) -> bool:
    """Look whether everything begins and ends with a bracket, so that texts are not parsed for nothing."""
    fits = pc.match_substring_regex(column, r"^\s*(\[[\s\S]*\])?\s*$")
    return bool(pc.all(fits, min_count=0).as_py())
