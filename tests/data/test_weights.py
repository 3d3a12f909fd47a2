"""`data.weight`: read, carried through every division and cut, refused where it is no number above 0."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toughen.data import Data, load_splits, tokenise
from toughen.errors import InputError

ROWS = [{"text": f"text number {i}", "label": "ab"[i % 2], "trust": str(1 + i / 10)} for i in range(40)]
EXPECTED = {f"text number {i}": 1 + i / 10 for i in range(40)}


def weights_of(rows):
    return dict(zip(rows["text"], rows["weight"], strict=True))


def test_every_row_keeps_its_weight_on_whichever_side_it_falls():
    splits = load_splits(Data(weight="trust"), seed=0, data=ROWS)
    found = weights_of(splits.train) | weights_of(splits.validation)
    assert found == EXPECTED


def test_a_validation_split_without_the_column_has_no_weights():
    other = [{"text": f"other {i}", "label": "ab"[i % 2]} for i in range(8)]
    splits = load_splits(Data(weight="trust"), seed=0, data={"train": ROWS, "validation": other})
    assert "weight" not in splits.validation.column_names
    assert weights_of(splits.train) == EXPECTED


def test_windows_share_the_weight_of_their_text(pieces):
    splits = load_splits(Data(weight="trust"), seed=0, data=[{**row, "text": row["text"] * 3} for row in ROWS])
    rows = tokenise(splits.train, pieces, max_length=6, truncation="windows")
    assert len(rows) > len(splits.train), "some text has several windows"
    total = np.bincount(rows["row"], weights=rows["weight"])
    expected = dict(zip(splits.train["row"], splits.train["weight"], strict=True))
    assert all(total[row] == pytest.approx(weight, abs=1e-12) for row, weight in expected.items())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ("row 4", "'trust' is null", "above 0", "--data.bad_rows drop")),
        ("much", ("row 4", "'much'", "above 0")),
        ("0", ("row 4", "'0'", "above 0")),
        ("-1.5", ("row 4", "'-1.5'", "above 0")),
        ([1.0], ("weight column 'trust'", "holds", "one number above 0 per row")),
    ],
    ids=str,
)
def test_what_is_no_weight_is_refused_with_its_row(value, words, tmp_path):
    rows = [{**row, "trust": value} if i == 3 or isinstance(value, list) else row for i, row in enumerate(ROWS)]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError) as refused:
        load_splits(Data(source=str(path), weight="trust"), seed=0)
    assert all(word in str(refused.value) for word in words), refused.value


def test_rows_without_a_weight_can_be_dropped():
    rows = [{**row, "trust": "0"} if i == 3 else row for i, row in enumerate(ROWS)]
    splits = load_splits(Data(weight="trust", bad_rows="drop"), seed=0, data=rows)
    assert len(splits.train) + len(splits.validation) == 39
    assert any("1 without a weight above 0" in note for note in splits.summary.notes)


def test_a_weight_column_that_is_missing_is_named():
    with pytest.raises(InputError, match="no weight column 'trusted'"):
        load_splits(Data(weight="trusted"), seed=0, data=ROWS)
