"""Splits are stratified, share no text with train, keep their row numbers, and are accounted for."""

from __future__ import annotations

import datasets
import numpy as np
import pytest

from toughen.data import Data, load_labelled, load_splits, load_texts
from toughen.errors import InputError


def pairs(count, share=0.3, word="row"):
    """Return distinct texts, of which a share is of class pos."""
    return [(f"{word} number {i}", "pos" if i < count * share else "neg") for i in range(count)]


def texts(dataset):
    return set(dataset["text"][:])


def test_every_labelled_dataset_has_exactly_the_contracts_columns():
    splits = load_splits(Data(), seed=0, data={"train": pairs(40), "test": pairs(10, word="test")})
    for part in (splits.train, splits.validation, splits.test):
        assert part.column_names == ["text", "label", "row"]
        assert str(part.features["text"].dtype) == "string"
        assert str(part.features["label"].dtype) == "int64"
        assert str(part.features["row"].dtype) == "int64"
    assert splits.label_names == ("neg", "pos")


def test_row_numbers_lead_back_to_the_source():
    source = pairs(200)
    splits = load_splits(Data(), seed=3, data=source)
    for part in (splits.train, splits.validation):
        for row in part:
            assert (row["text"], splits.label_names[row["label"]]) == source[row["row"]]
    assert sorted(splits.train["row"][:] + splits.validation["row"][:]) == list(range(200))


def test_held_out_split_is_stratified_and_fixed_by_the_seed():
    first, again, other = (load_splits(Data(validation_share=0.2), seed=s, data=pairs(500)) for s in (1, 1, 2))
    assert len(first.validation) == 100
    assert np.mean(first.validation["label"][:]) == pytest.approx(0.3)
    assert first.validation["row"][:] == again.validation["row"][:]
    assert first.validation["row"][:] != other.validation["row"][:]


def test_copies_of_a_text_are_held_out_together():
    """A third of the rows are copies: divided row by row, about one copy in ten would stand on both sides."""
    source = pairs(200, 0.5) + [(f" {text} ", label) for text, label in pairs(200, 0.5)[::2]]
    splits = load_splits(Data(), seed=0, data=source)
    assert {t.strip() for t in texts(splits.train)} & {t.strip() for t in texts(splits.validation)} == set()
    assert len(splits.train) + len(splits.validation) == 300
    assert splits.summary.repeated == 100


def test_the_smallest_data_gets_one_row_per_class_held_out():
    splits = load_splits(Data(), seed=0, data=pairs(4, 0.5))
    assert sorted(splits.validation["label"][:]) == sorted(splits.train["label"][:]) == [0, 1]


def test_shared_texts_are_counted_and_dropped_from_train():
    train, dev, test = pairs(40), pairs(10, word="dev"), pairs(10, word="test")
    data = {"train": [*train, dev[0], dev[0], test[0], test[1]], "dev": dev, "test": [*test, dev[9]]}
    splits = load_splits(Data(), seed=0, data=data)
    shared = {("train", "validation"): 1, ("train", "test"): 2, ("validation", "test"): 1}
    assert splits.summary.shared == shared
    assert splits.summary.dropped == 4
    assert texts(splits.train) & (texts(splits.validation) | texts(splits.test)) == set()
    kept = load_splits(Data(drop_shared=False), seed=0, data=data)
    assert kept.summary.shared == shared
    assert (kept.summary.dropped, len(kept.train)) == (0, 44)
    assert any("scores will flatter" in line for line in kept.summary.lines())
    assert not any("flatter" in line for line in splits.summary.lines())


def test_a_held_out_split_shares_no_text_with_test():
    test = pairs(10, word="test")
    splits = load_splits(Data(validation_share=0.5), seed=0, data={"train": pairs(20) + test, "test": test})
    assert splits.summary.shared == {("train", "validation"): 0, ("train", "test"): 10, ("validation", "test"): 0}
    assert texts(splits.validation) & texts(splits.test) == set()


def test_repeats_and_conflicting_labels_are_counted_and_kept():
    source = [*pairs(20, 0.5), ("row number 0", "pos"), ("row number 1", "neg"), ("row number 1", "neg")]
    splits = load_splits(Data(), seed=0, data=source)
    assert (splits.summary.repeated, splits.summary.conflicting) == (3, 1)
    assert len(splits.train) + len(splits.validation) == 23


