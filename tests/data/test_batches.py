"""Batches: every row once, the same order again, equal work for every rank; rows padded as little as may be."""

from __future__ import annotations

from collections import Counter

import datasets
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from toughen.data import Collator, LengthBuckets, Rows, padding_share, tokenise
from toughen.data.batches import MEGABATCH
from toughen.errors import InputError

LENGTHS = [(i * 7919) % 97 + 3 for i in range(1000)]


@st.composite
def plans(draw):
    """Return lengths and the arguments of a plan over 1 to 4 ranks."""
    lengths = draw(st.lists(st.integers(1, 50), min_size=1, max_size=200))
    unlabelled = draw(st.lists(st.integers(1, 50), max_size=40))
    return lengths, {
        "batch_size": draw(st.integers(1, 9)),
        "seed": draw(st.integers(0, 2**31)),
        "world_size": draw(st.integers(1, 4)),
        "unlabelled_lengths": unlabelled or None,
        "unlabelled_ratio": draw(st.sampled_from([0.0, 0.5, 1.0, 2.0])),
        "bucket": draw(st.booleans()),
    }


def deal(lengths, arguments, epoch=0, **more):
    """Return the batches of every rank."""
    ranks = []
    for rank in range(arguments["world_size"]):
        batches = LengthBuckets(lengths, **arguments, rank=rank, **more)
        batches.set_epoch(epoch)
        ranks.append(list(batches))
        assert len(ranks[-1]) == len(batches)
    return ranks


def labelled(batch, count):
    return [i for i in batch if 0 <= i < count]


@given(plans(), st.integers(0, 5))
@settings(deadline=None, max_examples=150)
def test_every_labelled_row_comes_exactly_once(plan, epoch):
    lengths, arguments = plan
    ranks = deal(lengths, arguments, epoch)
    rows = [i for rank in ranks for batch in rank for i in labelled(batch, len(lengths))]
    assert sorted(rows) == list(range(len(lengths)))


@given(plans())
@settings(deadline=None, max_examples=150)
def test_ranks_have_equal_batches_and_fillers_stand_in_the_last_one_only(plan):
    lengths, arguments = plan
    ranks = deal(lengths, arguments)
    assert len({tuple(len(batch) for batch in rank) for rank in ranks}) == 1
    fillers = [(k, i) for rank in ranks for k, batch in enumerate(rank) for i in batch if i < 0]
    assert all(k == len(ranks[0]) - 1 for k, _ in fillers)
    assert len(fillers) == -len(lengths) % arguments["world_size"] * (len(lengths) % full(arguments) > 0)
    last = {i for rank in ranks for i in labelled(rank[-1], len(lengths))}
    assert {~i for _, i in fillers} <= last


def full(arguments):
    """Return the labelled rows of a batch over all ranks."""
    return arguments["batch_size"] * arguments["world_size"]


@given(plans())
@settings(deadline=None, max_examples=100)
def test_order_is_a_pure_function_of_seed_and_epoch(plan):
    lengths, arguments = plan
    arguments["world_size"] = 1
    walked = LengthBuckets(lengths, **arguments)
    for epoch in (0, 1, 5):
        walked.set_epoch(epoch)
        torch.rand(3)
        assert list(walked) == list(walked) == deal(lengths, arguments, epoch)[0]


@pytest.mark.parametrize("bucket", [True, False])
def test_epochs_and_seeds_differ(bucket):
    def order(seed, epoch):
        return deal(LENGTHS, {"batch_size": 8, "seed": seed, "world_size": 1, "bucket": bucket}, epoch)[0]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 1) != order(1, 0)


@given(plans())
@settings(deadline=None, max_examples=150)
def test_unlabelled_rows_fill_their_share_and_none_comes_again_before_all_came(plan):
    lengths, arguments = plan
    count = len(arguments["unlabelled_lengths"] or [])
    ranks = deal(lengths, arguments)
    per_rank = round(arguments["batch_size"] * arguments["unlabelled_ratio"]) if count else 0
    uses = Counter(range(count))
    for step in zip(*ranks, strict=True):
        drawn = [[i - len(lengths) for i in batch if i >= len(lengths)] for batch in step]
        assert all(len(part) == per_rank for part in drawn)
        uses.update(i for part in drawn for i in part)
        assert set(uses) == set(range(count))
        assert not uses or max(uses.values()) - min(uses.values()) <= 1


def test_drop_last_leaves_other_rows_out_every_epoch():
    arguments = {"batch_size": 8, "seed": 0, "world_size": 3}
    left = []
    for epoch in (0, 1):
        ranks = deal(LENGTHS, arguments, epoch, drop_last=True)
        rows = [i for rank in ranks for batch in rank for i in batch]
        assert {len(batch) for rank in ranks for batch in rank} == {8}
        assert len(rows) == len(set(rows)) == 1000 - 1000 % 24
        left.append(set(range(1000)) - set(rows))
    assert left[0] != left[1]


