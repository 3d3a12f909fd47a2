"""Tables that memory should not hold: written to disk while they are made, and memory-mapped.

What is mapped has no name on the disk: the space is given back when nothing refers to the table any more, at the latest
when the process ends, however it ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from toughen.errors import InputError

IN_RAM = 64 << 20  # bytes of a table that stay in memory; what is larger goes to disk
CACHE = "TOUGHEN_CACHE"
OFF = "off"


def cache_folder() -> Path | None:
    """Return the folder that outlives runs: what ``TOUGHEN_CACHE`` says, else the user's cache; None if it is off."""
    named = os.environ.get(CACHE, "").strip()
    if named:
        return None if named.lower() == OFF else Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(home) if home else Path("~/.cache").expanduser()) / "toughen"


def usable_cache() -> Path | None:
    """Return the cache folder, which exists then and can be written to; None otherwise."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def collect(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return a table of all batches: in memory up to ``IN_RAM`` bytes, else memory-mapped.

    Raises:
        InputError: if the disk is full.
    """
    kept: list[pa.RecordBatch] = []
    size, left = 0, iter(batches)
    for batch in left:
        kept.append(batch)
        size += batch.nbytes
        if size > IN_RAM:
            return _on_disk(_empty_into(kept, left), schema)
    return pa.Table.from_batches(kept, schema)


def _empty_into(kept: list[pa.RecordBatch], left: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches that were kept, letting go of each, and then the others."""
    kept.reverse()
    while kept:
        yield kept.pop()
    yield from left


def _on_disk(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    folder = usable_cache() or Path(tempfile.gettempdir())
    with refuse_full_disk(folder):
        opened = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed below, unless it could not be opened
    with close_after(opened) as file:
        write_stream(file, batches, schema, folder)
        return read_stream(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def write_stream(file: Any, batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path) -> None:
    """Write batches to an open file in a folder.

    Raises:
        InputError: if the disk is full.
    """
    writer = pa.ipc.new_stream(file, schema)  # no context manager: closing it after a fault would raise another
    for batch in batches:  # what fails here is reading, and has a sentence of its own
        with refuse_full_disk(folder):
            writer.write_batch(batch)
    with refuse_full_disk(folder):
        writer.close()
        file.flush()


@contextmanager
def close_after(file: Any) -> Iterator[Any]:
    """Close a file that has been flushed; where that failed, closing it fails again, and has been told already."""
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


@contextmanager
def refuse_full_disk(folder: Path) -> Iterator[None]:
    """Turn what the system says when a file cannot be written into a sentence.

    Raises:
        InputError: naming the folder.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The data is larger than is kept in memory and cannot be written to {folder} ({error.strerror or error}); "
            f"make room there, or name another folder in {CACHE}."
        ) from error


def read_stream(content: Any) -> pa.Table:
    """Return the table that :func:`write_stream` wrote, without copying from what holds it."""
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
