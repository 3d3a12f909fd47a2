"""Find what is wrong with a file that the fast readers refuse, and at which line and row."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from toughen.data.read.plain import kind_of, looks_like, two_bytes
from toughen.data.read.raw import Damage, refuse_duplicate_columns
from toughen.errors import InputError
from toughen.files import load_json

CHUNK = 64 << 10  # bytes
LONGEST_FIELD = 2**31 - 1
MOST_FOREIGN = 0.1  # share of rows that are not UTF-8 above which the file is taken to be in another encoding
ROWS = (".csv", ".tsv", ".jsonl")  # kinds of files of which a row can be left out
SEPARATOR_LINE = re.compile(r'"?sep=[,;|\t]?"?', re.I)


def is_utf8(path: Path) -> bool:
    """Tell a file whose every byte is UTF-8."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return all(True for _ in iter(lambda: file.read(CHUNK), ""))
    except UnicodeDecodeError:
        return False


def foreign_rows(path: Path, name: str, delimiter: str, quoted: bool) -> list[Damage]:
    """Return the rows of a delimited file that are not UTF-8.

    Raises:
        InputError: if the header is none of it, or so many rows are not that the file must be in another encoding.
    """
    rows = table_rows(path, delimiter, quoted=quoted, errors="surrogateescape")
    return _find_foreign(path, name, ((row, line, "".join(fields)) for row, (fields, line) in enumerate(rows)))


def foreign_lines(path: Path, name: str) -> list[Damage]:
    """Return the rows of JSON lines that are not UTF-8; as :func:`foreign_rows`."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        return _find_foreign(path, name, ((row, *line) for row, line in enumerate(lines, start=1)))


def _find_foreign(path: Path, name: str, rows: Iterable[tuple[int, int, str]]) -> list[Damage]:
    """Return those of (row, its line, its text, where lone surrogates are bytes that are no UTF-8) that are not UTF-8.

    Other letters that are UTF-8 say that the file is: another encoding would spoil them.
    """
    found: dict[int, tuple[int, bytes]] = {}
    row, others = 0, False
    for row, line, text in rows:
        raw = text.encode("utf-8", "surrogateescape")
        if any("\ud800" <= character <= "\udfff" for character in text):
            found[row] = (line, raw)
        else:
            others = others or not raw.isascii()
    if 0 in found or len(found) > MOST_FOREIGN * row:
        refuse_bad_utf8(path, name)
    encoding = None if others else looks_like(b"\n".join(raw for _, raw in found.values()))
    says = f"invalid UTF-8{_remedy(encoding, by_row=True)}."
    flag = "" if encoding is None else f"--data.encoding {encoding}"
    return [Damage(row, f"{name}, line {line} (row {row}): {says}", flag) for row, (line, _) in found.items()]


def refuse_bad_utf8(path: Path, name: str) -> None:
    """Refuse a file that is not UTF-8.

    Raises:
        InputError: naming the first bad line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    sample = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                sample = sample or chunk
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line, bad = _bad_line(path)
        where = f"{name}, line {line}{_row_at(path, line)}"
        by_row = kind_of(path) in ROWS and not two_bytes(sample)
        how = _remedy(two_bytes(sample) or looks_like(bad), by_row=by_row)
        raise InputError(f"{where}: invalid UTF-8{how}.") from error
    if two_bytes(sample):  # may be UTF-8 as well, every other letter a NUL
        raise InputError(f"{name} is no UTF-8{_remedy(two_bytes(sample))}.")


def _remedy(encoding: str | None, *, by_row: bool = False) -> str:
    name = "name its encoding with --data.encoding" if encoding is None else f"give --data.encoding {encoding}"
    looks = "" if encoding is None else f": it looks like {encoding.upper()}"
    if by_row:
        return f"{looks}; {name}, save the file as UTF-8, or leave such rows out with --data.bad_rows drop"
    return f"{looks}; {name}, or save the file as UTF-8"


def _row_at(path: Path, line: int) -> str:
    """Return, in brackets, the row that stands at a line, where the format has rows."""
    kind = path.suffix.lower()
    if kind == ".jsonl":
        with path.open("rb") as file:
            return f" (row {sum(1 for text in islice(file, line) if text.strip())})"
    if kind in (".csv", ".tsv"):
        row = _csv_row_at(path, line)
        return f" (row {row})" if row else " (the header)"
    return ""


