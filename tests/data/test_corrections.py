"""`data.drop` and `data.relabel`: rows by their numbers, and what is refused."""

from __future__ import annotations

import json

import pytest

from toughen.data import Data, load_splits
from toughen.errors import InputError

ROWS = [{"text": f"text number {i}", "label": "ab"[i % 2]} for i in range(40)]


def written(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def labels(splits):
    parts = [splits.train, splits.validation]
    return {row: splits.label_names[i] for p in parts for row, i in zip(p["row"][:], p["label"][:], strict=True)}


def test_rows_go_and_labels_change_by_number(tmp_path):
    drop = written(tmp_path / "drop.csv", "row,why", "3,copy", "39,copy")
    relabel = written(
        tmp_path / "relabel.csv", "row,label,text", "0,B,text number 0", "39,a,text number 39", "5,b,", "6,,"
    )
    splits = load_splits(Data(drop=drop, relabel=relabel), seed=0, data=ROWS)
    assert labels(splits) == {i: "b" if i == 0 else "ab"[i % 2] for i in range(39) if i != 3}
    assert any(f"2 rows left out, named in {drop}" in note for note in splits.summary.notes)
    assert any("1 row gets another label, of 3 filled in among the 4 that" in note for note in splits.summary.notes)


def test_the_other_splits_stay_as_they_are(tmp_path):
    drop = written(tmp_path / "drop.csv", "row", "0", "1")
    data = {"train": ROWS, "test": [{"text": f"other {i}", "label": "ab"[i % 2]} for i in range(4)]}
    splits = load_splits(Data(drop=drop), seed=0, data=data)
    assert splits.test["row"][:] == [0, 1, 2, 3]
    assert len(splits.train) + len(splits.validation) == 38


def test_any_task_drops_and_rows_left_out_keep_the_numbers(tmp_path):
    path = tmp_path / "data.jsonl"
    rows = [{"text": None if i == 2 else f"text {i}", "label": i + 0.5} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    drop = written(tmp_path / "drop.jsonl", '{"row": 4}')
    splits = load_splits(Data(source=str(path), drop=drop, bad_rows="drop"), seed=0)
    kept = sorted([*splits.train["row"][:], *splits.validation["row"][:]])
    assert kept == [i for i in range(30) if i not in (2, 4)]


@pytest.mark.parametrize(
    ("field", "lines", "words"),
    [
        ("drop", ("number", "3"), ("has no column 'row'", "from 0", "its columns are 'number'")),
        ("drop", ("row", "3", "x"), ("row 2", "row 'x' is no whole number from 0")),
        ("drop", ("row", "3", "-1"), ("row 2", "'-1'")),
        ("drop", ("row", "3", "3"), ("row 2", "row 3 is named twice")),
        ("drop", ("row", "40"), ("row 1", "there is no row 40 in", "from 0 to 39")),
        ("drop", ("row", *map(str, range(40))), ("names every row", "name fewer")),
        ("drop", ("row,text", "3,another text"), ("row 1", "the text is not that of row 3")),
        ("relabel", ("row", "3"), ("has no column 'label'",)),
        (
            "relabel",
            ("row,label", "3,c"),
            ("row 1", "label 'c' is none of", "'a', 'b'", "correct it, or leave it empty"),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_refused_with_its_place(field, lines, words, tmp_path):
    file = written(tmp_path / "given.csv", *lines)
    with pytest.raises(InputError) as refused:
        load_splits(Data(**{field: file}), seed=0, data=ROWS)
    assert all(word in str(refused.value) for word in ("given.csv", *words)), refused.value


def test_labels_that_are_no_classes_are_not_changed(tmp_path):
    file = written(tmp_path / "given.csv", "row,label", "3,1.5")
    with pytest.raises(InputError, match=r"data\.relabel .* is for one class per text, but .* is regression"):
        load_splits(Data(relabel=file), seed=0, data=[{"text": f"t {i}", "label": i + 0.5} for i in range(30)])
