"""Labels of every kind become names and ids in the order that makes id 1 the positive class."""

from __future__ import annotations

import pyarrow as pa
import pytest

from toughen.data.columns.labels import match_names, name_classes, read_labels
from toughen.data.read.raw import Raw
from toughen.errors import InputError


def split(values, *, typed=True, names=None):
    """Return a split whose one column is ``label``."""
    return Raw(pa.table({"label": values}), "data", typed=typed, class_names={"label": names} if names else {})


def ids(values, **facts):
    """Return (label names, ids) of a training column."""
    labels = read_labels(split(values, **facts), "label")
    names = name_classes(labels)
    return names, labels.ids(names).to_pylist()


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["pos", "neg", "pos"], ("neg", "pos")),
        (["positive", "negative", "neutral"], ("negative", "neutral", "positive")),
        (["Positive", "negative"], ("negative", "Positive")),
        (["yes", "no"], ("no", "yes")),
        (["spam", "ham"], ("ham", "spam")),
        ([True, False], ("False", "True")),
        ([1, 0], ("0", "1")),
        ([5, 1, 10], ("1", "5", "10")),
        ([1, -1], ("-1", "1")),
        ([1.0, 0.0], ("0", "1")),
        (["10", "9"], ("9", "10")),
        (["1", "1.0", "2"], ("1", "2")),
        ([" pos", "neg "], ("neg", "pos")),
        (["007", "008"], ("007", "008")),
        (["a", "1"], ("1", "a")),
        (pa.array(["pos", "neg"]).dictionary_encode(), ("neg", "pos")),
        (pa.array(["pos", "neg"], pa.large_string()), ("neg", "pos")),
        (pa.array([1, 0], pa.uint8()), ("0", "1")),
    ],
)
def test_order_of_names(values, names):
    assert ids(values)[0] == names


def test_ids_follow_the_names():
    assert ids(["pos", "neg", "pos"]) == (("neg", "pos"), [1, 0, 1])
    assert ids([5, 1, 10]) == (("1", "5", "10"), [1, 0, 2])


def test_class_names_of_the_source_keep_their_order_and_unused_names():
    assert ids([2, 0], names=("zero", "one", "two")) == (("zero", "one", "two"), [2, 0])


def test_an_id_beyond_the_class_names_is_refused():
    with pytest.raises(InputError, match="data, row 2: label 3 is none of the 2 classes"):
        ids([0, 3], names=("a", "b"))


@pytest.mark.parametrize(("values", "nulls"), [(["a", None, "b"], 1), (["a", " ", "b"], 1), ([1.0, float("nan")], 1)])
def test_nulls_stay_nulls(values, nulls):
    assert read_labels(split(values), "label").names.null_count == nulls


def test_minus_one_is_no_label_where_the_source_names_its_classes():
    assert read_labels(split([-1, 1], names=("a", "b")), "label").names.to_pylist() == [None, "b"]
    assert read_labels(split([-1, 1]), "label").names.to_pylist() == ["-1", "1"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["0", "1", "pos"], "row 1 holds the number 0 but row 3 the word 'pos'"),
        (["pos", "1.5"], "row 2 holds the number 1.5 but row 1"),
        (["0.5", "1"], "row 1: label 0.5"),
    ],
)
def test_an_untyped_column_is_all_numbers_or_all_words(values, says):
    with pytest.raises(InputError, match=says):
        read_labels(split(values, typed=False), "label")


def test_typed_words_may_look_like_numbers():
    assert read_labels(split(["0", "pos"]), "label").names.to_pylist() == ["0", "pos"]


@pytest.mark.parametrize(
    ("values", "model", "names", "expected"),
    [
        (["pos", "neg"], ("neg", "pos"), None, [1, 0]),
        (["POS", "Neg"], ("neg", "pos"), None, [1, 0]),
        ([1, 0], ("neg", "pos"), None, [1, 0]),
        (["1", "0"], ("LABEL_0", "LABEL_1"), None, [1, 0]),
        ([5, 1], ("1", "5"), None, [1, 0]),
        ([1, 0], ("neg", "pos"), ("neg", "pos"), [1, 0]),
        ([1, 0], ("pos", "neg"), ("neg", "pos"), [0, 1]),
        ([1, 0], ("0", "1"), ("neg", "pos"), [1, 0]),
        ([1, 1], ("0", "1", "2"), None, [1, 1]),
    ],
)
def test_names_or_ids_are_matched_to_the_models_labels(values, model, names, expected):
    raw = split(values, names=names)
    matched = match_names(read_labels(raw, "label"), raw, "label", model)
    assert matched.ids(model).to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "model", "names", "unknown"),
    [
        (["pos", "mixed"], ("neg", "pos"), None, "row 2: label 'mixed'"),
        ([0, 2], ("neg", "pos"), None, "row 1: label '0'"),
        ([2, 1, 0], ("1", "2"), None, "row 3: label '0'"),
        ([1, 0], ("1", "2"), None, "row 2: label '0'"),
        ([1, 0], ("negative", "positive"), ("pos", "neg"), "row 1: label 'neg'"),
    ],
)
def test_a_label_unknown_to_the_model_is_named(values, model, names, unknown):
    """Ids are never taken for names that are numbers, nor across two lists of real names: the order may differ."""
    raw = split(values, names=names)
    with pytest.raises(InputError, match=unknown) as caught:
        match_names(read_labels(raw, "label"), raw, "label", model)
    assert repr(model[0]) in str(caught.value)
