"""The same rows through every door give the same labels, ids and texts; and files as people have them.

The cases are of kinds that people report to libraries of this field, in words of our own: each has what the file looks like,
and what becomes of it: labels by id and rows, or the words of the refusal.
"""
# ruff: noqa: E501  # a case is a line

from __future__ import annotations

import gzip
import json

import datasets
import pandas as pd
import pytest

from toughen.data import Data, load_labelled, load_splits, load_texts
from toughen.data.stream import open_stream
from toughen.errors import InputError

TEXTS = [
    "plain",
    "comma, inside",
    'a "quoted" word',
    "semi; colon",
    "好看，真的",
    "line\u2028inside",
    "café",
    "tab\tinside",
]
ROWS = [(f"{text} {i}", "差评" if i % 3 else "好评") for i in range(3) for text in TEXTS]
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])


def write(kind, folder):
    """Return the rows through one door."""
    path = folder / f"data.{kind}"
    writers = {
        "csv": lambda: FRAME.to_csv(path, index=False),
        "tsv": lambda: FRAME.to_csv(path, index=False, sep="\t"),
        "csv.gz": lambda: path.write_bytes(gzip.compress(FRAME.to_csv(index=False).encode())),
        "semicolon.csv": lambda: FRAME.to_csv(path, index=False, sep=";"),
        "jsonl": lambda: FRAME.to_json(path, orient="records", lines=True, force_ascii=False),
        "json": lambda: FRAME.to_json(path, orient="records"),
        "columns.json": lambda: path.write_text(json.dumps(FRAME.to_dict("list"))),
        "parquet": lambda: FRAME.to_parquet(path),
        "saved": lambda: datasets.Dataset.from_pandas(FRAME).save_to_disk(path),
    }
    memory = {
        "frame": FRAME,
        "dataset": datasets.Dataset.from_pandas(FRAME),
        "list": ROWS,
        "dicts": FRAME.to_dict("records"),
        "dict": FRAME.to_dict("list"),
    }
    if kind in memory:
        return memory[kind]
    writers[kind]()
    return str(path)


FILES = ("csv", "tsv", "csv.gz", "semicolon.csv", "jsonl", "json", "columns.json", "parquet", "saved")
DOORS = (*FILES, "frame", "dataset", "list", "dicts", "dict")


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_same_splits(door, tmp_path):
    wanted = load_splits(Data(), seed=1, data=ROWS)
    splits = load_splits(Data(), seed=1, data=write(door, tmp_path))
    assert splits.label_names == wanted.label_names == ("差评", "好评")
    for ours, theirs in ((splits.train, wanted.train), (splits.validation, wanted.validation)):
        assert [ours[name][:] for name in ("text", "label", "row")] == [
            theirs[name][:] for name in ("text", "label", "row")
        ]


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_same_rows_to_score_and_to_predict(door, tmp_path):
    source = write(door, tmp_path)
    scored = load_labelled(source, label_names=("差评", "好评"))
    assert scored["text"][:] == load_texts(source)["text"][:] == [text for text, _ in ROWS]
    assert scored["label"][:] == [int(label == "好评") for _, label in ROWS]
    if door in FILES:
        pieces = open_stream(source).pieces(["text"])
        assert [text for piece in pieces for text in piece.table["text"].to_pylist()] == [text for text, _ in ROWS]


def rows(*labels, times=4):
    return [(f"text {i} {label}", label) for i in range(times) for label in labels]


def table(header, pairs, separator=","):
    return separator.join(header) + "\n" + "".join(f"{a}{separator}{b}\n" for a, b in pairs)


