"""The output file in parts: each holds the answers to one chunk, and together they are the file.

A part of a text format is a piece of the file. A part of parquet is a small parquet file; several make a row group.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Protocol

from toughen.errors import InputError

Row = dict[str, Any]
Kinds = Mapping[str, Any]
"""Arrow types by column."""
_JOINTS = {"labels": "|", "label_set": "|"}  # words and tags: a space
_GROUP = 32  # parts of a row group


class Format(Protocol):
    """How answers are written."""

    def part(self, rows: Sequence[Row], *, first: bool, like: Row, kinds: Kinds) -> bytes:
        """Return rows of one file, at least one; all have the columns of ``like``, in which no answer is null.

        ``kinds`` are the Arrow types of the columns that came with the source; their values are written as they are.
        """

    def join(self, parts: Iterable[Path], target: Path) -> None:
        """Write the file whose parts these are, in their order, holding few of them at a time."""


class _Text(ABC):
    """A format whose files can be cut between rows."""

    start, between, end = b"", b"", b""

    @abstractmethod
    def part(self, rows: Sequence[Row], *, first: bool, like: Row, kinds: Kinds) -> bytes:
        """See :class:`Format`."""

    def join(self, parts: Iterable[Path], target: Path) -> None:
        with target.open("wb") as file:
            file.write(self.start)
            for number, part in enumerate(parts):
                file.write(self.between if number else b"")
                _append(part, file)
            file.write(self.end)


def _append(part: Path, file: IO[bytes]) -> None:
    with part.open("rb") as source:
        shutil.copyfileobj(source, file)


@dataclass(frozen=True)
class _Separated(_Text):
    separator: str

    def part(self, rows: Sequence[Row], *, first: bool, like: Row, kinds: Kinds) -> bytes:
        written = io.StringIO(newline="")
        # With this end of line both of its characters are quoted in fields: readers would end a row at either.
        writer = csv.writer(_UnixLines(written), delimiter=self.separator, lineterminator="\r\n")
        if first:
            writer.writerow(rows[0])
        writer.writerows(
            [_as_field(value) if name in kinds else _join_list(name, value) for name, value in row.items()]
            for row in rows
        )
        return written.getvalue().encode()


@dataclass(frozen=True)
class _UnixLines:
    inner: io.StringIO

    def write(self, line: str) -> int:
        return self.inner.write(line.removesuffix("\r\n") + "\n")


def _as_field(value: Any) -> Any:
    """Write a value of the source as text: what a field cannot hold as JSON."""
    return _json(value) if isinstance(value, (list, dict)) else value


def _json(value: Any, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str, **how)  # a date is written as text


def _join_list(column: str, value: Any) -> Any:
    """Write a list as text, for formats without lists."""
    if not isinstance(value, list):
        return value
    joint = _JOINTS.get(column, " ")
    broken = [part for part in value if joint in part]
    if broken:
        raise InputError(
            f"{broken[0]!r} in column {column} holds {joint!r}, which separates {column} in .csv and .tsv; write "
            ".jsonl or .parquet, which have lists."
        )
    return joint.join(value)


class _JsonLines(_Text):
    def part(self, rows: Sequence[Row], *, first: bool, like: Row, kinds: Kinds) -> bytes:
        return "".join(_json(row) + "\n" for row in rows).encode()


class _Json(_Text):
    start, between, end = b"[\n", b",\n", b"\n]\n"

    def part(self, rows: Sequence[Row], *, first: bool, like: Row, kinds: Kinds) -> bytes:
        whole = _json(list(rows), indent=1)
        return whole.removeprefix("[\n").removesuffix("\n]").encode()


def _kind(value: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, list):
        return pa.list_(pa.string())
    if isinstance(value, bool):
        return pa.bool_()
    return pa.float64() if isinstance(value, float) else pa.string()


class _Parquet:
    def part(self, rows: Sequence[Row], *, first: bool, like: Row, kinds: Kinds) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Types are told: all lists may be empty, and all values null.
        told = {name: kinds.get(name) or _kind(value) for name, value in like.items()}
        columns = {name: pa.array([row[name] for row in rows], told[name]) for name in like}
        written = io.BytesIO()
        pq.write_table(pa.table(columns), written)
        return written.getvalue()

    def join(self, parts: Iterable[Path], target: Path) -> None:
        import pyarrow.parquet as pq

        from toughen.data.stream import release  # loads pyarrow

        tables = _group_parts(parts)
        first = next(tables)
        with pq.ParquetWriter(target, first.schema) as writer:
            for table in chain([first], tables):
                writer.write_table(table)
                release()


def _group_parts(parts: Iterable[Path]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    left = iter(parts)
    while some := list(islice(left, _GROUP)):
        yield pa.concat_tables([pq.ParquetFile(part, pre_buffer=False).read(use_threads=False) for part in some])


FORMATS: dict[str, Format] = {
    ".csv": _Separated(","),
    ".tsv": _Separated("\t"),
    ".jsonl": _JsonLines(),
    ".json": _Json(),
    ".parquet": _Parquet(),
}
