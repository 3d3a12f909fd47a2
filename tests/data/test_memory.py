"""Objects in memory are read like files, and refused like them."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pytest

from toughen.data import Data, load_splits
from toughen.data.read.in_memory import WHOLE, read_memory
from toughen.errors import InputError

TEXTS = ["good one", "bad one", "good two", "bad two", "good three", "bad three"]
LABELS = [1, 0, 1, 0, 1, 0]
PAIRS = list(zip(TEXTS, LABELS, strict=True))
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})
DATASET = datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS})


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        FRAME.astype({"label": "category"}),
        FRAME.astype({"text": object, "label": object}),
        FRAME.sample(frac=1.0, random_state=0).sort_index(),
        DATASET,
        DATASET.select([1, 0, 3, 2, 5, 4]).select([1, 0, 3, 2, 5, 4]),
        PAIRS,
        [list(pair) for pair in PAIRS],
        [{"text": text, "label": label} for text, label in PAIRS],
        [{"text": text, "label": np.int64(label)} for text, label in PAIRS],
        {"text": TEXTS, "label": LABELS},
    ],
    ids=["frame", "category", "object", "sample", "dataset", "indices", "tuples", "lists", "dicts", "numpy", "columns"],
)
def test_every_form_gives_the_same_rows(data):
    table = read_memory(data)[WHOLE]
    assert list(zip(table.column("text").to_pylist(), table.column("label").to_pylist(), strict=True)) == PAIRS
    assert load_splits(Data(), seed=0, data=data).label_names == ("0", "1")


@pytest.mark.parametrize("form", [FRAME, DATASET, PAIRS], ids=["frames", "datasets", "lists"])
def test_dict_of_splits(form):
    splits = load_splits(Data(drop_shared=False), seed=0, data={"train": form, "dev": form, "test": form})
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [6, 6, 6]


def test_dataset_dict_keeps_class_names():
    named = DATASET.cast_column("label", datasets.ClassLabel(names=["worse", "better"]))
    splits = load_splits(Data(), seed=0, data=datasets.DatasetDict({"train": named}))
    assert splits.label_names == ("worse", "better")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "is empty"),
        (FRAME.iloc[:0], "is empty"),
        (5, "type int"),
        (DATASET.to_iterable_dataset(), "type IterableDataset"),
        ({"text": 5}, "Cannot read the data"),
        ({"text": ["a"], "label": [1, 0]}, "differ in length"),
        ([("a", 1), ("b", 0, 7)], "row 2 has 3 values"),
        ([("a", 1), "b"], "row 2 is a str"),
        ([{"text": "a", "label": 1}, ("b", 0)], "row 2 is a tuple"),
        ([("a", 1), (None, 0)], "row 2: the text is null"),
        ([("a", 1), ("b", float("nan"))], "row 2: the label"),
        ([("a", 1), ("b", "x")], "row 2 holds 'x'"),
        ([("a", 1), ("b", True)], "mixes types"),
        (FRAME.astype(object).replace("bad two", 5), "row 4 holds 5"),
        (FRAME.astype({"label": "Int64"}).replace({"label": {0: pd.NA}}), "row 2: the label"),
        (pd.DataFrame([["a", 1, 2]], columns=["text", "label", "label"]), "more than one column named 'label'"),
        ({"train": PAIRS, "dev": PAIRS, "validation": PAIRS}, "name the validation split"),
        ({"test": PAIRS}, "no train split"),
        (["just", "texts"], "no label column"),
    ],
)
def test_wrong_objects_are_refused_in_a_sentence(data, says):
    with pytest.raises(InputError, match=says):
        load_splits(Data(), seed=0, data=data)


def test_nothing_given_is_said():
    with pytest.raises(InputError, match="No data given"):
        load_splits(Data(), seed=0)


def test_a_path_may_be_given_as_data(tmp_path):
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    assert len(load_splits(Data(), seed=0, data=tmp_path / "data.csv").train) == 4


def test_a_dict_of_splits_may_name_files(tmp_path):
    FRAME.to_csv(tmp_path / "any.csv", index=False)
    splits = load_splits(Data(drop_shared=False), seed=0, data={"train": str(tmp_path / "any.csv"), "test": FRAME})
    assert [len(splits.train) + len(splits.validation), len(splits.test)] == [6, 6]
    with pytest.raises(InputError, match=r"file .* is missing"):
        load_splits(Data(), seed=0, data={"train": tmp_path / "none.csv"})


def test_rows_of_three_are_pairs_and_all_rows_are_alike():
    rows = [(text, f"{text} too", label) for text, label in PAIRS]
    assert read_memory(rows)[WHOLE].columns == ["text", "text_pair", "label"]
    with pytest.raises(InputError, match=r"row 2 has 2 values; give \(text, text_pair, label\)"):
        read_memory([rows[0], PAIRS[0]])