def test_the_longest_row_comes_first_and_the_short_batch_last():
    for epoch in range(5):
        (batches,) = deal(LENGTHS, {"batch_size": 7, "seed": 0, "world_size": 1}, epoch)
        assert max(LENGTHS[i] for i in batches[0]) == max(LENGTHS)
        assert [len(batch) for batch in batches] == [7] * 142 + [6]


def test_the_longest_row_comes_first_even_where_a_batch_is_left_over_behind_a_stretch():
    """815 rows are 50 batches of 16 and 15 rows: in a stretch of their own they would be the last batch, unsorted."""
    count = MEGABATCH * 16 + 15
    lengths = [(i * 7919) % count + 3 for i in range(count)]  # all different
    for epoch in range(200):
        (batches,) = deal(lengths, {"batch_size": 16, "seed": 0, "world_size": 1}, epoch)
        assert max(lengths[i] for i in batches[0]) == max(lengths)
        assert [len(batch) for batch in batches] == [16] * 50 + [15]


def test_buckets_pad_far_less_than_plain_shuffling():
    (bucketed,) = deal(LENGTHS, {"batch_size": 8, "seed": 0, "world_size": 1})
    (shuffled,) = deal(LENGTHS, {"batch_size": 8, "seed": 0, "world_size": 1, "bucket": False})
    assert padding_share(LENGTHS, bucketed) < 0.05
    assert padding_share(LENGTHS, shuffled) > 0.3


def test_unlabelled_rows_of_similar_length_share_a_batch():
    arguments = {"batch_size": 8, "seed": 0, "world_size": 1, "unlabelled_lengths": LENGTHS, "unlabelled_ratio": 1.0}
    (bucketed,) = deal(LENGTHS, arguments)
    assert padding_share(LENGTHS + LENGTHS, bucketed) < 0.1


def test_one_rank_and_two_see_the_same_global_batches():
    (one,) = deal(LENGTHS, {"batch_size": 8, "seed": 0, "world_size": 1})
    two = deal(LENGTHS, {"batch_size": 4, "seed": 0, "world_size": 2})
    assert [sorted(batch) for batch in one] == [sorted(a + b) for a, b in zip(*two, strict=True)]


def test_padding_share_by_hand():
    """Batches (4, 2) and (3, and 1 repeated): 10 of 8 + 6 tokens are real once the repeat counts as a row."""
    assert padding_share([4, 2, 3, 1], [[0, 1], [2, ~3]]) == pytest.approx(1 - 10 / 14)


def test_no_batch_at_all_is_refused():
    with pytest.raises(InputError, match="3 rows fill no batch of 4"):
        LengthBuckets([1, 2, 3], 4, seed=0, drop_last=True)


@pytest.fixture
def rows(tokenizer):
    """Three labelled rows of 3, 4 and 5 tokens and two without a label."""
    known = datasets.Dataset.from_dict({"text": ["bad", "a film", "the fine film"], "label": [0, 1, 1]})
    free = datasets.Dataset.from_dict({"text": ["one", "two three"]})
    return Rows(tokenise(known, tokenizer, max_length=16), tokenise(free, tokenizer, max_length=16))


def test_rows_give_repeats_weight_0_and_texts_without_label_minus_100(rows):
    assert len(rows) == 5
    assert set(rows[1]) == {"input_ids", "token_type_ids", "attention_mask", "labels", "weight"}
    assert [(row["labels"], row["weight"]) for row in map(rows.__getitem__, (1, ~1, 3, 4))] == [
        (1, 1.0),
        (1, 0.0),
        (-100, 1.0),
        (-100, 1.0),
    ]
    assert rows[~2]["input_ids"] == rows[2]["input_ids"]


def test_rows_asked_for_together_are_the_rows_asked_for_singly(rows):
    order = [4, 0, ~0, 2, 3, 1]
    assert rows.__getitems__(order) == [rows[i] for i in order]


def test_collator_pads_to_a_multiple_and_says_types(rows, tokenizer, recwarn, caplog):
    batch = Collator(tokenizer)([rows[i] for i in (0, 2, ~1, 3)])
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
        "input_ids": ((4, 8), torch.int64),
        "token_type_ids": ((4, 8), torch.int64),
        "attention_mask": ((4, 8), torch.int64),
        "labels": ((4,), torch.int64),
        "weight": ((4,), torch.float32),
    }
    assert batch["attention_mask"].sum(1).tolist() == [3, 5, 4, 3]
    assert (batch["input_ids"][batch["attention_mask"] == 0] == tokenizer.pad_token_id).all()
    assert batch["labels"].tolist() == [0, 1, 1, -100]
    assert batch["weight"].tolist() == [1, 1, 0, 1]
    assert not recwarn.list
    assert not caplog.records
    assert not tokenizer.deprecation_warnings.get("Asking-to-pad-a-fast-tokenizer")


