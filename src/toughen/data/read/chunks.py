"""Columns and tables piece by piece, so that no step holds a second copy of all texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from toughen.arrays import Ints
from toughen.data.read.spill import collect

if TYPE_CHECKING:
    import datasets

ROWS = 1000  # of a piece


def pieces(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield a column in pieces of at most ``ROWS`` rows, without copying."""
    for chunk in column.chunks:
        for start in range(0, len(chunk), ROWS):
            yield chunk.slice(start, ROWS)


def map_chunks(column: pa.ChunkedArray, change: Callable[[Any], Any], kind: pa.DataType) -> pa.ChunkedArray:
    """Return ``change`` of every piece as one column, on disk if it is large.

    Args:
        column: [N].
        change: elementwise, from array to array of type ``kind``.
        kind: of the result.
    """
    schema = pa.schema([("column", kind)])
    made = (pa.RecordBatch.from_arrays([change(piece)], schema=schema) for piece in pieces(column))
    return collect(made, schema)["column"]


def hash_texts(texts: Any) -> npt.NDArray[np.uint64]:
    """Return a number per text, uint64 [N], the same on every machine; ``texts`` is an Arrow array without nulls."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts.to_pylist())
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def numbers_of(dataset: datasets.Dataset, name: str) -> npt.NDArray[Any]:
    """Return a column of numbers, [N], without a Python object for each."""
    return np.asarray(table_of_dataset(dataset.select_columns([name]))[name])


def select_rows(table: pa.Table, rows: Ints) -> pa.Table:
    """Return some rows of a table, on disk if they are large; the table itself if that is all of them.

    Args:
        table: N rows.
        rows: row numbers in rising order, none twice, int64 [M].
    """
    if len(rows) == table.num_rows:
        return table
    return collect(_select_rows(table, rows), table.schema)


def _select_rows(table: pa.Table, rows: Ints) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in table.to_batches():
        inside = rows[slice(*np.searchsorted(rows, [start, start + batch.num_rows]))] - start
        if len(inside):
            yield batch.take(pa.array(inside))
        start += batch.num_rows


def table_of_dataset(dataset: datasets.Dataset) -> pa.Table:
    """Return the table behind a dataset: without copying, unless rows were selected; then on disk if it is large."""
    arrow = dataset.with_format("arrow")
    if dataset._indices is None:
        return arrow[:]
    tables = arrow.iter(batch_size=ROWS)
    schema = dataset.data.schema
    return collect((batch for table in tables for batch in table.cast(schema).to_batches()), schema)


def as_dataset(table: pa.Table) -> datasets.Dataset:
    """Wrap a table without hashing its bytes: nothing here is cached by them."""
    import datasets
    from datasets.fingerprint import generate_random_fingerprint

    return datasets.Dataset(table, fingerprint=generate_random_fingerprint())
