"""Soft labels from data: probabilities and votes, through every door, divided by the most probable class."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pandas as pd
import pytest

from toughen.data import Data, load_labelled, load_splits, tokenise
from toughen.data.check import check
from toughen.errors import InputError

NEG, POS = "neg", "pos"
ROWS = [
    {"text": f"text number {i}", "pos": p, "neg": round(1 - p, 2)}
    for i, p in enumerate((0.9, 0.25, 0.6, 0.1, 1.0, 0.0, 0.75, 0.3) * 6)
]
EXPECTED = {row["text"]: [row["neg"], row["pos"]] for row in ROWS}
SOFT = Data(label_columns="pos,neg")
VOTES = [
    {"text": f"text number {i}", "a": votes[0], "b": votes[1], "c": votes[2]}
    for i, votes in enumerate(
        (("pos", "pos", "neg"), ("neg", "neg", None), ("pos", None, None), ("neg", "pos", "neg")) * 6
    )
]
SHARES = {0: [1 / 3, 2 / 3], 1: [1, 0], 2: [0, 1], 3: [2 / 3, 1 / 3]}


def csv(path, rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def parquet(path, rows):
    pd.DataFrame(rows).to_parquet(path)
    return str(path)


DOORS = {
    "csv": lambda folder, rows: csv(folder / "data.csv", rows),
    "jsonl": lambda folder, rows: jsonl(folder / "data.jsonl", rows),
    "parquet": lambda folder, rows: parquet(folder / "data.parquet", rows),
    "frame": lambda folder, rows: pd.DataFrame(rows),
    "list": lambda folder, rows: rows,
    "dataset": lambda folder, rows: datasets.Dataset.from_list(rows),
}


def both(splits):
    """Return the soft label of every text, trained on or held out."""
    return {
        text: soft
        for rows in (splits.train, splits.validation)
        for text, soft in zip(rows["text"], rows["soft_label"], strict=True)
    }


@pytest.mark.parametrize("door", DOORS)
def test_probabilities_come_whole_through_every_door(door, tmp_path):
    splits = load_splits(SOFT, seed=0, data=DOORS[door](tmp_path, ROWS))
    assert splits.label_names == (NEG, POS), "in the order of hard labels, whatever the order of the columns"
    found = both(splits)
    assert found.keys() == EXPECTED.keys()
    assert all(found[text] == pytest.approx(EXPECTED[text], abs=1e-12) for text in found)
    assert list(splits.train["label"]) == np.argmax(splits.train["soft_label"][:], axis=1).tolist()


@pytest.mark.parametrize("door", DOORS)
def test_votes_become_shares_through_every_door(door, tmp_path):
    splits = load_splits(Data(vote_columns="a,b,c"), seed=0, data=DOORS[door](tmp_path, VOTES))
    assert splits.label_names == (NEG, POS)
    found = both(splits)
    assert all(found[f"text number {i}"] == pytest.approx(SHARES[i % 4], abs=1e-12) for i in range(len(VOTES)))


@pytest.mark.parametrize("written", ["list", "bars"])
def test_a_column_of_lists_holds_votes(written, tmp_path):
    rows = [
        {"text": row["text"], "votes": [v for v in (row["a"], row["b"], row["c"]) if v is not None]} for row in VOTES
    ]
    if written == "bars":
        source = csv(tmp_path / "votes.csv", [{**row, "votes": "|".join(row["votes"])} for row in rows])
    else:
        source = jsonl(tmp_path / "votes.jsonl", rows)
    found = both(load_splits(Data(vote_columns="votes"), seed=0, data=source))
    assert all(found[f"text number {i}"] == pytest.approx(SHARES[i % 4], abs=1e-12) for i in range(len(VOTES)))


def test_held_out_rows_are_stratified_by_the_most_probable_class():
    rows = [{"text": f"text {i}", "neg": 0.6 if i % 4 else 0.2, "pos": 0.4 if i % 4 else 0.8} for i in range(80)]
    splits = load_splits(Data(label_columns="neg,pos", validation_share=0.25), seed=3, data=rows)
    assert splits.summary.counts["validation"] == {NEG: 15, POS: 5}


def test_columns_that_predict_wrote_are_named_after_their_classes():
    rows = [{"text": r["text"], "probability_neg": r["neg"], "probability_pos": r["pos"]} for r in ROWS]
    splits = load_splits(Data(label_columns="probability_neg,probability_pos"), seed=0, data=rows)
    assert splits.label_names == (NEG, POS)


def test_spellings_of_a_vote_are_one_class():
    rows = [{**row, "a": row["a"].upper() if i % 7 == 0 else row["a"]} for i, row in enumerate(VOTES)]
    splits = load_splits(Data(vote_columns="a,b,c"), seed=0, data=rows)
    assert splits.label_names == (NEG, POS)
    assert both(splits)["text number 0"] == pytest.approx(SHARES[0], abs=1e-12)


def test_rounded_probabilities_are_divided_by_their_sum():
    rows = [{"text": f"t {i}", "a": 0.333, "b": 0.333, "c": 0.333 + (i % 2) / 1000} for i in range(30)]
    splits = load_splits(Data(label_columns="a,b,c"), seed=0, data=rows)
    assert np.sum(splits.train["soft_label"][:], axis=1) == pytest.approx(1, abs=1e-12)


def test_a_validation_split_may_have_one_class_per_row():
    gold = [{"text": f"gold {i}", "label": ("POS", "neg")[i % 2]} for i in range(8)]
    splits = load_splits(SOFT, seed=0, data={"train": ROWS, "validation": gold})
    assert "soft_label" not in splits.validation.column_names
    assert list(splits.validation["label"]) == [1, 0] * 4
    assert any("one class per row" in note for note in splits.summary.notes)


def test_ties_are_counted_and_fall_to_the_first_class():
    rows = [{**row, "pos": 0.5, "neg": 0.5} if i < 5 else row for i, row in enumerate(ROWS)]
    splits = load_splits(SOFT, seed=0, data=rows)
    assert any("5 rows with a tie" in note for note in splits.summary.notes), splits.summary.notes
    parts = (splits.train, splits.validation)
    at = {text: label for part in parts for text, label in zip(part["text"], part["label"], strict=True)}
    assert [at[f"text number {i}"] for i in range(5)] == [0] * 5


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"pos": 0.9, "neg": 0.9}, ("row 4", "0.9, 0.9, whose sum is 1.8 and not 1", "--data.bad_rows drop")),
        ({"pos": 3, "neg": 1}, ("row 4", "whose sum is 4", "divide them by their sum")),
        ({"pos": 1.5, "neg": -0.5}, ("row 4", "column 'neg' is -0.5, and none is negative")),
        ({"pos": None, "neg": 1.0}, ("row 4", "column 'pos' is no number")),
        ({"pos": "much", "neg": 1.0}, ("'pos'", "mixes types")),
    ],
    ids=str,
)
def test_what_is_no_row_of_probabilities_is_refused_with_its_place(row, words, tmp_path):
    rows = [{**one, **row} if i == 3 else one for i, one in enumerate(ROWS)]
    with pytest.raises(InputError) as refused:
        load_splits(SOFT, seed=0, data=rows)
    assert all(word in str(refused.value) for word in words), refused.value


def test_faulty_rows_can_be_dropped_and_are_told_by_check():
    rows = [{**one, "pos": 0.9, "neg": 0.9} if i == 3 else one for i, one in enumerate(ROWS)]
    splits = load_splits(Data(label_columns="pos,neg", bad_rows="drop"), seed=0, data=rows)
    assert len(both(splits)) == len(ROWS) - 1
    problems = [problem.line() for problem in check(SOFT, seed=0, data=rows).problems if problem.stops]
    assert len(problems) == 1
    assert "1 row without probabilities of the classes that sum to 1 (row 4)" in problems[0]


def test_a_row_without_a_vote_is_refused_and_can_be_dropped():
    rows = [{**one, "a": None, "b": None, "c": None} if i == 2 else one for i, one in enumerate(VOTES)]
    with pytest.raises(InputError, match="row 3: no vote in 'a', 'b', 'c'"):
        load_splits(Data(vote_columns="a,b,c"), seed=0, data=rows)
    splits = load_splits(Data(vote_columns="a,b,c", bad_rows="drop"), seed=0, data=rows)
    assert len(both(splits)) == len(VOTES) - 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"label_columns": "pos,neg", "label": "x"}, "data.label_columns"),
        ({"vote_columns": "a,b", "label": "x"}, "data.vote_columns"),
        ({"vote_columns": "a,b", "label_columns": "pos,neg"}, "data.vote_columns"),
        ({"label_columns": "pos,neg", "rename_labels": "pos=neg"}, "data.rename_labels"),
        ({"label_columns": "pos,neg", "task": "multi-label"}, "data.task is multi-label"),
        ({"label_columns": "pos,neg", "relabel": "file.csv"}, "data.relabel"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Data(**settings)


def test_a_column_that_is_missing_is_named():
    with pytest.raises(InputError, match=r"no column 'maybe', which data.label_columns names; its columns are"):
        load_splits(Data(label_columns="pos,neg,maybe"), seed=0, data=ROWS)
    with pytest.raises(InputError, match=r"'pos' names one column; name one for each of two classes or more"):
        load_splits(Data(label_columns="pos"), seed=0, data=ROWS)
    with pytest.raises(InputError, match=r"no column 'c', which data.vote_columns names"):
        load_splits(Data(vote_columns="pos,c"), seed=0, data=ROWS)


def test_a_split_with_half_of_the_columns_is_refused():
    other = [{"text": f"o {i}", "pos": 1.0} for i in range(6)]
    with pytest.raises(InputError, match="no column 'neg', which holds soft labels in train"):
        load_splits(SOFT, seed=0, data={"train": ROWS, "validation": other})


def test_rows_that_all_say_the_same_are_refused():
    with pytest.raises(InputError, match="same probabilities"):
        load_splits(SOFT, seed=0, data=[{**row, "pos": 0.7, "neg": 0.3} for row in ROWS])


def test_data_to_score_are_read_as_those_of_training():
    known = load_splits(SOFT, seed=0, data=ROWS).columns
    rows = load_labelled(ROWS, label_names=("POS", "NEG"), known=known)
    assert rows["soft_label"][0] == pytest.approx([0.9, 0.1], abs=1e-12)
    assert rows["label"][:2] == [0, 1]
    hard = [{**row, "gold": "neg"} for row in ROWS]
    assert "soft_label" not in load_labelled(hard, label="gold", label_names=("pos", "neg"), known=known).column_names
    with pytest.raises(InputError, match="label 'neg' in column 'pos' is unknown to the model"):
        load_labelled(ROWS, label_columns="pos,neg", label_names=("pos", "bad"))


@pytest.mark.parametrize("truncation", ["head", "windows"])
def test_tokens_carry_the_soft_label(truncation, pieces):
    splits = load_splits(SOFT, seed=0, data=[{**row, "text": row["text"] * 3} for row in ROWS])
    rows = tokenise(splits.train, pieces, max_length=6, truncation=truncation)
    place = {row: i for i, row in enumerate(splits.train["row"])}
    assert (len(rows) > len(splits.train)) == (truncation == "windows")
    assert all(
        label == splits.train["soft_label"][place[row]] for row, label in zip(rows["row"], rows["labels"], strict=True)
    )
