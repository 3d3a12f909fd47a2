"""Labels of any number per row become the same rows of 0 and 1, however they are written."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toughen.data.columns.labels import name_classes
from toughen.data.columns.lists import read_label_sets
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.raw import Raw
from toughen.data.read.sources import read_source
from toughen.errors import InputError

SETS = [["joy"], ["awe", "joy"], [], ["fear"]]
NAMES = ("awe", "fear", "joy")
HOT = [[0, 0, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]]
IDS = [[NAMES.index(name) for name in row] for row in SETS]


def sets(values, *, typed=True, names=None):
    """Return (label names, rows of 0 and 1) of a column ``labels``, or of the columns of a dict."""
    columns = values if isinstance(values, dict) else {"labels": values}
    raw = Raw(pa.table(columns), "data", typed=typed, class_names={"labels": names} if names else {})
    found = read_label_sets(raw, tuple(columns))
    order = name_classes(found.flat)
    return order, found.matrix(order).tolist()


@pytest.mark.parametrize(
    "values",
    [
        SETS,
        pa.array(SETS, pa.large_list(pa.large_string())),
        ["joy", "awe,joy", "", "fear"],
        ["joy", " joy | awe ", "", "fear"],
        ["['joy']", "['awe' 'joy']", "[]", '["fear"]'],
        pa.array(["joy", "awe,joy", "", "fear"]).dictionary_encode(),
        [["joy", "joy"], ["awe", "joy"], [], ["fear"]],
    ],
    ids=["lists", "large lists", "commas", "bars", "printed", "dictionary", "twice"],
)
def test_every_way_to_write_sets_of_words_gives_the_same_rows(values):
    assert sets(values) == (NAMES, HOT)


def test_ids_take_the_names_that_the_source_keeps_or_are_names():
    assert sets(IDS, names=NAMES) == (NAMES, HOT)
    assert sets([[2], [0, 2], [], [10]]) == (("0", "2", "10"), [[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]])
    with pytest.raises(InputError, match="data, row 2: label 3 is none of the 3 classes"):
        sets([[0], [1, 3]], names=NAMES)


@pytest.mark.parametrize("values", [[0, 1], [False, True], ["0", "1"], ["0.0", "1.0"], [0.0, 1.0], ["False", "True"]])
def test_columns_of_0_and_1_are_named_after_themselves(values):
    zero, one = values
    names, rows = sets({"rude": pa.array([zero, one, zero]), "good": pa.array([one, one, zero])})
    assert (names, rows) == (("rude", "good"), [[0, 1], [1, 1], [0, 0]])


def test_rows_of_0_and_1_are_told_from_lists_of_ids():
    """Ids never come twice in a list: [0, 1] may be ids or a row of two, but [1, 1] or three places cannot."""
    assert sets([[0.0, 1.0], [1.0, 0.0]]) == (("0", "1"), [[0, 1], [1, 0]])
    assert sets([[0, 1, 0], [1, 0, 0]], names=NAMES) == (NAMES, [[0, 1, 0], [1, 0, 0]])
    assert sets([[0, 1], [1, 1]])[1] == [[0, 1], [1, 1]]
    assert sets([[0, 1], [1, 0]])[1] == [[1, 1], [1, 1]]


def test_a_null_in_any_of_several_columns_is_named():
    with pytest.raises(InputError, match="row 2: label column 'b' holds None"):
        sets({"a": [0, 1], "b": [0, None]})


def write(form, folder):
    """Write the rows in one of the forms that are read."""
    texts = [f"text {i}" for i in range(len(SETS))]
    frame = pd.DataFrame({"text": texts, "labels": pd.Series(IDS)})
    if form == "parquet":
        pq.write_table(pa.table({"text": texts, "labels": IDS}), folder / "data.parquet")
        return folder / "data.parquet"
    if form == "jsonl":
        frame.to_json(folder / "data.jsonl", orient="records", lines=True)
        return folder / "data.jsonl"
    if form == "json":
        (folder / "data.json").write_text(json.dumps(frame.to_dict("records")))
        return folder / "data.json"
    if form == "csv":
        frame.to_csv(folder / "data.csv", index=False)
        return folder / "data.csv"
    rows = [{"text": text, "labels": ids} for text, ids in zip(texts, IDS, strict=True)]
    arrays = frame.assign(labels=pd.Series([np.array(ids, np.int64) for ids in IDS]))
    inner = datasets.List(datasets.ClassLabel(names=list(NAMES)))
    features = datasets.Features({"text": datasets.Value("string"), "labels": inner})
    return {
        "frame": frame,
        "arrays": arrays,
        "dataset": datasets.Dataset.from_list(rows),
        "named": datasets.Dataset.from_list(rows, features=features),
        "dicts": rows,
        "pairs": list(zip(texts, IDS, strict=True)),
    }[form]


@pytest.mark.parametrize(
    "form", ["parquet", "jsonl", "json", "csv", "frame", "arrays", "dataset", "named", "dicts", "pairs"]
)
def test_every_form_of_source_holds_sets(form, tmp_path):
    raw = read_source(write(form, tmp_path))[WHOLE]
    found = read_label_sets(raw, ("label" if form == "pairs" else "labels",))
    names = name_classes(found.flat)
    assert names == (NAMES if form == "named" else ("0", "1", "2"))
    assert found.matrix(names).tolist() == HOT


@pytest.mark.parametrize("how", ["List", "LargeList", "Sequence", "bare"])
def test_class_names_of_lists_are_read_from_parquet(how, tmp_path):
    """Older versions of `datasets` wrote a list of classes in other words."""
    inner = {"names": list(NAMES), "_type": "ClassLabel"}
    feature = [inner] if how == "bare" else {"feature": inner, "_type": how}
    info = json.dumps({"info": {"features": {"labels": feature}}})
    table = pa.table({"text": ["a", "b"], "labels": [[0], [2, 1]]})
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), tmp_path / "data.parquet")
    assert read_source(tmp_path / "data.parquet")[WHOLE].class_names == {"labels": NAMES}


def test_words_that_look_like_dates_stay_words(tmp_path):
    """Arrow takes them for dates where the first record does not say otherwise."""
    rows = [{"text": "a", "labels": []}, {"text": "b", "labels": ["2020-01-01", "2021-01-01"]}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = read_source(tmp_path / "data.jsonl")[WHOLE]
    assert name_classes(read_label_sets(raw, ("labels",)).flat) == ("2020-01-01", "2021-01-01")
