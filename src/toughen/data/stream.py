"""Texts piece by piece, as often as one likes: what does not fit into memory is never there as a whole.

Files of separated values, JSON lines, parquet and lines of text are streamed. A JSON list, a folder and a hub id are
read at once (tables above 64 MiB are mapped from disk then) and given out in pieces.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from toughen.data.columns.texts import pick
from toughen.data.read.delimited import Delimited, inspect_delimited
from toughen.data.read.diagnose import json_records, refuse_bad_utf8
from toughen.data.read.labelled_lines import are_labelled_lines
from toughen.data.read.layouts import table_of_records
from toughen.data.read.plain import kind_of, plain
from toughen.data.read.raw import Raw, table_of
from toughen.data.read.readers import LINES, is_json_lines, read_file
from toughen.errors import InputError

HEAD_ROWS, HEAD_BYTES = 10_000, 32 << 20
"""What is looked at to tell which column is which."""
_BLOCK, _LARGEST = 32 << 10, 2**31 - 1
"""Bytes of a block of CSV, which holds whole rows; Arrow reads some 36 of them ahead, whatever it is told."""
_BUFFER, _RELEASE = 64 << 10, 8


class Stream(Protocol):
    """A source of texts."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def typed(self) -> bool:
        """As in `Raw`."""

    def head(self) -> Raw:
        """Return the first rows with all their columns."""

    def pieces(self, columns: Sequence[str]) -> Iterator[Raw]:
        """Yield all rows in their order, at most ``LINES`` at a time, with these columns at least."""

    def digest(self) -> str:
        """Return a hash of the content."""


def open_stream(source: str | Path, encoding: str | None = None) -> Stream:
    """Open a file of any kind that can be read, a folder or a hub id; ``encoding`` is that of text, None = UTF-8.

    Raises:
        InputError: in one sentence, if it is missing, empty or damaged where that shows at once.
    """
    path, name = Path(source).expanduser(), str(source)
    kind = kind_of(path)
    if not (path.is_file() and path.stat().st_size):
        return _whole(source, encoding)
    try:
        found = plain(path.absolute(), name, encoding)
        if kind in (".csv", ".tsv"):
            return _Csv(found, name, inspect_delimited(found, name))
        if kind in (".json", ".jsonl"):
            refuse_bad_utf8(found, name)
            return _JsonLines(found, name) if is_json_lines(found) else _Whole(read_file(path, name, encoding=encoding))
        if kind == ".txt":
            refuse_bad_utf8(found, name)
            labelled = are_labelled_lines(found)
            return _Whole(read_file(path, name, encoding=encoding)) if labelled else _TextLines(found, name)
        return _Parquet(found, name) if kind == ".parquet" else _whole(source, encoding)
    except OSError as error:
        raise InputError(f"Cannot read {name}: {error.strerror or error}.") from error


def release() -> None:
    """Give what Arrow has freed back to the system: by itself it keeps it, and more with every row group."""
    pa.default_memory_pool().release_unused()


@dataclass(frozen=True)
class _File:
    path: Path
    name: str
    typed = True

    def digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Table(_File, ABC):
    """A file that is read as tables of its rows, one after the other."""

    @abstractmethod
    def _tables(self) -> Iterator[pa.Table]:
        """Yield the rows, a part at a time."""

    def head(self) -> Raw:
        kept: list[pa.Table] = []
        for table in self._tables():
            kept.append(table)
            if sum(one.num_rows for one in kept) >= HEAD_ROWS or sum(one.nbytes for one in kept) >= HEAD_BYTES:
                break
        if not kept:
            raise InputError(f"{self.name} is empty: it has no rows, so give a source with texts in it.")
        return Raw(pa.concat_tables(kept), self.name, typed=self.typed)

    def pieces(self, columns: Sequence[str]) -> Iterator[Raw]:
        first = 0
        for table in self._tables():
            yield Raw(table.select(list(columns)), self.name, typed=self.typed, first=first)
            first += table.num_rows


@dataclass(frozen=True)
class _Csv(_Table):
    file: Delimited
    typed = False

    def _tables(self) -> Iterator[pa.Table]:
        block, done = _BLOCK, 0
        while True:
            try:
                for batch in _after(self.file.batches(block), done):
                    for start in range(0, batch.num_rows, LINES):
                        piece = batch.slice(start, LINES)
                        yield self.file.drop_unnamed(pa.Table.from_batches([piece]))
                        done += piece.num_rows
                return
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or block == _LARGEST:
                    raise self.file.fault(error) from error
                block = min(block * 2, _LARGEST)  # a row is longer than the block


def _after(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield batches without the first rows."""
    for batch in batches:
        skipped = min(rows, batch.num_rows)
        rows -= skipped
        if skipped < batch.num_rows:
            yield batch.slice(skipped)


class _Parquet(_Table):
    def _tables(self) -> Iterator[pa.Table]:
        yield from self._batches(None)

    def pieces(self, columns: Sequence[str]) -> Iterator[Raw]:
        first = 0
        for table in self._batches(list(columns)):
            yield Raw(table, self.name, first=first)
            first += table.num_rows

    def _batches(self, columns: list[str] | None) -> Iterator[pa.Table]:
        try:
            # Through a small buffer: a row group may be as large as the file.
            with pq.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False) as file:
                batches = file.iter_batches(batch_size=LINES, columns=columns, use_threads=False)
                for number, batch in enumerate(batches):
                    yield pa.Table.from_batches([batch])
                    if number % _RELEASE == 0:
                        release()
        except (pa.ArrowException, ValueError) as error:
            if isinstance(error, InputError):
                raise
            first = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"{self.name} cannot be read ({first}); check that its content fits its extension."
            ) from error


class _JsonLines(_File):
    def head(self) -> Raw:
        kept: list[dict[str, Any]] = []
        size = 0
        for record in islice(json_records(self.path, self.name), HEAD_ROWS):
            kept.append(record)
            size += sum(len(value) for value in record.values() if isinstance(value, str))
            if size >= HEAD_BYTES:
                break
        return table_of_records(kept, self.name)

    def pieces(self, columns: Sequence[str]) -> Iterator[Raw]:
        records, first = json_records(self.path, self.name), 0
        while part := list(islice(records, LINES)):
            found = {name: [record.get(name) for record in part] for name in columns}
            yield table_of(found, self.name, first=first)
            first += len(part)


class _TextLines(_Table):
    def _tables(self) -> Iterator[pa.Table]:
        with self.path.open(encoding="utf-8-sig") as file:
            lines = (line.removesuffix("\n") for line in file)
            while part := list(islice(lines, LINES)):
                yield pa.table({"text": pa.array(part, pa.string())})


@dataclass(frozen=True)
class _Whole:
    raw: Raw

    @property
    def name(self) -> str:
        return self.raw.name

    @property
    def typed(self) -> bool:
        return self.raw.typed

    def head(self) -> Raw:
        return self.raw

    def pieces(self, columns: Sequence[str]) -> Iterator[Raw]:
        table = self.raw.table.select(list(columns))
        for start in range(0, table.num_rows, LINES):
            files = self.raw.files and self.raw.files[start : start + LINES]
            yield replace(self.raw, table=table.slice(start, LINES), files=files, first=start)

    def digest(self) -> str:
        found = hashlib.sha256()
        for batch in self.raw.table.to_batches(max_chunksize=LINES):
            found.update(repr(batch.to_pydict()).encode("utf-8", "surrogatepass"))
        return found.hexdigest()


def _whole(source: str | Path, encoding: str | None) -> _Whole:
    return _Whole(pick(source, None, encoding))