def _bad_line(path: Path) -> tuple[int, bytes]:
    """Return the number of the first line that is not UTF-8, and what surrounds the bad bytes."""
    number = 1
    with path.open("rb") as file:
        for line in file:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return number + _ends(line[: error.start]), line[:CHUNK] + file.read(CHUNK)
            number += _ends(line)
    raise AssertionError("unreachable: some line is not UTF-8")


def _ends(part: bytes) -> int:
    """Return how many lines end in it: at LF, CRLF or CR."""
    return part.count(b"\n") + part.count(b"\r") - part.count(b"\r\n")


def _csv_row_at(path: Path, line: int) -> int:
    """Return the data row (from 1; 0 is the header) that spans a line."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = enumerate(table_rows(path, delimiter, quoted=delimiter == ","))
    return next((row for row, (_, last) in rows if last >= line), 0)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift the csv module's limit of 128 KiB per field, which is global."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _reader(file: Any, delimiter: str, quoted: bool, strict: bool = False) -> Any:
    if quoted:
        return csv.reader(file, delimiter=delimiter, strict=strict)
    return csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def header_rows(path: Path) -> int:
    """Return 1 where a spreadsheet wrote a line such as ``sep=;`` before the header, else 0."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return int(bool(SEPARATOR_LINE.fullmatch(file.readline(16).strip())))


def table_rows(path: Path, delimiter: str, *, quoted: bool, errors: str = "replace") -> Iterator[tuple[list[str], int]]:
    """Yield every row that is not blank, header included, with the number of its last line."""
    before = header_rows(path)
    with _long_fields(), path.open(encoding="utf-8-sig", errors=errors, newline="") as file:
        reader = _reader(file, delimiter, quoted)
        for row in islice(reader, before, None):
            if row:
                yield row, reader.line_num


def headers(path: Path, delimiter: str, quoted: bool) -> list[str]:
    """Return the column names of a delimited file; empty if it has no line."""
    return next((row for row, _ in table_rows(path, delimiter, quoted=quoted)), [])


def misused_quote(path: Path, delimiter: str) -> int:
    """Return the line at which quoting breaks down, or 0: rows would otherwise be swallowed in silence."""
    with path.open("rb") as file:
        if not any(b'"' in chunk for chunk in iter(lambda: file.read(CHUNK), b"")):
            return 0
    with _long_fields(), path.open(encoding="utf-8-sig", newline="") as file:
        try:
            deque(_reader(file, delimiter, quoted=True, strict=True), maxlen=0)
        except csv.Error:
            return _line_of_bad_quote(path, delimiter)
    return 0


def _line_of_bad_quote(path: Path, delimiter: str) -> int:
    """Return the first line of the row that fails: an unclosed quote is noticed only at the end of the file."""
    last = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = _reader(file, delimiter, quoted=True, strict=True)
        try:
            for _ in reader:
                last = reader.line_num
        except csv.Error:
            pass
    return last + 1


def csv_faults(path: Path, delimiter: str, quoted: bool) -> Iterator[tuple[int, int, int]]:
    """Yield every row (from 1) that has more or fewer fields than the header, its last line, and how many it has."""
    rows = table_rows(path, delimiter, quoted=quoted)
    expected = len(next(rows)[0])
    for number, (row, line) in enumerate(rows, start=1):
        if len(row) != expected:
            yield number, line, len(row)


def json_records(path: Path, name: str, damage: list[Damage] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of JSON lines one by one.

    ``damage``, where given, takes the lines that are wrong, which are left out then.

    Raises:
        InputError: naming the first line that is malformed, no record, or names a key twice.
    """
    with path.open(encoding="utf-8-sig") as file:
        row = 0
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row += 1
            try:
                yield _record(line, f"{name}, line {number}")
            except InputError as error:
                if damage is None:
                    raise
                damage.append(Damage(row, str(error)))


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = parse_json(line, where)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: malformed JSON ({error.msg}); mend it or remove the line.") from error
    if not isinstance(record, dict):
        raise InputError(f'{where}: not a record such as {{"text": ..., "label": ...}}.')
    return record


def parse_json(text: str, where: str) -> Any:
    """Parse JSON in which no object may name a key twice.

    Raises:
        InputError: naming the key.
        json.JSONDecodeError: if the text is malformed.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        refuse_duplicate_columns([key for key, _ in pairs], where)
        return dict(pairs)

    return load_json(text, object_pairs_hook=once)