@pytest.mark.parametrize(
    ("multiple", "most", "width"), [(8, None, 8), (1, None, 5), (4, None, 8), (8, 6, 6), (8, 64, 8)]
)
def test_collator_never_pads_beyond_the_longest_length_allowed(multiple, most, width, rows, tokenizer):
    batch = Collator(tokenizer, multiple, most)([rows[0], rows[2]])
    assert batch["input_ids"].shape == (2, width)


def test_collator_pads_on_the_tokenizers_side_and_needs_no_labels(tokenizer):
    tokenizer.padding_side = "left"
    batch = Collator(tokenizer)([{"input_ids": [2, 3], "attention_mask": [1, 1]}])
    assert batch["attention_mask"].tolist() == [[0] * 6 + [1, 1]]
    assert "labels" not in batch
    assert "weight" not in batch


def test_collator_without_a_padding_token_is_refused(tokenizer):
    tokenizer.pad_token = None
    with pytest.raises(InputError, match="no padding token"):
        Collator(tokenizer)


def test_a_data_loader_serves_the_batches_in_order(rows, tokenizer):
    plan = LengthBuckets([3, 4, 5], 2, seed=0, unlabelled_lengths=[3, 4], unlabelled_ratio=0.5)
    loader = DataLoader(rows, batch_sampler=plan, collate_fn=Collator(tokenizer))
    seen = [batch["labels"].tolist() for batch in loader]
    assert seen == [[rows[i]["labels"] for i in batch] for batch in plan]
    assert [labels[-1] for labels in seen] == [-100, -100]


# ---------------------------------------------------------------- labels of other kinds


def kinds(tokenizer, label, **how):
    """Return rows of two labelled texts and one without a label, in one batch."""
    known = datasets.Dataset.from_dict({"text": ["bad", "a film"], "label": label})
    free = datasets.Dataset.from_dict({"text": ["one"]})
    rows = Rows(tokenise(known, tokenizer, max_length=8, **how), tokenise(free, tokenizer, max_length=8))
    return Collator(tokenizer)([rows[i] for i in (0, ~1, 2)])


def test_sets_of_labels_make_a_matrix(tokenizer):
    batch = kinds(tokenizer, [[0.0, 1.0], [1.0, 1.0]], task="multi-label")
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == [[0, 1], [1, 1], [-100, -100]]
    assert batch["weight"].tolist() == [1, 0, 1]


def test_numbers_make_a_vector_of_floats(tokenizer):
    batch = kinds(tokenizer, [0.5, 2.0], task="regression")
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"][:2].tolist() == [0.5, 2.0]
    assert batch["labels"][2].isnan()


def test_whole_numbers_of_regression_stay_floats(tokenizer):
    assert kinds(tokenizer, [1.0, 2.0], task="regression")["labels"].dtype == torch.float32


@pytest.mark.parametrize("side", ["right", "left"])
def test_labels_of_tokens_are_padded_where_the_tokens_are(side, tokenizer):
    tokenizer.padding_side = side
    rows = datasets.Dataset.from_dict({"text": [["bad"], ["a", "film"]], "label": [[1], [0, 2]]})
    rows = Rows(tokenise(rows, tokenizer, max_length=8, task="tokens"))
    batch = Collator(tokenizer)([rows[0], rows[1]])
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"].shape == batch["input_ids"].shape == (2, 8)
    assert batch["labels"][batch["attention_mask"] == 0].eq(-100).all()
    kept = [row[mask == 1].tolist() for row, mask in zip(batch["labels"], batch["attention_mask"], strict=True)]
    assert kept == [[-100, 1, -100], [-100, 0, 2, -100]]
    assert (batch["labels"] != -100).sum() == 3


def test_rows_without_labels_have_no_place_beside_tags(tokenizer):
    known = datasets.Dataset.from_dict({"text": [["bad"]], "label": [[1]]})
    free = tokenise(datasets.Dataset.from_dict({"text": ["one"]}), tokenizer, max_length=8)
    with pytest.raises(ValueError, match="no place beside labels of tokens"):
        Rows(tokenise(known, tokenizer, max_length=8, task="tokens"), free)


def test_windows_weigh_as_their_share_of_the_text_and_repeats_nothing(tokenizer):
    texts = datasets.Dataset.from_dict({"text": ["a film is good", "bad"], "label": [1, 0]})
    tokens = tokenise(texts, tokenizer, max_length=4, truncation="windows")
    rows = Rows(tokens, tokens.remove_columns("labels"))
    assert [rows[i]["weight"] for i in (0, 1, 2, ~0, 3, 5)] == [0.5, 0.5, 1, 0, 0.5, 1]
    assert [rows[i]["labels"] for i in (0, 1, 2, 3)] == [1, 1, 0, -100]
    assert "window" not in rows[0]
