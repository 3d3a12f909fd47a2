"""Rows from which nothing can be learnt are refused, or left out and counted; the others keep their numbers."""

from __future__ import annotations

import json

import pytest

from toughen.data import Data, load_splits
from toughen.errors import InputError

GOOD = [(f"text {i}", "ab"[i % 2]) for i in range(40)]


def messy_csv(folder):
    """Write a table with two rows of the wrong width, one empty text and one empty label; return path, good rows."""
    lines = [f"{text},{label}" for text, label in GOOD]
    for place, line in {3: "too,many,fields", 7: ",a", 11: "no label,", 20: "short"}.items():
        lines.insert(place, line)
    path = folder / "data.csv"
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path, [i for i, line in enumerate(lines) if line in {f"{t},{label}" for t, label in GOOD}]


def messy_jsonl(folder):
    lines = [json.dumps({"text": text, "label": label}) for text, label in GOOD]
    good = set(lines)
    wrong = ['{"text": "a"', '{"text": null, "label": "a"}', '{"text": "x", "label": null}', "[1]"]
    for place, line in zip((3, 7, 11, 20), wrong, strict=True):
        lines.insert(place, line)
    path = folder / "data.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path, [i for i, line in enumerate(lines) if line in good]


@pytest.mark.parametrize("write", [messy_csv, messy_jsonl])
def test_bad_rows_are_dropped_and_counted(write, tmp_path):
    path, good = write(tmp_path)
    with pytest.raises(InputError):
        load_splits(Data(source=str(path)), seed=0)
    splits = load_splits(Data(source=str(path), bad_rows="drop"), seed=0)
    assert sorted(splits.train["row"][:] + splits.validation["row"][:]) == good
    texts = {row["row"]: row["text"] for part in (splits.train, splits.validation) for row in part}
    assert [texts[row] for row in good] == [text for text, _ in GOOD]
    said = "rows left out (data.bad_rows drop): 2 that could not be read, 1 without a text, 1 without a label"
    assert f"{path}: {said}" in splits.summary.notes


def test_words_without_as_many_tags_are_dropped():
    data = [{"tokens": ["a", str(i)], "tags": ["O", "B-X"]} for i in range(12)]
    data[4]["tags"] = ["O"]
    data[5]["tokens"] = data[5]["tags"] = []
    splits = load_splits(Data(bad_rows="drop"), seed=0, data=data)
    assert sorted(splits.train["row"][:] + splits.validation["row"][:]) == [i for i in range(12) if i not in (4, 5)]


def test_a_later_refusal_names_the_row_of_the_file(tmp_path):
    path, _ = messy_csv(tmp_path)
    path.rename(tmp_path / "train.csv")
    (tmp_path / "test.csv").write_text("text,label\n,a\nnew,c\n")
    with pytest.raises(InputError, match=r"test.csv, row 2: label 'c' is never seen"):
        load_splits(Data(source=str(tmp_path), bad_rows="drop"), seed=0)


def test_nothing_is_dropped_where_nothing_is_wrong():
    splits = load_splits(Data(bad_rows="drop"), seed=0, data=GOOD)
    assert len(splits.train) + len(splits.validation) == len(GOOD)
    assert not any("left out" in note for note in splits.summary.notes)