def test_summary_lines_say_balance_lengths_and_what_was_dropped():
    test = [("a b c", "pos"), ("a b c d e", "neg")]
    splits = load_splits(Data(), seed=7, data={"train": [*pairs(100), test[0]], "test": test})
    lines = splits.summary.lines()
    assert lines[0] == "train: 90 rows; neg 63 (70.0%), pos 27 (30.0%); words: median 3, 95th percentile 3, longest 3"
    assert lines[2].startswith("test: 2 rows; neg 1 (50.0%), pos 1 (50.0%); words: median 4")
    assert "1 text stands in both train and test" in lines
    assert "1 row dropped from train: text that stands in validation or test" in lines
    assert "validation: 10 rows held out of train, stratified by label, seed 7" in lines


def test_without_a_test_split_test_is_none_and_said_once():
    splits = load_splits(Data(), seed=0, data=pairs(40))
    assert splits.test is None
    assert sum("no labelled test split" in line for line in splits.summary.lines()) == 1


def test_a_test_split_whose_labels_are_withheld_is_left_out_and_said():
    """GLUE's test splits on the hub carry -1 for every label."""
    part = datasets.Dataset.from_dict({"text": [t for t, _ in pairs(40)], "label": [i % 2 for i in range(40)]})
    hidden = datasets.Dataset.from_dict({"text": ["x y", "y z"], "label": [-1, -1]})
    named = datasets.ClassLabel(names=["neg", "pos"])
    data = {"train": part.cast_column("label", named), "test": hidden.cast_column("label", named)}
    splits = load_splits(Data(), seed=0, data=data)
    assert splits.test is None
    assert any("keeps its labels to itself" in line for line in splits.summary.lines())


def test_unlabelled_texts_leave_out_those_that_are_scored(tmp_path):
    test = pairs(5, 0.5, word="test")
    (tmp_path / "more.txt").write_text("\n".join(["new text", test[0][0], "newer text"]))
    data = {"train": pairs(40), "test": test}
    splits = load_splits(Data(unlabelled=str(tmp_path / "more.txt")), seed=0, data=data)
    assert splits.unlabelled.column_names == ["text", "row"]
    assert list(splits.unlabelled) == [{"text": "new text", "row": 0}, {"text": "newer text", "row": 2}]
    assert splits.summary.unlabelled == 2
    assert any("1 unlabelled row dropped" in line for line in splits.summary.lines())
    kept = load_splits(Data(unlabelled=str(tmp_path / "more.txt"), drop_shared=False), seed=0, data=data)
    assert len(kept.unlabelled) == 3


def test_load_labelled_takes_the_asked_split_or_the_whole():
    divided = {"train": pairs(20), "test": pairs(6, 0.5, word="test")}
    assert texts(load_labelled(divided, label_names=("neg", "pos"))) == {t for t, _ in divided["test"]}
    assert len(load_labelled(divided, label_names=("neg", "pos"), split="train")) == 20
    whole = load_labelled(pairs(6, 0.5), label_names=("pos", "neg"))
    assert whole["label"][:] == [0, 0, 0, 1, 1, 1]
    assert whole.column_names == ["text", "label", "row"]
    with pytest.raises(InputError, match="no test split, only 'train'"):
        load_labelled({"train": pairs(6)}, label_names=("neg", "pos"))


def test_load_labelled_names_an_unknown_label_and_takes_one_class():
    """Data to score on may be of one class only; its labels must be the model's."""
    assert load_labelled([("a", "pos")], label_names=("neg", "pos"))["label"][:] == [1]
    with pytest.raises(InputError, match="row 2: label 'mixed' in column 'label' is unknown to the model"):
        load_labelled([("a", "pos"), ("b", "mixed")], label_names=("neg", "pos"))


def test_load_texts_needs_no_label_and_prefers_the_unlabelled_split():
    assert list(load_texts(["a b", "c d"])) == [{"text": "a b", "row": 0}, {"text": "c d", "row": 1}]
    divided = {"train": pairs(4), "test": pairs(2, word="test"), "unsupervised": ["free text"]}
    assert texts(load_texts(divided)) == {"free text"}
    assert len(load_texts(divided, split="test")) == 2
    assert len(load_texts({"test": pairs(2)})) == 2
    with pytest.raises(InputError, match="row 2: the text is empty"):
        load_texts(["a", ""])


def test_unused_class_names_are_kept_but_may_not_appear_in_test_alone():
    named = datasets.ClassLabel(names=["a", "b", "c"])

    def part(labels, word):
        rows = {"text": [f"{word} {i}" for i in range(len(labels))], "label": labels}
        return datasets.Dataset.from_dict(rows).cast_column("label", named)

    splits = load_splits(Data(), seed=0, data={"train": part([0, 1] * 6, "x"), "test": part([0, 1], "y")})
    assert splits.label_names == ("a", "b", "c")
    with pytest.raises(InputError, match="label 'c' is never seen in train"):
        load_splits(Data(), seed=0, data={"train": part([0, 1] * 6, "x"), "test": part([2], "y")})
