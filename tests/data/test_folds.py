"""Held-out splits and folds are like the whole for every task, and divide neither copies of a text nor groups."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pytest

from toughen.data import Data, fold_assignment, load_splits, text_hashes
from toughen.data.divide.stratify import deal, quantile_bins
from toughen.errors import InputError

FOLDS = 5
HASH = 5830437876521264211


def dataset(labels, texts=None, **columns):
    texts = texts or [f"text {i}" for i in range(len(labels))]
    return datasets.Dataset.from_dict({"text": texts, "label": labels, **columns})


def sets(count=600, seed=0):
    """Return rows of 0 and 1 of three labels, held by 50%, 10% and 2% of the rows."""
    rng = np.random.default_rng(seed)
    return (rng.random((count, 3)) < [0.5, 0.1, 0.02]).astype(float).tolist()


DATA = {
    "single-label": dataset([int(i % 10 < 2) for i in range(200)]),
    "multi-label": dataset(sets()),
    "regression": dataset(np.random.default_rng(0).exponential(size=200).tolist()),
    "tokens": dataset([[0, 1]] * 100, [["word", str(i)] for i in range(100)]),
}


@pytest.mark.parametrize("task", DATA)
def test_folds_are_even_and_fixed_by_the_seed(task):
    first, again, other = (fold_assignment(DATA[task], FOLDS, seed=s, task=task) for s in (1, 1, 2))
    sizes = np.bincount(first)
    assert len(sizes) == FOLDS
    assert sizes.max() - sizes.min() <= (0 if task != "multi-label" else 0.02 * len(first))
    assert (first == again).all()
    assert (first != other).any()
    assert first.dtype == np.int64


def test_every_class_is_spread_over_the_folds():
    labels = np.asarray(DATA["single-label"]["label"][:])
    fold = fold_assignment(DATA["single-label"], FOLDS, seed=0, task="single-label")
    assert [labels[fold == k].sum() for k in range(FOLDS)] == [8] * FOLDS


def test_every_label_of_sets_is_spread_over_the_folds():
    """By chance the rare label would be uneven, which is the canary: shuffled folds are."""
    hot = np.asarray(DATA["multi-label"]["label"][:])
    fold = fold_assignment(DATA["multi-label"], FOLDS, seed=0, task="multi-label")
    counts = np.stack([hot[fold == k].sum(0) for k in range(FOLDS)])
    assert (counts.max(0) - counts.min(0) <= [6, 3, 1]).all(), counts
    shuffled = np.random.default_rng(0).permutation(fold)
    chance = np.stack([hot[shuffled == k].sum(0) for k in range(FOLDS)])
    assert (chance.max(0) - chance.min(0) > [6, 3, 1]).any()


def test_numbers_are_spread_over_the_folds_by_size():
    numbers = np.asarray(DATA["regression"]["label"][:])
    fold = fold_assignment(DATA["regression"], FOLDS, seed=0, task="regression")
    means = [numbers[fold == k].mean() for k in range(FOLDS)]
    assert np.ptp(means) < 0.5 * np.ptp([part.mean() for part in np.split(numbers, FOLDS)]) + 0.2
    high = [(numbers[fold == k] > np.quantile(numbers, 0.9)).sum() for k in range(FOLDS)]
    assert high == [4] * FOLDS


@pytest.mark.parametrize("task", DATA)
def test_copies_of_a_text_stay_in_one_fold(task):
    data = datasets.concatenate_datasets([DATA[task], DATA[task]])
    fold = fold_assignment(data, FOLDS, seed=0, task=task)
    half = len(DATA[task])
    assert (fold[:half] == fold[half:]).all()
    assert set(fold) == set(range(FOLDS))


@pytest.mark.parametrize("task", DATA)
def test_groups_stay_in_one_fold(task):
    groups = [f"g{i // 4}" for i in range(len(DATA[task]))]
    data = DATA[task].add_column("group", groups)
    fold = fold_assignment(data, FOLDS, seed=0, task=task)
    assert all(len(set(fold[i : i + 4])) == 1 for i in range(0, len(groups), 4))
    assert set(fold) == set(range(FOLDS))
    alone = fold_assignment(DATA[task], FOLDS, seed=0, task=task)
    assert any(len(set(alone[i : i + 4])) > 1 for i in range(0, len(groups), 4)), "canary: rows alone are divided"


def test_groups_may_stand_in_another_column():
    data = DATA["tokens"].add_column("author", [i // 10 for i in range(100)])
    fold = fold_assignment(data, FOLDS, seed=0, task="tokens", group="author")
    assert all(len(set(fold[i : i + 10])) == 1 for i in range(0, 100, 10))


def test_a_text_shared_by_groups_keeps_them_together():
    texts = [f"text {i}" for i in range(40)]
    texts[0] = texts[39] = "a common text"
    data = dataset([i % 2 for i in range(40)], texts, group=[i // 4 for i in range(40)])
    fold = fold_assignment(data, FOLDS, seed=0, task="single-label")
    assert len({fold[0], fold[39]}) == 1


@pytest.mark.parametrize(
    ("data", "task", "says"),
    [
        (dataset([0, 1, 0, 1]), "single-label", "4 distinct texts are too few for 5 folds"),
        (dataset([0] * 20 + [1] * 3), "single-label", "Class 'pos' has 3 distinct texts, too few for 5 folds"),
        (dataset([i % 2 for i in range(20)], group=[i % 3 for i in range(20)]), "single-label", "3 groups"),
        (dataset([[1.0, 0.0]] * 20 + [[0.0, 1.0]]), "multi-label", "All rows of label 'pos' fall into one fold"),
        (
            dataset([int(i < 8) for i in range(40)], group=[i // 8 for i in range(40)]),
            "single-label",
            "All rows of label 'pos' fall into one fold",
        ),
    ],
)
def test_too_few_for_so_many_folds_is_refused(data, task, says):
    with pytest.raises(InputError, match=says) as caught:
        fold_assignment(data, FOLDS, seed=0, task=task, label_names=("neg", "pos"))
    assert "\n" not in str(caught.value)


def test_a_missing_group_and_one_fold_are_refused():
    with pytest.raises(InputError, match="no column 'user'"):
        fold_assignment(DATA["tokens"], FOLDS, seed=0, task="tokens", group="user")
    with pytest.raises(InputError, match="at least 2, got 1"):
        fold_assignment(DATA["tokens"], 1, seed=0, task="tokens")


# ---------------------------------------------------------------- holding out


def names_of(matrix):
    return [[name for name, there in zip("abc", row, strict=True) if there] for row in matrix]


def test_a_held_out_split_has_every_labels_share():
    rows = [{"text": f"t {i}", "label": label} for i, label in enumerate(names_of(sets(1000)))]
    splits = load_splits(Data(validation_share=0.2), seed=0, data=rows)
    parts = [np.asarray(part["label"][:]).sum(0) for part in (splits.train, splits.validation)]
    assert parts[1] / (parts[0] + parts[1]) == pytest.approx([0.2] * 3, abs=0.03)
    assert len(splits.validation) == pytest.approx(200, abs=15)


def test_a_label_of_one_row_stays_in_train():
    rows = [{"text": f"t {i}", "label": [["a"], ["b"]][i % 2]} for i in range(30)] + [{"text": "x", "label": ["c"]}]
    for seed in range(5):
        splits = load_splits(Data(validation_share=0.4), seed=seed, data=rows)
        assert np.asarray(splits.train["label"][:]).sum(0)[2] == 1


def test_the_smallest_sets_of_labels_give_one_row_of_each():
    rows = [{"text": f"t {i}", "label": label} for i, label in enumerate([["a"], ["b"], ["a"], ["b"]])]
    splits = load_splits(Data(), seed=0, data=rows)
    assert (len(splits.train), len(splits.validation)) == (2, 2)


def test_held_out_numbers_are_spread_like_the_whole():
    values = np.sort(np.random.default_rng(0).exponential(size=500))
    rows = [{"text": f"t {i}", "label": float(v)} for i, v in enumerate(values)]
    splits = load_splits(Data(), seed=0, data=rows)
    held = np.asarray(splits.validation["label"][:])
    assert len(held) == 50
    edges = np.quantile(values, np.arange(11) / 10)
    assert np.histogram(held, edges)[0].tolist() == [5] * 10


@pytest.mark.parametrize("labels", [["pos", "neg"], [0.5, 1.5, 2.5], [["a"], ["b"], ["a", "b"]]])
def test_groups_are_held_out_whole(labels):
    rows = [{"text": f"t {i}", "label": labels[i % len(labels)], "user": i // 6} for i in range(120)]
    splits = load_splits(Data(group="user", validation_share=0.2), seed=0, data=rows)
    assert set(splits.train["group"][:]) & set(splits.validation["group"][:]) == set()
    assert len(splits.validation) == 24
    assert any("groups whole" in line for line in splits.summary.lines())


def test_groups_that_stand_on_both_sides_of_given_splits_are_said():
    parts = {
        name: [{"text": f"{name} {i}", "label": "ab"[i % 2], "user": i} for i in range(4)] for name in ("train", "test")
    }
    lines = load_splits(Data(group="user", validation_share=0.5), seed=0, data=parts).summary.lines()
    assert any("groups stand in both train and test" in line for line in lines)


def test_a_class_of_one_group_is_kept_in_train_or_refused():
    """Of three groups one has class b alone, and train keeps it; of two groups, each with its class, none can be."""
    rows = [{"text": f"t {i}", "label": "ab"[i == 0], "user": i // 6 if i else "b"} for i in range(12)]
    splits = load_splits(Data(group="user"), seed=0, data=pd.DataFrame(rows).astype(str))
    assert set(splits.train["label"][:]) == {0, 1}
    alone = [row | {"user": row["label"]} for row in rows]
    with pytest.raises(InputError, match="Class 'b' stands in so few groups"):
        load_splits(Data(group="user"), seed=0, data=alone)


@pytest.mark.parametrize(("count", "bins", "sizes"), [(10, 5, [2] * 5), (7, 3, [3, 2, 2]), (4, 4, [1] * 4)])
def test_quantile_bins_are_of_equal_size_and_in_order(count, bins, sizes):
    numbers = np.random.default_rng(0).permutation(count).astype(float)
    found = quantile_bins(numbers, bins)
    assert np.bincount(found).tolist() == sizes
    assert (np.diff(found[np.argsort(numbers)]) >= 0).all()


def test_dealing_gives_each_part_its_share_of_units_of_any_size():
    counts = np.random.default_rng(0).integers(0, 9, (200, 4)).astype(float)
    parts = deal(counts, (0.7, 0.3), seed=0)
    shares = counts[parts == 1].sum(0) / counts.sum(0)
    assert shares == pytest.approx([0.3] * 4, abs=0.05)


# ---------------------------------------------------------------- proof of what was seen


def test_hashes_tell_texts_apart_as_the_overlap_does():
    one = dataset([0, 1, 0], ["a text", " a text ", "another"])
    first, second, third = text_hashes(one)
    assert first == second != third
    pair = datasets.Dataset.from_dict({"text": ["a", "a", "ab"], "text_pair": ["bc", "b c", "c"]})
    assert len(set(text_hashes(pair).tolist())) == 3
    words = dataset([[0], [0]], [["a", "text"], ["another"]])
    assert text_hashes(words).tolist() == [first, third]


def test_hashes_are_the_same_everywhere():
    """A number written down: another machine, another run, another version must find it again."""
    found = text_hashes(dataset([0], ["a text"]))
    assert found.dtype == np.uint64
    assert found.tolist() == [
        int.from_bytes(__import__("hashlib").blake2b(b"a text", digest_size=8).digest(), "little")
    ]