SEEN = {  # kind: (name of the file, content, flags, what is expected: label names, or words of the refusal)
    "pandas' index as a first column without a name": (
        "d.csv", ",text,label\n" + "".join(f"{i},{a},{b}\n" for i, (a, b) in enumerate(rows("x", "y"))), {}, ("x", "y")),
    "label before text": ("d.csv", table(("label", "text"), [r[::-1] for r in rows("x", "y")]), {}, ("x", "y")),
    "upper-case names of columns": ("d.csv", table(("Text", "Label"), rows("x", "y")), {}, ("x", "y")),
    "names of columns with spaces": ("d.csv", table((" text", "label "), rows("x", "y")), {}, ("x", "y")),
    "IMDb's sentiment column": ("d.csv", table(("review", "sentiment"), rows("negative", "positive")), {},
                                ("negative", "positive")),
    "the SMS corpus without a header": ("d.csv", "".join(f"{b},{a}\n" for a, b in rows("ham", "spam", times=9)), {},
                                        "first line of a table"),
    "labels 1 to 5": ("d.csv", table(("text", "stars"), rows("1", "5", "3")), {}, ("1", "3", "5")),
    "labels as 0.0 and 1.0": ("d.csv", table(("text", "label"), rows("0.0", "1.0")), {}, ("0", "1")),
    "labels of -1 and 1": ("d.csv", table(("text", "label"), rows("-1", "1")), {}, ("-1", "1")),
    "labels of True and False": ("d.csv", table(("text", "label"), rows("True", "False")), {}, ("False", "True")),
    "labels true in JSON": ("d.jsonl", "".join(json.dumps({"text": a, "label": b == "x"}) + "\n" for a, b in rows("x", "y")),
                            {}, ("False", "True")),
    "labels in three spellings": ("d.csv", table(("text", "label"), rows("Pos", "pos", "pos ", "neg")), {}, ("neg", "pos")),
    "a semicolon's file of a European spreadsheet": ("d.csv", table(("text", "label"), rows("x", "y"), ";"), {}, ("x", "y")),
    "sep= of a spreadsheet": ("d.csv", "sep=;\n" + table(("text", "label"), rows("x", "y"), ";"), {}, ("x", "y")),
    "tabs in a .csv": ("d.csv", table(("text", "label"), rows("x", "y"), "\t"), {}, ("x", "y")),
    "a byte order mark": ("d.csv", "\ufeff" + table(("text", "label"), rows("x", "y")), {}, ("x", "y")),
    "CRLF": ("d.csv", table(("text", "label"), rows("x", "y")).replace("\n", "\r\n"), {}, ("x", "y")),
    "UTF-16 of a spreadsheet": ("d.csv", table(("text", "label"), rows("x", "y")).encode("utf-16"), {}, "--data.encoding utf-16"),
    "UTF-16, named": ("d.csv", table(("text", "label"), rows("x", "y")).encode("utf-16"), {"encoding": "utf-16"}, ("x", "y")),
    "GBK of a Chinese spreadsheet": ("d.csv", table(("text", "label"), rows("好评", "差评")).encode("gbk"), {}, "--data.encoding gbk"),
    "GBK, named": ("d.csv", table(("text", "label"), rows("好评", "差评")).encode("gbk"), {"encoding": "gbk"}, ("差评", "好评")),
    "a list of records": ("d.json", json.dumps([{"text": a, "label": b} for a, b in rows("x", "y")]), {}, ("x", "y")),
    "DataFrame.to_json()": ("d.json", pd.DataFrame(rows("x", "y"), columns=["text", "label"]).to_json(), {}, ("x", "y")),
    "an envelope": ("d.json", json.dumps({"version": 1, "data": [{"text": a, "label": b} for a, b in rows("x", "y")]}),
                    {}, ("x", "y")),
    "JSON lines named .json": ("d.json", "".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in rows("x", "y")), {},
                               ("x", "y")),
    "lists of labels printed by pandas": ("d.csv", table(("text", "labels"), [(a, f'"[\'{b}\', \'z\']"' if i else "[]")
                                          for i, (a, b) in enumerate(rows("x", "y"))]), {}, ("x", "y", "z")),
    "0/1 columns of the toxic comments": ("d.csv", "comment_text,toxic,threat\n" + "".join(
        f"text {i},{i % 2},{int(i % 3 == 0)}\n" for i in range(12)), {"label": "toxic,threat"}, ("toxic", "threat")),
    "an empty text": ("d.csv", table(("text", "label"), [*rows("x", "y"), ("", "x")]), {}, "the text is empty"),
    "an empty text, dropped": ("d.csv", table(("text", "label"), [*rows("x", "y"), ("", "x")]), {"bad_rows": "drop"}, ("x", "y")),
    "unquoted commas": ("d.csv", table(("text", "label"), [*rows("x", "y"), ("a, b", "x")]), {}, "too many fields, 3"),
    "unquoted commas, dropped": ("d.csv", table(("text", "label"), [*rows("x", "y"), ("a, b", "x")]), {"bad_rows": "drop"},
                                 ("x", "y")),
    "a label that is missing": ("d.csv", table(("text", "label"), [*rows("x", "y"), ("a", "")]), {}, "is null"),
    "a spreadsheet itself": ("d.xlsx", "PK", {}, "the extension must be one of"),
    "half of an emoji": ("d.jsonl", "".join(json.dumps({"text": a + "\ud83d", "label": b}) + "\n" for a, b in rows("x", "y")), {},
                         "half of a surrogate pair"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEEN)
def test_files_as_people_have_them(kind, tmp_path):
    name, content, flags, expected = SEEN[kind]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if isinstance(expected, str):
        with pytest.raises(InputError) as caught:
            load_splits(Data(source=str(path), **flags), seed=0)
        assert expected in str(caught.value)
        return
    splits = load_splits(Data(source=str(path), **flags), seed=0)
    assert splits.label_names == expected
    assert len(splits.train) + len(splits.validation) >= 8


def test_there_are_thirty_of_them():
    assert len(SEEN) >= 30
