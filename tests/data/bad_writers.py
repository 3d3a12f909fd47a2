"""How the tables of wrong data write their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Written = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class BadInput:
    """One kind of wrong data.

    Attributes:
        write: writes the files into a folder and returns the source and fields of the `data` part (flags
            ``--data.FIELD VALUE``).
        says: fragments of the one sentence.
        env: environment variables that the case needs.
    """

    write: Callable[[Path], Written]
    says: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


GOOD = [("a fine film", "pos"), ("a dull film", "neg"), ("warm and wise", "pos"), ("cold and daft", "neg")]
GOOD_CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in GOOD)


def good_csv(rows: int = 12) -> str:
    """Return a CSV of that many rows in two classes, without repeats."""
    return "text,label\n" + "".join(f"{GOOD[i % 2][0]} number {i},{GOOD[i % 2][1]}\n" for i in range(rows))


def one_file(name: str, content: str | bytes, **flags: str) -> Callable[[Path], Written]:
    """Return a function that writes one file and names it as the source."""

    def write(folder: Path) -> Written:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path), flags

    return write


def folder_of(files: Mapping[str, str | bytes], **flags: str) -> Callable[[Path], Written]:
    """Return a function that writes a folder of files and names it as the source."""

    def write(folder: Path) -> Written:
        source = folder / "source"
        source.mkdir()
        for name, content in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(source), flags

    return write


def lines(*records: Any) -> str:
    """Return JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def parquet(flags: Mapping[str, str] | None = None, /, **columns: Any) -> Callable[[Path], Written]:
    """Return a function that writes a parquet file."""

    def write(folder: Path) -> Written:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / "data.parquet")
        return str(folder / "data.parquet"), dict(flags or {})

    return write


def _not_utf8() -> Any:
    import pyarrow as pa

    data = pa.array([b"fine", b"caf\xe9", b"good", b"bad"], pa.binary())
    return pa.Array.from_buffers(pa.string(), len(data), data.buffers())


def parquet_not_utf8(folder: Path) -> Written:
    """Write a parquet file whose string column is no UTF-8, which Arrow does not check."""
    return parquet(text=_not_utf8(), label=[0, 1, 0, 1])(folder)


def absent(name: str) -> Callable[[Path], Written]:
    """Return a function that names a path that is not there."""
    return lambda folder: (str(folder / name), {})


def hub(name: str) -> Callable[[Path], Written]:
    """Return a function that names a hub id."""
    return lambda _folder: (name, {})
