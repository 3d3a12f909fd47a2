"""Find what is wrong with a file that the fast readers refuse, and at which line and row."""

from __future__ import annotations

import codecs
import csv
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from toughen.data.read.raw import refuse_duplicate_columns
from toughen.errors import InputError

CHUNK = 64 << 10  # bytes
LONGEST_FIELD = 2**31 - 1


def refuse_bad_utf8(path: Path, name: str) -> None:
    """Refuse a file that is not UTF-8.

    Raises:
        InputError: naming the first bad line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = _bad_line(path)
        where = f"{name}, line {line}{_row_at(path, line)}"
        raise InputError(f"{where}: invalid UTF-8; save the file as UTF-8.") from error


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


def _bad_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    raise AssertionError("unreachable: some line is not UTF-8")


def _csv_row_at(path: Path, line: int) -> int:
    """Return the data row (from 1; 0 is the header) that spans a line."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = enumerate(_rows(path, delimiter, quoted=delimiter == ","))
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


def _rows(path: Path, delimiter: str, *, quoted: bool) -> Iterator[tuple[list[str], int]]:
    """Yield every row that is not blank, header included, with the number of its last line."""
    with _long_fields(), path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = _reader(file, delimiter, quoted)
        for row in reader:
            if row:
                yield row, reader.line_num


def headers(path: Path, delimiter: str, quoted: bool) -> list[str]:
    """Return the column names of a delimited file; empty if it has no line."""
    return next((row for row, _ in _rows(path, delimiter, quoted=quoted)), [])


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


def csv_fault(path: Path, name: str, delimiter: str, quoted: bool) -> str | None:
    """Return the sentence about the first row with too many or too few fields."""
    rows = _rows(path, delimiter, quoted=quoted)
    expected = len(next(rows)[0])
    for number, (row, line) in enumerate(rows, start=1):
        if len(row) != expected:
            much = "many" if len(row) > expected else "few"
            return (
                f"{name}, line {line} (row {number}): too {much} fields, {len(row)} where the header has "
                f"{expected}; quote fields that contain the separator."
            )
    return None


def json_records(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the records of JSON lines one by one.

    Raises:
        InputError: naming the first line that is malformed, no record, or names a key twice.
    """
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _record(line, f"{name}, line {number}")


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

    return json.loads(text, object_pairs_hook=once)
