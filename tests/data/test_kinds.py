"""Every kind of label, and pairs, come out of one door in the columns that the contract promises."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pytest

from toughen.data import Data, load_labelled, load_splits, load_texts
from toughen.errors import InputError

JOYS = [["joy"], ["joy", "awe"], [], ["awe"]]


def many(labels, count=40, word="text"):
    """Return records with distinct texts, the labels in turn."""
    return [{"text": f"{word} number {i}", "label": labels[i % len(labels)]} for i in range(count)]


def tagged(count=40, word="w"):
    return [{"tokens": ["Anna", "met", f"{word}{i}"], "tags": ["B-PER", "O", "O"]} for i in range(count)]


def paired(count=40, word="b"):
    return [(f"a {i}", f"{word} {i}", "no" if i % 2 else "yes") for i in range(count)]


def label_type(splits):
    return str(splits.train.features["label"])


def test_sets_of_labels_become_rows_of_floats():
    splits = load_splits(Data(), seed=0, data={"train": many(JOYS), "test": many(JOYS, 8, "test")})
    assert (splits.task, splits.label_names) == ("multi-label", ("awe", "joy"))
    assert splits.train.column_names == ["text", "label", "row"]
    assert label_type(splits) == "List(Value('float32'))"
    by_row = {row["row"]: row["label"] for part in (splits.train, splits.validation) for row in part}
    hot = [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    assert by_row == {i: hot[i % 4] for i in range(40)}


def test_numbers_become_floats_and_the_column_their_name():
    splits = load_splits(Data(), seed=0, data=pd.DataFrame(many([0.5, 2.0, 4.5])).rename(columns={"label": "score"}))
    assert (splits.task, splits.label_names) == ("regression", ("score",))
    assert label_type(splits) == "Value('float64')"
    found = {row["row"]: row["label"] for part in (splits.train, splits.validation) for row in part}
    assert found == {i: [0.5, 2.0, 4.5][i % 3] for i in range(40)}


def test_whole_numbers_and_numbers_in_a_csv_are_numbers_if_the_task_says_so(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"film {i},{i}\n" for i in range(20)))
    splits = load_splits(Data(source=str(tmp_path / "data.csv"), task="regression"), seed=0)
    assert sorted(splits.train["label"][:] + splits.validation["label"][:]) == [float(i) for i in range(20)]
    named = datasets.Dataset.from_list(many([0, 1])).cast_column("label", datasets.ClassLabel(names=["a", "b"]))
    assert load_splits(Data(task="regression"), seed=0, data=named).train["label"][:3] == [0.0, 1.0, 0.0]


def test_words_with_tags_become_lists_of_ids():
    splits = load_splits(Data(), seed=0, data={"train": tagged(), "test": tagged(4, "t")})
    assert (splits.task, splits.label_names) == ("tokens", ("B-PER", "O"))
    assert splits.train.column_names == ["text", "label", "row"]
    assert splits.test[0] == {"text": ["Anna", "met", "t0"], "label": [0, 1, 1], "row": 0}
    assert label_type(splits) == "List(Value('int64'))"


def test_tags_as_ids_take_the_names_of_the_source():
    names = datasets.List(datasets.ClassLabel(names=["O", "B-PER"]))
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": names})
    rows = {"tokens": [["Anna", str(i)] for i in range(10)], "ner_tags": [[1, 0]] * 10}
    splits = load_splits(Data(), seed=0, data=datasets.Dataset.from_dict(rows, features=features))
    assert (splits.label_names, splits.train["label"][0]) == (("O", "B-PER"), [1, 0])


@pytest.mark.parametrize("form", ["tuples", "csv", "frame"])
def test_pairs_carry_a_second_text(form, tmp_path):
    frame = pd.DataFrame(paired(), columns=["text_a", "text_b", "label"])
    frame.to_csv(tmp_path / "data.csv", index=False)
    data = {"tuples": paired(), "csv": tmp_path / "data.csv", "frame": frame}[form]
    splits = load_splits(Data(), seed=0, data=data)
    assert (splits.task, splits.label_names) == ("single-label", ("no", "yes"))
    assert splits.train.column_names == ["text", "text_pair", "label", "row"]
    for row in splits.validation:
        assert (row["text"], row["text_pair"], splits.label_names[row["label"]]) == paired()[row["row"]]
    assert any(line.startswith("pairs: 'text") for line in splits.summary.lines())


def test_splits_can_be_read_again():
    """What was written from a split reads as the same task with the same labels."""
    for data in (many(JOYS), many([0.5, 1.5]), [{"text": r["tokens"], "label": r["tags"]} for r in tagged()], paired()):
        first = load_splits(Data(), seed=0, data=data)
        again = load_splits(Data(), seed=0, data={"train": first.train, "validation": first.validation})
        assert again.task == first.task
        assert again.train["label"][:] == first.train["label"][:]


@pytest.mark.parametrize(("positive", "names"), [(None, ("fresh", "rotten")), ("fresh", ("rotten", "fresh"))])
def test_the_positive_label_becomes_id_1(positive, names):
    splits = load_splits(Data(positive_label=positive), seed=0, data=many(["fresh", "rotten"]))
    assert splits.label_names == names
    assert [names[label] for label in splits.train["label"][:2]] == ["fresh", "rotten"]


def test_the_positive_label_goes_before_the_order_of_the_source():
    named = datasets.ClassLabel(names=["good", "bad"])
    data = datasets.Dataset.from_list(many([0, 1])).cast_column("label", named)
    assert load_splits(Data(positive_label="Good"), seed=0, data=data).label_names == ("bad", "good")


def test_groups_are_carried_where_they_are_named():
    rows = [row | {"user": i // 4} for i, row in enumerate(many(["a", "b"]))]
    splits = load_splits(Data(group="user"), seed=0, data={"train": rows, "test": many(["a", "b"], 4, "test")})
    assert splits.train.column_names == ["text", "label", "row", "group"]
    assert splits.train["group"][0] == str(splits.train["row"][0] // 4)
    assert splits.test.column_names == ["text", "label", "row"]


def test_pairs_share_a_text_only_if_both_are_the_same():
    train = [("a", str(i), "no" if i % 2 else "yes") for i in range(20)]
    splits = load_splits(Data(), seed=0, data={"train": train, "test": [("a", " 3 ", "no"), ("b", "4", "yes")]})
    assert splits.summary.shared[("train", "test")] == 1
    assert splits.summary.dropped == 1
    assert splits.summary.repeated == 0
    assert "3" not in splits.train["text_pair"][:]
    assert "4" in splits.train["text_pair"][:]


def test_words_are_compared_as_the_text_they_make():
    train = [*tagged(20), tagged(1)[0] | {"tags": ["O", "O", "O"]}]
    splits = load_splits(Data(), seed=0, data={"train": train, "test": tagged(2)[1:]})
    assert (splits.summary.dropped, splits.summary.repeated, splits.summary.conflicting) == (1, 1, 1)


@pytest.mark.parametrize(("labels", "conflict"), [([["a"], ["b"]], 1), ([0.5, 1.5], 1), ([["a", "b"], ["b", "a"]], 0)])
def test_conflicts_are_counted_for_sets_and_numbers(labels, conflict):
    spread = [{"text": "other", "label": ["a"] if isinstance(labels[0], list) else 3.5}]
    rows = [*many(labels, 10), {"text": "text number 0", "label": labels[1]}, *spread]
    assert load_splits(Data(), seed=0, data=rows).summary.conflicting == conflict


def test_a_source_that_repeats_test_in_train_is_refused_for_numbers():
    rows = many([0.5, 1.5], 10)
    with pytest.raises(InputError, match="Every row in split 'train' of the data also stands in validation or test"):
        load_splits(Data(), seed=0, data={"train": rows, "test": rows})


def test_scores_that_are_withheld_leave_test_out():
    test = many([-1.0], 5, "test")
    splits = load_splits(Data(), seed=0, data={"train": many([0.5, 1.5]), "test": test})
    assert splits.test is None
    assert any("keeps its labels to itself" in line for line in splits.summary.lines())


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (many(JOYS, 8), "train: 8 rows; awe 4 (50.0%), joy 4 (50.0%), without label 2 (25.0%); words: median 3"),
        (many([1.0, 2.5], 8), "train: 8 rows; label mean 1.75, sd 0.75, lowest 1, highest 2.5; words: median 3"),
        (tagged(8), "train: 8 rows; B-PER 8 (33.3%), O 16 (66.7%); words: median 3"),
        (paired(8), "train: 8 rows; no 4 (50.0%), yes 4 (50.0%); words: median 4"),
    ],
    ids=["sets", "numbers", "tags", "pairs"],
)
def test_the_account_says_what_the_labels_are(rows, line):
    data = {"train": rows, "validation": rows}
    lines = load_splits(Data(drop_shared=False), seed=0, data=data).summary.lines()
    assert lines[0].startswith(line)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (many(JOYS), "task: multi-label, 2 labels"),
        (many([0.5, 1.0]), "task: regression, label 'label'"),
        (tagged(), "task: tokens, 2 labels"),
    ],
)
def test_the_account_says_which_task_was_told(rows, note):
    lines = load_splits(Data(), seed=0, data=rows).summary.lines()
    assert note in lines
    assert not any(line.startswith("task:") for line in load_splits(Data(), seed=0, data=many([0, 1])).summary.lines())


def test_unlabelled_pairs_are_read_under_the_names_of_train_or_usual_ones(tmp_path):
    pd.DataFrame([("a", "x"), ("b", "y")], columns=["left", "right"]).to_csv(tmp_path / "same.csv", index=False)
    pd.DataFrame([("a", "x"), ("b", "y")], columns=["s1", "s2"]).to_csv(tmp_path / "usual.csv", index=False)
    train = pd.DataFrame(paired(), columns=["left", "right", "label"])
    for name in ("same.csv", "usual.csv"):
        config = Data(text="left", text_pair="right", unlabelled=str(tmp_path / name))
        splits = load_splits(config, seed=0, data=train)
        assert list(splits.unlabelled) == [
            {"text": "a", "text_pair": "x", "row": 0},
            {"text": "b", "text_pair": "y", "row": 1},
        ]


# ---------------------------------------------------------------- to score on, and texts alone


@pytest.mark.parametrize(
    ("data", "facts", "labels"),
    [
        (many(JOYS, 4), {"task": "multi-label", "label_names": ("joy", "awe")}, [[1, 0], [1, 1], [0, 0], [0, 1]]),
        (many([[1], [0, 1]], 2), {"task": "multi-label", "label_names": ("joy", "awe")}, [[0, 1], [1, 1]]),
        (many(["JOY|awe", ""], 2), {"task": "multi-label", "label_names": ("joy", "awe")}, [[1, 1], [0, 0]]),
        (
            pd.DataFrame({"text": ["a", "b"], "awe": [1, 0], "joy": [0, 1], "id": [0, 1]}),
            {"task": "multi-label", "label_names": ("joy", "awe")},
            [[0, 1], [1, 0]],
        ),
        (many([3, 4], 2), {"task": "regression", "label_names": ("stars",)}, [3.0, 4.0]),
        (
            pd.DataFrame({"text": ["a", "b"], "grade": [1, 2], "label": ["x", "y"]}),
            {"task": "regression", "label_names": ("grade",)},
            [1.0, 2.0],
        ),
        (tagged(2), {"task": "tokens", "label_names": ("O", "B-PER")}, [[1, 0, 0]] * 2),
        (
            [{"tokens": ["a", "b"], "tags": [0, 1]}],
            {"task": "tokens", "label_names": ("O", "B-PER")},
            [[0, 1]],
        ),
    ],
)
def test_labels_to_score_on_are_the_models(data, facts, labels):
    found = load_labelled(data, **facts)
    assert found.column_names == ["text", "label", "row"]
    assert found["label"][:] == labels


@pytest.mark.parametrize(
    ("data", "task", "says"),
    [
        (many([["joy", "rage"]], 1), "multi-label", "the data, row 1: label 'rage' .* unknown to the model"),
        ([{"tokens": ["a", "b"], "tags": ["joy", "B-X"]}], "tokens", "row 1, word 2: label 'B-X' .* unknown"),
        (many(["many"], 1), "regression", "'many' in column 'label' is no number"),
        (tagged(1), "single-label", "no text column"),
        (many(["joy"], 1), "tokens", "no column of lists of words"),
    ],
)
def test_labels_that_the_model_does_not_have_are_named(data, task, says):
    with pytest.raises(InputError, match=says):
        load_labelled(data, label_names=("joy", "awe"), task=task)


def test_pairs_are_asked_for_or_refused():
    names = {"label_names": ("no", "yes")}
    assert load_labelled(paired(4), **names).column_names == ["text", "text_pair", "label", "row"]
    assert load_labelled(paired(4), **names, pairs=False).column_names == ["text", "label", "row"]
    with pytest.raises(InputError, match="has no second text, which the training data have"):
        load_labelled(many(["no", "yes"], 4), **names, pairs=True)


def test_texts_come_as_pairs_or_words_if_asked_for():
    frame = pd.DataFrame([("a b", "x y")], columns=["left", "right"])
    assert load_texts(frame, text="left", text_pair="right")[0] == {"text": "a b", "text_pair": "x y", "row": 0}
    assert load_texts(paired(2), pairs=True)[1]["text_pair"] == "b 1"
    assert load_texts(paired(2)).column_names == ["text", "row"]
    assert load_texts([" a  b ", "c"], task="tokens")["text"][:] == [["a", "b"], ["c"]]
    assert load_texts(tagged(1), task="tokens")["text"][:] == [["Anna", "met", "w0"]]
    with pytest.raises(InputError, match="no second text"):
        load_texts(["a", "b"], pairs=True)


def test_dtype_of_the_labels_is_exact():
    hot = load_splits(Data(), seed=0, data=many(JOYS)).train.with_format("numpy")["label"][:]
    assert set(np.unique(hot)) == {0.0, 1.0}
