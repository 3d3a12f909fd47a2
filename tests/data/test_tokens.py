"""Texts become token ids of at most the length that tokenizer and model take."""

from __future__ import annotations

from types import SimpleNamespace

import datasets
import pytest
from transformers import BertConfig, DebertaV2Config, GPT2Config, RobertaConfig, T5Config

from toughen.data import cut_share, effective_max_length, tokenise
from toughen.errors import InputError

ROWS = {"text": ["the film is good", "bad", "a very very fine film"], "label": [1, 0, 1], "row": [0, 1, 2]}


def test_ids_are_cut_and_not_padded(tokenizer):
    tokens = tokenise(datasets.Dataset.from_dict(ROWS), tokenizer, max_length=5)
    added = ["input_ids", "token_type_ids", "attention_mask", "length", "labels"]
    assert set(tokens.column_names) == {*ROWS, *added}
    assert tokens["length"][:] == [5, 3, 5]
    assert tokens[0]["input_ids"] == tokenizer("the film is", padding=False)["input_ids"]
    assert [len(mask) for mask in tokens["attention_mask"]] == [5, 3, 5]
    assert tokens["labels"][:] == tokens["label"][:]


def test_texts_without_labels_get_none(tokenizer):
    tokens = tokenise(datasets.Dataset.from_dict({"text": ["bad"]}), tokenizer, max_length=5)
    assert "labels" not in tokens.column_names


def test_progress_bars_come_back(tokenizer, capfd):
    datasets.enable_progress_bars()
    tokenise(datasets.Dataset.from_dict(ROWS), tokenizer, max_length=5)
    assert capfd.readouterr().err == ""
    assert not datasets.are_progress_bars_disabled()


def test_cut_share_does_not_count_texts_that_just_fit(tokenizer):
    """With 6 tokens "the film is good" fits exactly and "a very very fine film" does not."""
    rows = datasets.Dataset.from_dict(ROWS)
    shares = [cut_share(tokenise(rows, tokenizer, max_length=n), tokenizer, max_length=n) for n in (3, 5, 6, 7)]
    assert shares == pytest.approx([2 / 3, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (BertConfig(max_position_embeddings=32), 32),
        (RobertaConfig(max_position_embeddings=34, pad_token_id=1), 32),
        (RobertaConfig(max_position_embeddings=34, pad_token_id=0), 33),
        (GPT2Config(n_positions=32), 32),
        (DebertaV2Config(max_position_embeddings=32, position_biased_input=False), 64),
        (T5Config(), 64),
    ],
    ids=["bert", "roberta", "roberta, pad 0", "gpt2", "deberta-v2", "t5"],
)
def test_length_is_lowered_to_what_model_and_tokenizer_take(config, limit, tokenizer):
    assert effective_max_length(1000, tokenizer, config) == limit
    assert effective_max_length(limit, tokenizer, config) == limit


def test_a_tokenizer_without_a_limit_sets_none(tokenizer):
    tokenizer.model_max_length = int(1e30)
    assert effective_max_length(5000, tokenizer, SimpleNamespace()) == 5000


def test_no_room_beside_special_tokens_is_refused(tokenizer):
    with pytest.raises(InputError, match="adds 2 special tokens"):
        effective_max_length(2, tokenizer, BertConfig())
