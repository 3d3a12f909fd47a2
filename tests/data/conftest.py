"""What the data tests share: tiny tokenizers made on the spot, and the folder with real data, if there is one."""

import os
from pathlib import Path

import pytest
from transformers import BertTokenizerFast, RobertaTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "the", "film", "is", "good", "bad", "and", "very", "not", "number", "fine", "dull", "one", "two", "three"]


@pytest.fixture
def tokenizer():
    """A WordPiece tokenizer of a few words, without a network."""
    return BertTokenizerFast(vocab={word: number for number, word in enumerate(SPECIAL + WORDS)}, model_max_length=64)


@pytest.fixture
def pieces():
    """A WordPiece tokenizer that knows letters alone: a word has as many tokens as letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocab = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizerFast(vocab={word: number for number, word in enumerate(vocab)}, model_max_length=512)


@pytest.fixture
def byte_pieces():
    """A byte-level tokenizer in which the space belongs to the word after it, as RoBERTa's."""
    letters = ["Ġ", *(chr(code) for code in range(ord("a"), ord("z") + 1))]
    vocab = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, "Ġa", "Ġb"]
    merges = [("Ġ", "a"), ("Ġ", "b")]
    return RobertaTokenizerFast(vocab={word: number for number, word in enumerate(vocab)}, merges=merges)


@pytest.fixture
def real_data():
    """Return the folder with the public data sets that TOUGHEN_DATA names; skip where there is none."""
    folder = os.environ.get("TOUGHEN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real data here: set TOUGHEN_DATA to the folder that holds it")
    return Path(folder)
