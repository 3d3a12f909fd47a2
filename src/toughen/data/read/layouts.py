"""JSON objects that hold rows in another way than a record each: columns, an envelope, or what pandas writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toughen.data.read.raw import Raw, quote_names, table_of
from toughen.errors import InputError

LAYOUTS = 'a list of records, {"text": [...], "label": [...]}, or {"data": [records]}'


def table_of_records(records: Sequence[Mapping[Any, Any]], name: str) -> Raw:
    """Build a split from JSON objects; what one of them lacks is null."""
    keys = dict.fromkeys(str(key) for record in records for key in record)
    rows = [{str(key): value for key, value in record.items()} for record in records]
    return table_of({key: [row.get(key) for row in rows] for key in keys}, name)


def read_object(found: Mapping[Any, Any], name: str) -> Raw:
    """Build a split from one object.

    Known are columns ({"text": [...], "label": [...]}), an envelope ({"data": [records]}), and the layouts of pandas'
    ``to_json``: columns and index (objects of objects), split and table.

    Raises:
        InputError: if it is none of these, or its columns differ in length.
    """
    rows = _records(found)
    if rows is not None:
        return table_of_records(rows, name)
    columns = {str(key): _listed_values(value) for key, value in found.items()}
    if not columns or not all(values is not None for values in columns.values()):
        keys = quote_names(list(found))
        raise InputError(f"Cannot read {name}: it holds an object with the keys {keys}, and no rows; give {LAYOUTS}.")
    known = {key: values for key, values in columns.items() if values is not None}
    lengths = {key: len(values) for key, values in known.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key!r} {length:,}" for key, length in list(lengths.items())[:6])
        raise InputError(f"The columns of {name} differ in length ({told}); give every row a value.")
    return table_of(known, name)


def _records(found: Mapping[Any, Any]) -> list[Mapping[Any, Any]] | None:
    """Return the rows of an envelope or of pandas' layouts, None for columns."""
    names: Any = found.get("columns")
    rows: Any = found.get("data")
    if _is_list(names) and _is_list(rows):
        return [dict(zip(names, row, strict=True)) for row in rows]
    inside = [value for value in found.values() if _is_list(value) and len(value) and _all_objects(value)]
    if len(inside) == 1 and not any(_is_list(value) for value in found.values() if value is not inside[0]):
        return list(inside[0])
    if not found or not _all_objects(found.values()):
        return None
    if all(str(key).isdigit() for key in found):
        return list(found.values())
    places = dict.fromkeys(place for column in found.values() for place in column)
    return [{key: column.get(place) for key, column in found.items()} for place in places]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _all_objects(values: Any) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def _listed_values(value: Any) -> Sequence[Any] | None:
    """Return the values of a column in memory: a list, or an array or series of one dimension."""
    found: Any = value
    if not _is_list(value):
        found = value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", 1) == 1 else None
    return list(found) if isinstance(found, Sequence) else None
