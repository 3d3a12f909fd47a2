"""Public data sets load as what they are, without a column being named."""

from __future__ import annotations

import numpy as np
import pytest

from toughen.data import Data, fold_assignment, load_labelled, load_splits, text_hashes

# name: task, labels, second text, rows of test (or of validation where there is none)
KNOWN = {
    "goemotions": ("multi-label", 28, False, 5427),
    "stsb": ("regression", 1, True, 1379),
    "mrpc": ("single-label", 2, True, 1725),
    "rte": ("single-label", 2, True, 277),
    "conll2003": ("tokens", 9, False, 3453),
    "trec": ("single-label", 6, False, 500),
    "chnsenticorp": ("single-label", 2, False, 1200),
}


def source_of(folder, name):
    if not (folder / name).is_dir():
        pytest.skip(f"{name} is not among the real data here")
    return str(folder / name)


@pytest.mark.parametrize("name", KNOWN)
def test_a_folder_is_read_as_what_it_is(name, real_data):
    task, labels, pairs, rows = KNOWN[name]
    splits = load_splits(Data(source=source_of(real_data, name)), seed=0)
    assert (splits.task, len(splits.label_names)) == (task, labels)
    assert ("text_pair" in splits.train.column_names) == pairs
    assert len(splits.test if splits.test is not None else splits.validation) == rows
    assert all("\n" not in line for line in splits.summary.lines())


@pytest.mark.parametrize("name", KNOWN)
def test_folds_leave_no_text_on_both_sides(name, real_data):
    splits = load_splits(Data(source=source_of(real_data, name)), seed=0)
    train = splits.train.select(range(0, len(splits.train), 4))
    fold = fold_assignment(train, 4, seed=0, task=splits.task)
    hashes = text_hashes(train)
    sides = [set(hashes[fold == k].tolist()) for k in range(4)]
    assert sum(len(side) for side in sides) == len(set(hashes.tolist()))


def test_a_held_out_tenth_of_goemotions_has_every_emotions_share(real_data):
    file = real_data / "goemotions" / "train.parquet"
    splits = load_splits(Data(source=source_of(real_data, "goemotions") and str(file)), seed=0)
    train, held = (np.asarray(part["label"][:]).sum(0) for part in (splits.train, splits.validation))
    assert held / (train + held) == pytest.approx([0.1] * 28, abs=0.02)


@pytest.mark.parametrize("part", ["sst2_sentences", "sst5"])
def test_files_that_carry_a_prefix_are_given_by_name(part, real_data):
    folder = source_of(real_data, "sst_kim")
    data = {name: f"{folder}/{part}_{name}.parquet" for name in ("train", "dev", "test")}
    splits = load_splits(Data(), seed=0, data=data)
    assert (splits.task, len(splits.label_names)) == ("single-label", 5 if part == "sst5" else 2)
    assert len(splits.test) == (2210 if part == "sst5" else 1821)


def test_scores_are_read_under_the_name_they_were_trained_on(real_data):
    folder = source_of(real_data, "stsb")
    rows = load_labelled(folder, label_names=("score",), task="regression", pairs=True)
    assert len(rows) == 1379
    assert np.asarray(rows["label"][:]).max() == 5.0
