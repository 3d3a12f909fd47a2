"""Texts, pairs and words become token ids of at most the length that tokenizer and model take."""

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


def test_a_pair_needs_room_for_its_own_special_tokens(tokenizer, byte_pieces):
    """BERT's pair has three special tokens, RoBERTa's four, and either text must keep one token."""
    for kind, least in ((tokenizer, 5), (byte_pieces, 6)):
        assert effective_max_length(least, kind, BertConfig(), pairs=True) == least
        with pytest.raises(
            InputError, match=f"adds {least - 2} special tokens to every pair; set it above {least - 1}"
        ):
            effective_max_length(least - 1, kind, BertConfig(), pairs=True)
        assert effective_max_length(least - 1, kind, BertConfig()) == least - 1


# ---------------------------------------------------------------- pairs

PAIRS = {"text": ["bad", "a very very fine film"], "text_pair": ["the film is good", "two"], "label": [1, 0]}


def test_pairs_are_joined_and_the_longer_text_is_cut(tokenizer):
    tokens = tokenise(datasets.Dataset.from_dict(PAIRS), tokenizer, max_length=6)
    assert tokens["length"][:] == [6, 6]
    for row, (first, second) in enumerate([("bad", "the film"), ("a very", "two")]):
        assert tokens[row]["input_ids"] == tokenizer(first, second)["input_ids"]
    assert tokens["token_type_ids"][:] == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]


def test_cut_share_counts_the_special_tokens_of_pairs(tokenizer):
    """The first pair has 8 tokens of which 3 are special, the second 9."""
    rows = datasets.Dataset.from_dict(PAIRS)
    shares = [cut_share(tokenise(rows, tokenizer, max_length=n), tokenizer, max_length=n) for n in (7, 8, 9)]
    assert shares == [1, 0.5, 0]


# ---------------------------------------------------------------- what is kept of a long text

LONG = {"text": ["abcdefghij", "abcd"], "label": [1, 0], "row": [7, 9]}


def letters(tokens, tokenizer):
    """Return the texts that are left, one letter a token, with the special tokens as brackets."""
    shown = tokenizer.convert_ids_to_tokens
    marks = {"[CLS]": "<", "[SEP]": ">", "<s>": "<", "</s>": ">"}
    return [
        "".join(marks.get(t, t.replace("##", "").replace("Ġ", " ")) for t in shown(ids)) for ids in tokens["input_ids"]
    ]


@pytest.mark.parametrize(
    ("truncation", "length", "left"),
    [
        ("head", 6, ["<abcd>", "<abcd>"]),
        ("tail", 6, ["<ghij>", "<abcd>"]),
        ("head+tail", 6, ["<abij>", "<abcd>"]),
        ("head+tail", 7, ["<abcij>", "<abcd>"]),
        ("windows", 6, ["<abcd>", "<efgh>", "<ij>", "<abcd>"]),
        ("windows", 12, ["<abcdefghij>", "<abcd>"]),
    ],
)
def test_truncation_keeps_its_part_between_the_special_tokens(truncation, length, left, pieces):
    tokens = tokenise(datasets.Dataset.from_dict(LONG), pieces, max_length=length, truncation=truncation)
    assert letters(tokens, pieces) == left
    assert tokens["length"][:] == [len(text) for text in left]
    assert [len(mask) for mask in tokens["attention_mask"]] == tokens["length"][:]
    assert [len(kinds) for kinds in tokens["token_type_ids"]] == tokens["length"][:]


def test_a_tokenizer_set_to_cut_at_the_left_still_keeps_the_head(pieces):
    pieces.truncation_side = "left"
    assert letters(tokenise(datasets.Dataset.from_dict(LONG), pieces, max_length=6), pieces)[0] == "<abcd>"


def test_tokenizers_without_special_tokens_are_cut_too(byte_pieces):
    from tokenizers.processors import TemplateProcessing

    byte_pieces.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    tokens = tokenise(datasets.Dataset.from_dict(LONG), byte_pieces, max_length=4, truncation="head+tail")
    assert letters(tokens, byte_pieces) == ["abij", "abcd"]


@pytest.mark.parametrize(
    ("overlap", "left"),
    [(0, ["abcd", "efgh", "ij"]), (1, ["abcd", "defg", "ghij"]), (2, ["abcd", "cdef", "efgh", "ghij"])],
)
def test_windows_overlap_and_say_whose_they_are(overlap, left, pieces):
    tokens = tokenise(datasets.Dataset.from_dict(LONG), pieces, max_length=6, truncation="windows", overlap=overlap)
    assert letters(tokens, pieces) == [f"<{text}>" for text in [*left, "abcd"]]
    assert tokens["row"][:] == [7] * len(left) + [9]
    assert tokens["labels"][:] == [1] * len(left) + [0]
    assert tokens["window"][:] == [*range(len(left)), 0]
    assert tokens["weight"][:] == pytest.approx([1 / len(left)] * len(left) + [1])
    assert "text" not in tokens.column_names


