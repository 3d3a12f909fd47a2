"""Tokens that outlive a run: found again by a key of everything that they depend on.

An entry is one file: an Arrow stream, then a few facts as JSON, then the checksum of both. It gets its name when it is
whole, and is used only if the checksum holds.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from toughen.data.read.spill import close_after, read_stream, refuse_full_disk, usable_cache, write_stream

LIMIT = 10 << 30  # bytes of all entries; the ones that were used longest ago go first
STALE = 86400.0  # seconds after which a file that nobody finished is dropped
MARK = b"toughen1"
TAIL = len(MARK) + 8  # the mark, the bytes of JSON and the checksum, four bytes each

Facts = dict[str, Any]


@contextmanager
def entry_folder(key: str) -> Iterator[Path | None]:
    """Give the folder of entries to one process per key at a time; None where there is no cache."""
    home = usable_cache()
    if home is None:
        yield None
        return
    folder = home / "tokens"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire()
    except (NotImplementedError, OSError):  # a file system that knows no locks: work may be done twice
        yield folder
        return
    try:
        yield folder
    finally:
        lock.release()
        with suppress(OSError):  # another process may hold it by now
            Path(lock.lock_file).unlink(missing_ok=True)


def load(folder: Path, key: str) -> tuple[pa.Table, Facts] | None:
    """Return the entry of a key and its facts; None if there is none that is whole."""
    path = _path(folder, key)
    try:
        found = _read_entry(path)
        os.utime(path)
    except (OSError, ValueError, pa.ArrowException):
        return None
    return found


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.arrow"


def _read_entry(path: Path) -> tuple[pa.Table, Facts]:
    """Map an entry.

    Raises:
        ValueError: if it is not what was written.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    end = len(content) - TAIL
    size, checksum = (int.from_bytes(content[at : at + 4], "little") for at in (end, end + 4))
    if end < 0 or content[end + 8 :] != MARK or _checksum(content, end) != checksum:
        raise ValueError(f"{path} is not whole")
    return read_stream(content), json.loads(content[end - size : end])


def _checksum(content: mmap.mmap, end: int, block: int = 1 << 20) -> int:
    found = 0
    with memoryview(content) as view:
        for start in range(0, end, block):
            found = zlib.crc32(view[start : min(start + block, end)], found)
    return found


def store(
    folder: Path, key: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, facts: Callable[[], Facts]
) -> tuple[pa.Table, Facts]:
    """Write an entry and return it, memory-mapped.

    Args:
        folder: of entries.
        key: of this one.
        batches: the content.
        schema: of the batches.
        facts: asked after the last batch.

    Raises:
        InputError: if the disk is full.
    """
    with refuse_full_disk(folder):
        number, name = tempfile.mkstemp(prefix=f"{key}-", suffix=".part", dir=folder)
    part = Path(name)
    try:
        with close_after(os.fdopen(number, "w+b")) as file:
            write_stream(file, batches, schema, folder)
            with refuse_full_disk(folder):
                _seal(file, facts())
        found = _read_entry(part)
        part.replace(_path(folder, key))
    finally:
        part.unlink(missing_ok=True)
    _drop_oldest(folder, _path(folder, key))
    return found


def _seal(file: Any, facts: Facts) -> None:
    said = json.dumps(facts).encode()
    file.write(said)
    file.flush()
    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    checksum = _checksum(content, len(content))
    content.close()
    file.write(len(said).to_bytes(4, "little") + checksum.to_bytes(4, "little") + MARK)
    file.flush()


def _drop_oldest(folder: Path, new: Path) -> None:
    """Keep the entries below the limit, whatever the size of the new one; drop what a killed process left."""
    found = []
    for path in folder.iterdir():
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        if path.suffix == ".arrow":
            found.append((path == new, facts.st_mtime, facts.st_size, path))
        elif path.suffix in (".part", ".lock") and time.time() - facts.st_mtime > STALE:
            path.unlink(missing_ok=True)
    total = 0
    for is_new, _, size, path in sorted(found, reverse=True):
        total += size
        if total > LIMIT and not is_new:
            path.unlink(missing_ok=True)
