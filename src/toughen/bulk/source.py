"""The texts of a source in chunks whose boundaries depend on the texts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from toughen.bulk.work import Chunk, Counted, Known
from toughen.data.columns.recall import recalled_texts
from toughen.data.columns.roles import Columns
from toughen.data.columns.texts import read_to_answer, text_columns
from toughen.data.read.raw import Raw
from toughen.data.stream import Stream, open_stream
from toughen.errors import InputError
from toughen.tasks import TaskName

_CHARACTERS = 4 << 20
"""A chunk ends early at so many: texts may be long."""


@dataclass(frozen=True)
class Source:
    """Where the texts come from; can be sent to another process, which opens it again.

    Attributes:
        path: a file, folder or hub id.
        columns: where the texts stand.
        task: what the model does with them.
        rows: of a chunk, at most.
        encoding: of a text file; None = UTF-8.
        kinds: {column: Arrow type} of every column that is kept, in the source's order.
    """

    path: str
    columns: Columns
    task: TaskName
    rows: int
    encoding: str | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: str, text: str | None, text_pair: str | None, known: Known, rows: int, encoding: str | None = None
    ) -> Source:
        """Find the columns, by name or by the first rows.

        Raises:
            InputError: if the source cannot be read or the columns are not there.
        """
        stream = open_stream(path, encoding)
        head = stream.head()
        text, text_pair = recalled_texts(head, known.columns, text, text_pair)
        pairs = known.pairs if known.pairs is not None else text is None and "text_pair" in head.columns
        columns = text_columns(head, text, text_pair, pairs=pairs and known.task != "tokens", task=known.task)
        texts = (columns.text, columns.pair)
        kinds = {name: _kind(head, name) for name in head.columns if name in texts or name not in head.mixed}
        source = cls(path, columns, known.task, rows, encoding, kinds)
        source.__dict__["_stream"] = stream  # spares looking at the file again
        return source

    @cached_property
    def _stream(self) -> Stream:
        return open_stream(self.path, self.encoding)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_stream"}

    def digest(self) -> str:
        """Return a hash of the content."""
        return self._stream.digest()

    def stamp(self) -> tuple[int, int] | None:
        """Return size and time of change of a file; None of another source."""
        path = Path(self.path).expanduser()
        if not path.is_file():
            return None
        found = path.stat()
        return found.st_size, found.st_mtime_ns

    def check(self) -> Counted:
        """Read everything once, so that a fault in the last row is not found at the end of a long night.

        Raises:
            InputError: at the first row that is wrong.
        """
        rows = chunks = blank = 0
        first: int | None = None
        for chunk in self.chunks():
            own = [place for place in range(len(chunk)) if not chunk.asks(place)]
            first = rows + own[0] + 1 if own and first is None else first
            rows, chunks, blank = rows + len(chunk), chunks + 1, blank + len(own)
        return Counted(rows, chunks, blank, first)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all texts in their order."""
        return self._cut(self._pieces())

    def _cut(self, pieces: Iterator[Raw]) -> Iterator[Chunk]:
        names = ("text", "text_pair")[: len(self._names())]
        waiting: list[tuple[Any, ...]] = []
        index = size = 0
        for piece in pieces:
            read = read_to_answer(piece, self.columns, self.task)
            kept = [self._values(piece, name) for name in self._kept()]
            for row in zip(*(read[name].to_pylist() for name in names), *kept, strict=True):
                waiting.append(row)
                size += sum(len(value) for value in row[: len(names)] if value is not None)
                if len(waiting) == self.rows or size >= _CHARACTERS:
                    yield self._chunk(index, names, waiting)
                    waiting, size, index = [], 0, index + 1
        if waiting:
            yield self._chunk(index, names, waiting)

    def _chunk(self, index: int, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Chunk:
        columns, kept = [list(values) for values in zip(*rows, strict=True)], self._kept()
        parts = dict(zip(self._names(), names, strict=True))
        texts, others = dict(zip(names, columns, strict=False)), columns[len(names) :]
        named = {name: parts.get(name) for name in self.kinds} or {name: name for name in names}
        kinds = {name: self.kinds[name] for name in kept}
        return Chunk(index, texts, named, dict(zip(kept, others, strict=True)), kinds)

    def _kept(self) -> list[str]:
        return [name for name in self.kinds if name not in self._names()]

    def _values(self, piece: Raw, name: str) -> list[Any]:
        """Return a column that is kept; later rows must be of the type that the first ones have.

        Raises:
            InputError: if they are not.
        """
        column, kind = piece.column(name), self.kinds[name]
        try:
            values: list[Any] = (column if column.type == kind else column.cast(kind)).to_pylist()
        except pa.ArrowException:
            raise InputError(
                f"column {name!r} of {piece.name} holds {kind} in its first rows, and {column.type} from row "
                f"{piece.first + 1:,} on; give it one type, or leave it out of the file."
            ) from None
        return values

    def _names(self) -> tuple[str, ...]:
        columns = self.columns
        return (columns.text,) if columns.pair is None else (columns.text, columns.pair)

    def _pieces(self) -> Iterator[Raw]:
        return self._stream.pieces(list(dict.fromkeys([*self._names(), *self._kept()])))


def _kind(head: Raw, name: str) -> Any:
    """Return the type of a column; one without a value in the first rows is text."""
    kind = head.table[name].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_null(kind) else kind