def test_windows_of_texts_without_rows_and_labels_are_numbered(pieces):
    tokens = tokenise(datasets.Dataset.from_dict({"text": LONG["text"]}), pieces, max_length=6, truncation="windows")
    assert tokens["row"][:] == [0, 0, 0, 1]
    assert "labels" not in tokens.column_names


@pytest.mark.parametrize("label", [[0.0, 1.0], 2.5])
def test_windows_repeat_labels_of_every_kind(label, pieces):
    rows = datasets.Dataset.from_dict({"text": LONG["text"], "label": [label, label]})
    tokens = tokenise(rows, pieces, max_length=6, truncation="windows")
    assert tokens["labels"][:] == [label] * 4


@pytest.mark.parametrize(("truncation", "share"), [("head", 0.5), ("tail", 0.5), ("head+tail", 0.5), ("windows", 0)])
def test_cut_share_of_every_truncation(truncation, share, pieces):
    rows = datasets.Dataset.from_dict(LONG)
    for length, expected in ((6, share), (12, 0)):
        tokens = tokenise(rows, pieces, max_length=length, truncation=truncation)
        assert cut_share(tokens, pieces, max_length=length) == expected


# ---------------------------------------------------------------- words with labels

WORDS = {"text": [["ab", "c", "def"], ["gh"]], "label": [[1, 2, 3], [4]], "row": [0, 1]}


@pytest.mark.parametrize(
    ("truncation", "length", "labels", "words"),
    [
        ("head", 9, [-100, 1, -100, 2, 3, -100, -100, -100], [-1, 0, -1, 1, 2, -1, -1, -1]),
        ("head", 5, [-100, 1, -100, 2, -100], [-1, 0, -1, 1, -1]),
        ("tail", 7, [-100, -100, 2, 3, -100, -100, -100], [-1, -1, 1, 2, -1, -1, -1]),
        ("head+tail", 5, [-100, 1, -100, -100, -100], [-1, 0, -1, -1, -1]),
    ],
)
def test_the_first_piece_of_a_word_bears_its_label(truncation, length, labels, words, pieces):
    rows = datasets.Dataset.from_dict(WORDS)
    tokens = tokenise(rows, pieces, max_length=length, task="tokens", truncation=truncation)
    assert (tokens["labels"][0], tokens["word"][0]) == (labels, words)
    assert tokens["labels"][1] == [-100, 4, -100, -100]
    assert all(len(row["labels"]) == len(row["word"]) == row["length"] for row in tokens)


def test_words_without_labels_are_numbered(pieces):
    tokens = tokenise(datasets.Dataset.from_dict({"text": WORDS["text"]}), pieces, max_length=9, task="tokens")
    assert tokens["word"][1] == [-1, 0, -1, -1]
    assert "labels" not in tokens.column_names


def test_cut_share_counts_words_that_were_cut(pieces):
    rows = datasets.Dataset.from_dict(WORDS)
    for length, share in ((7, 0.5), (8, 0)):
        assert cut_share(tokenise(rows, pieces, max_length=length, task="tokens"), pieces, max_length=length) == share


def test_a_space_before_words_is_kept_where_it_belongs_to_them(byte_pieces):
    """Given as a list, the words would lose their spaces; the canary is what the tokenizer makes of the plain text."""
    rows = datasets.Dataset.from_dict({"text": [["c", "ac", "b"]], "label": [[0, 1, 2]]})
    tokens = tokenise(rows, byte_pieces, max_length=20, task="tokens")
    assert tokens["input_ids"][0] == byte_pieces("c ac b")["input_ids"]
    assert tokens["input_ids"][0] != byte_pieces([["c", "ac", "b"]], is_split_into_words=True)["input_ids"][0]
    assert tokens["labels"][0] == [-100, 0, 1, -100, 2, -100]


# ---------------------------------------------------------------- what does not fit together


@pytest.mark.parametrize(
    ("rows", "how", "says"),
    [
        (PAIRS, {"truncation": "tail"}, "truncation tail is for single texts, but the data are pairs; use head"),
        (PAIRS, {"truncation": "windows"}, "the data are pairs"),
        (WORDS, {"task": "tokens", "truncation": "windows"}, "tokens have one per word; use head, tail or head"),
        (LONG, {"truncation": "middle"}, "truncation must be one of head, tail, head.tail, windows, got 'middle'"),
        (LONG, {"truncation": "tail", "overlap": 2}, "overlap is for truncation windows, got 2 with truncation tail"),
        (LONG, {"truncation": "windows", "overlap": 4}, "below the 4 tokens of text that a window of 6 holds, got 4"),
        (LONG, {"truncation": "windows", "overlap": -1}, "overlap must be at least 0"),
        (LONG, {"truncation": "tail", "max_length": 2}, "adds 2 special tokens to every text; set it above 2"),
    ],
)
def test_what_does_not_fit_together_is_refused(rows, how, says, pieces):
    with pytest.raises(InputError, match=says) as caught:
        tokenise(datasets.Dataset.from_dict(rows), pieces, **{"max_length": 6, **how})
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_cannot_tell_words_is_refused_for_tokens():
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(InputError, match="does not say which word a token belongs to"):
        tokenise(datasets.Dataset.from_dict(WORDS), slow, max_length=6, task="tokens")
