"""A label is one label however it is spelt, and of two the positive one is told and said."""

from __future__ import annotations

import pytest

from toughen.data import Data, load_labelled, load_splits
from toughen.data.columns.spelling import positive_last


def rows(*labels, times=10):
    return [(f"text {label} {i}", label) for label in labels for i in range(times)]


def test_spellings_of_a_label_are_one_label_and_it_is_said():
    data = [*rows("neg", "pos"), *rows("Neg ", " NEG", times=3), *rows("Pos", times=12)]
    splits = load_splits(Data(), seed=0, data=data)
    assert splits.label_names == ("neg", "Pos")
    counts = splits.summary.counts
    assert {name: counts["train"][name] + counts["validation"][name] for name in splits.label_names} == {
        "neg": 16,
        "Pos": 22,
    }
    (one, two) = (note for note in splits.summary.notes if "spellings" in note)
    assert one == (
        "one label in 2 spellings: 'Pos' (12), 'pos' (10); read as 'Pos' (data.labels exact keeps them apart)"
    )
    assert "'neg' (10), 'NEG' (3), 'Neg' (3)" in two


def test_exact_labels_are_kept_apart():
    data = [*rows("neg", "pos", "Neg")]
    assert load_splits(Data(labels="exact"), seed=0, data=data).label_names == ("Neg", "neg", "pos")


@pytest.mark.parametrize("task", ["multi-label", "tokens"])
def test_labels_of_lists_have_one_spelling_too(task):
    text = (lambda i: ["a", str(i)]) if task == "tokens" else str
    pairs = [["Joy", "anger"], ["joy", "Anger"], ["anger", "anger"], ["Joy", "joy"]]
    pairs = [list(dict.fromkeys(pair)) for pair in pairs] if task == "multi-label" else pairs
    data = [{"text": text(f"{i}{j}"), "labels": pair} for i, pair in enumerate(pairs) for j in range(5)]
    splits = load_splits(Data(task=task, validation_share=0.3), seed=0, data=data)
    assert [name.lower() for name in splits.label_names] == ["anger", "joy"]


def test_other_splits_are_read_in_the_same_spelling():
    data = {"train": rows("neg", "pos"), "test": [(f"t {i}", label) for i, label in enumerate(["NEG", "Pos", "neg"])]}
    splits = load_splits(Data(), seed=0, data=data)
    assert splits.test["label"][:] == [0, 1, 0]
    scored = load_labelled(data["test"], label_names=splits.label_names)
    assert scored["label"][:] == [0, 1, 0]


def test_labels_that_look_like_missing_values_are_named():
    notes = load_splits(Data(), seed=0, data=rows("N/A", "good", "bad", "-")).summary.notes
    assert any("label '-', 'N/A' looks like a missing value" in note for note in notes)
    assert not any("missing" in note for note in load_splits(Data(), seed=0, data=rows("a", "b")).summary.notes)


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("好评", "差评"), "好评"),
        (("正面", "负面"), "正面"),
        (("垃圾", "正常"), "垃圾"),
        (("是", "否"), "是"),
        (("spam", "ham"), "spam"),
        (("toxic", "wholesome"), "toxic"),
        (("fraud", "genuine"), "fraud"),
        (("negative", "positive"), "positive"),
        (("rotten", "fresh"), "rotten"),
        (("True", "fake"), "True"),
        (("0", "1"), "1"),
    ],
)
def test_a_usual_word_decides_which_class_is_positive(names, positive):
    for order in (names, names[::-1]):
        splits = load_splits(Data(), seed=0, data=rows(*order))
        assert splits.label_names[1] == positive
        assert any(note.startswith(f"positive class: {positive!r} ") for note in splits.summary.notes)


def test_the_users_word_goes_before_usual_ones_and_three_classes_have_no_positive_one():
    splits = load_splits(Data(positive_label="差评"), seed=0, data=rows("好评", "差评"))
    assert splits.label_names == ("好评", "差评")
    assert not any("positive class" in n for n in load_splits(Data(), seed=0, data=rows("a", "b", "c")).summary.notes)
    assert positive_last(("pos", "neutral", "neg")) == ("pos", "neutral", "neg")
