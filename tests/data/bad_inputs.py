"""Every kind of wrong data that is refused in one sentence: how to write it, and what the sentence must say.

Used twice: against the load functions here, and against the real command elsewhere.
"""

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


def parquet(**columns: Any) -> Callable[[Path], Written]:
    """Return a function that writes a parquet file."""

    def write(folder: Path) -> Written:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / "data.parquet")
        return str(folder / "data.parquet"), {}

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


BAD_INPUTS: dict[str, BadInput] = {
    "missing file": BadInput(absent("reviews.csv"), ("reviews.csv is missing",)),
    "missing folder": BadInput(absent("reviews"), ("reviews is missing",)),
    "unsupported extension": BadInput(one_file("data.xlsx", "x"), ("data.xlsx", ".csv .tsv .jsonl .json .parquet")),
    "empty csv": BadInput(one_file("data.csv", ""), ("data.csv is empty",)),
    "csv with a header alone": BadInput(one_file("data.csv", "text,label\n"), ("data.csv is empty",)),
    "header without line end": BadInput(one_file("data.csv", "text,label"), ("data.csv is empty",)),
    "csv of blank lines": BadInput(one_file("data.csv", "\n\n\n"), ("data.csv is empty",)),
    "csv of a byte order mark": BadInput(one_file("data.csv", b"\xef\xbb\xbf"), ("data.csv is empty",)),
    "empty jsonl": BadInput(one_file("data.jsonl", ""), ("data.jsonl is empty",)),
    "blank jsonl": BadInput(one_file("data.jsonl", "\n \n"), ("data.jsonl is empty",)),
    "empty json list": BadInput(one_file("data.json", "[]"), ("data.json is empty",)),
    "parquet without rows": BadInput(parquet(text=[], label=[]), ("data.parquet is empty",)),
    "broken parquet": BadInput(one_file("data.parquet", "PAR1 no"), ("data.parquet cannot be read",)),
    "empty folder": BadInput(folder_of({}), ("holds no data", "train")),
    "folder without train": BadInput(folder_of({"test.csv": GOOD_CSV}), ("no train split", "'test'")),
    "two files for one split": BadInput(
        folder_of({"train.csv": GOOD_CSV, "train.tsv": GOOD_CSV}), ("train.csv", "train.tsv", "remove or rename")
    ),
    "wrong text column": BadInput(
        one_file("data.csv", GOOD_CSV, text="body"), ("no text column 'body'", "'text', 'label'", "--data.text")
    ),
    "wrong label column": BadInput(
        one_file("data.csv", GOOD_CSV, label="stars"), ("no label column 'stars'", "--data.label")
    ),
    "column missing in test": BadInput(
        folder_of({"train.csv": good_csv(), "test.csv": "text,gold\na film,pos\n"}),
        ("test.csv has no column 'label'", "'text', 'gold'"),
    ),
    "no text column": BadInput(
        one_file("data.csv", "n,label\n1,a\n2,b\n3,a\n4,b\n"), ("no text column", "'n', 'label'")
    ),
    "no header": BadInput(
        one_file("data.csv", "".join(f"{text},{label}\n" for text, label in GOOD * 3)), ("first line of a table",)
    ),
    "several text columns": BadInput(
        one_file("data.csv", "review,comment,label\na b,c d,x\ne f,g h,y\n"),
        ("several columns that could be the text", "'review', 'comment'", "--data.text"),
    ),
    "several label columns": BadInput(
        one_file("data.csv", "text,stars,polarity\na b,1,0\ne f,2,1\n"), ("could be the label", "--data.label")
    ),
    "numbers for texts": BadInput(one_file("data.csv", "text,label\n1,a\n2,b\n"), ("holds numbers, not text",)),
    "duplicate columns": BadInput(
        one_file("data.csv", "text,label,text\na,b,c\n"), ("data.csv has more than one column named 'text'",)
    ),
    "duplicate keys": BadInput(
        one_file("data.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": 0, "label": 1}\n'),
        ("line 2", "more than one column named 'label'"),
    ),
    "ragged csv, too many": BadInput(
        one_file("data.csv", 'text,label\n"one\nfilm",pos\nbad, very bad,neg\n'),
        ("line 4 (row 2)", "too many fields, 3"),
    ),
    "ragged csv, too few": BadInput(
        one_file("data.csv", "text,label\ngood,pos\nbad\n"), ("line 3 (row 2)", "too few fields, 1")
    ),
    "ragged tsv": BadInput(
        one_file("data.tsv", 'text\tlabel\n"odd quote\tpos\nbad\n'), ("line 3 (row 2)", "too few fields, 1")
    ),
    "unclosed quote": BadInput(one_file("data.csv", 'text,label\ngood,pos\n"bad,neg\nfine,pos\n'), ("line 3", "quote")),
    "malformed json line": BadInput(
        one_file("data.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b", "label": }\n'), ("line 3", "malformed JSON")
    ),
    "json line that is no record": BadInput(one_file("data.jsonl", '{"text": "a", "label": 1}\n[1]\n'), ("line 2",)),
    "malformed json list": BadInput(
        one_file("data.json", '[{"text": "a", "label": 1},\n{"text": "b" "label": 0}]'), ("line 2", "malformed JSON")
    ),
    "json list of other things": BadInput(one_file("data.json", '[{"text": "a"}, 5]'), ("row 2", "not a record")),
    "one class only": BadInput(one_file("data.csv", "text,label\na,pos\nb,pos\n"), ("one class only", "'pos'")),
    "one class only, as numbers": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1})), ("one class only",)
    ),
    "label in test never seen in train": BadInput(
        folder_of({"train.csv": good_csv(), "test.csv": "text,label\na film,pos\nhm,mixed\n"}),
        ("row 2", "test.csv", "'mixed'", "never seen in train", "'neg', 'pos'"),
    ),
    "label in validation never seen in train": BadInput(
        folder_of({"train.csv": good_csv(), "dev.csv": "text,label\nhm,2\nho,2\n"}), ("dev.csv", "'2'", "never seen")
    ),
    "empty text": BadInput(
        one_file("data.csv", 'text,label\n"a\nb",pos\nbad,neg\n,pos\n"",neg\n'),
        ("row 3", "text is empty (and 1 more"),
    ),
    "blank text": BadInput(one_file("data.csv", 'text,label\na,pos\n" \t ",neg\n'), ("row 2", "text is empty")),
    "null text": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1}, {"text": None, "label": 0})),
        ("row 2", "text is null"),
    ),
    "text left out": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1}, {"label": 0})), ("row 2", "text is null")
    ),
    "null label": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1}, {"text": "b", "label": None})),
        ("row 2", "label in column 'label' is null"),
    ),
    "empty label": BadInput(one_file("data.csv", "text,label\na,1\nb,\nc,0\n"), ("row 2", "is null")),
    "nan label": BadInput(one_file("data.csv", "text,label\na,1.0\nb,nan\nc,0.0\n"), ("row 2", "is null")),
    "invalid utf-8 in csv": BadInput(
        one_file("data.csv", b'text,label\n"fine\nfilm",pos\ncaf\xe9,neg\n'), ("line 4 (row 2)", "invalid UTF-8")
    ),
    "invalid utf-8 in a header": BadInput(
        one_file("data.csv", b"t\xe9xt,label\nfine,pos\n"), ("line 1 (the header)", "invalid UTF-8")
    ),
    "utf-16 csv": BadInput(one_file("data.csv", GOOD_CSV.encode("utf-16")), ("line 1", "invalid UTF-8")),
    "invalid utf-8 in jsonl": BadInput(
        one_file("data.jsonl", b'{"text": "a", "label": 1}\n{"text": "\xff", "label": 0}\n'),
        ("line 2 (row 2)", "invalid UTF-8"),
    ),
    "invalid utf-8 in parquet": BadInput(parquet_not_utf8, ("row 2", "invalid UTF-8")),
    "invalid utf-8 in a text file": BadInput(
        folder_of({"train/pos/0_9.txt": "fine", "train/neg/0_1.txt": b"caf\xe9"}), ("0_1.txt", "invalid UTF-8")
    ),
    "empty text file": BadInput(
        folder_of({"train/pos/0_9.txt": "fine", "train/neg/0_1.txt": ""}), ("0_1.txt", "text is empty")
    ),
    "mixed labels in csv": BadInput(
        one_file("data.csv", "text,label\na,0\nb,1\nc,pos\n"), ("mixes types", "row 3", "'pos'")
    ),
    "mixed labels in jsonl": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 0}, {"text": "b", "label": "pos"})),
        ("'label'", "mixes types", "row 2 holds 'pos' (str)"),
    ),
    "mixed texts": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 0}, {"text": 7, "label": 1})),
        ("'text'", "mixes types", "row 2 holds 7 (int)"),
    ),
    "texts of numbers in jsonl": BadInput(
        one_file("data.jsonl", lines({"text": 5, "label": 0}, {"text": 7, "label": 1})), ("holds int64, not text",)
    ),
    "decimal labels": BadInput(one_file("data.csv", "text,label\na,0.5\nb,1.0\n"), ("row 1", "decimal number")),
    "lists for labels": BadInput(parquet(text=["a", "b"], label=[[0], [0, 1]]), ("holds list", "one class per row")),
    "class too small": BadInput(
        one_file("data.csv", good_csv() + "hm,mixed\n"), ("'mixed'", "1 distinct text", "validation split")
    ),
    "train repeats test": BadInput(
        folder_of({"train.csv": GOOD_CSV, "test.csv": GOOD_CSV}), ("'neg', 'pos'", "also stands in validation or test")
    ),
    "hub offline": BadInput(hub("someone/reviews"), ("'someone/reviews'", "unreachable"), {"HF_HUB_OFFLINE": "1"}),
    "hub unreachable": BadInput(
        hub("someone/reviews"), ("'someone/reviews'", "unreachable"), {"HF_ENDPOINT": "http://127.0.0.1:9"}
    ),
}
