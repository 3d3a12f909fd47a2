"""What is held out has every class that stays, whatever the sizes: rounding must not break that."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toughen.data import Data, load_splits
from toughen.data.divide.hold_out import hold_out

NAMES = tuple("abcdefgh")


def table(labels, groups=None):
    """Return a sketch of as many distinct texts as there are labels."""
    columns = {"hash": pa.array(range(len(labels)), pa.uint64()), "label": labels, "row": np.arange(len(labels))}
    return pa.table(columns | ({} if groups is None else {"group": groups}))


def classes_of(part):
    return set(part["label"].to_pylist())


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.integers(2, 60), min_size=2, max_size=8),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_every_class_stands_on_both_sides(sizes, share, seed):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    rest, held = hold_out(table(labels), share, seed, NAMES, "data", "single-label")
    assert classes_of(rest) == classes_of(held) == set(range(len(sizes)))
    wanted = min(max(round(share * len(labels)), len(sizes)), len(labels) - len(sizes))
    assert (held.num_rows, held.num_rows + rest.num_rows) == (wanted, len(labels))


@pytest.mark.parametrize(("rows", "few"), [(600, 3), (1200, 4)])
def test_a_rare_class_is_held_out_too(rows, few):
    data = [(f"text {i}", "fraud" if i < few else "fine" if i % 2 else "late") for i in range(rows)]
    for seed in range(5):
        splits = load_splits(Data(), seed=seed, data=data)
        assert set(splits.validation["label"][:]) == set(splits.train["label"][:]) == {0, 1, 2}


def test_a_division_that_has_every_class_is_scikit_learns():
    from sklearn.model_selection import train_test_split

    labels = np.array([0] * 300 + [1] * 100)
    wanted = train_test_split(np.arange(400), test_size=40, stratify=labels, random_state=5)[1]
    held = hold_out(table(labels), 0.1, 5, NAMES, "data", "single-label")[1]
    assert sorted(held["row"].to_pylist()) == sorted(wanted)


def test_groups_of_a_rare_class_are_spread_over_both_sides():
    """Dealt by shares alone all three rows of the rare class would stay in train."""
    labels = [0] * 297 + [1] * 3
    rest, held = hold_out(table(labels, [f"g{i}" for i in range(300)]), 0.1, 0, NAMES, "data", "single-label")
    assert classes_of(rest) == classes_of(held) == {0, 1}


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=12, max_size=60), st.integers(0, 99))
def test_labels_of_several_texts_stand_on_both_sides_where_no_other_is_lost(rows, seed):
    hot = np.array(rows, np.float32)
    data = table(pa.array(hot.tolist(), pa.list_(pa.float32())))
    rest, held = (
        np.array(part["label"].to_pylist()) for part in hold_out(data, 0.1, seed, NAMES, "data", "multi-label")
    )
    alone = hot[hot.sum(1) == 1].sum(0)  # texts that have this label and no other can always be moved
    for label in range(3):
        if alone[label] >= 2:
            assert rest[:, label].any()
            assert held[:, label].any()


def test_a_class_that_cannot_be_divided_is_named():
    data = [{"text": f"text {i}", "label": "abc"[i % 2], "group": i} for i in range(40)]
    data += [{"text": f"rare {i}", "label": "c", "group": 99} for i in range(3)]
    splits = load_splits(Data(group="group"), seed=0, data=data)
    assert set(splits.train["label"][:]) == {0, 1, 2}
    assert "validation has no text with label 'c': too few could be moved apart" in splits.summary.notes
