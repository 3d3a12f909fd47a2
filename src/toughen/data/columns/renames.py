"""Labels under other names: the setting `data.rename_labels`, read and applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

Renames = Mapping[str, str | None]
"""{label in lower case: the name that is read in its place; None: no label}."""


def rename(names: pa.ChunkedArray, renames: Renames) -> pa.ChunkedArray:
    """Return names, string [N], under those that they are read as; others as they are."""
    table = {name: renames[name.casefold()] for name in _distinct(names) if name.casefold() in renames}
    if not table:
        return names
    new = pa.array(list(table.values()), pa.string())
    places = pc.index_in(names, value_set=pa.array(list(table), pa.string()))
    return pc.if_else(pc.is_valid(places), new.take(places.combine_chunks()), names)


def rename_order(order: Sequence[str] | None, renames: Renames) -> tuple[str, ...] | None:
    """Return the names of the classes by id, under those that they are read as, each once."""
    if order is None:
        return None
    new = (renames.get(name.casefold(), name) for name in order)
    return tuple(dict.fromkeys(name for name in new if name is not None))


def _distinct(names: pa.ChunkedArray) -> list[str]:
    return [str(name) for name in names.unique().drop_null().to_pylist()]
