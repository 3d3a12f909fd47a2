"""What the data tests share: a tiny tokenizer made on the spot."""

import pytest
from transformers import BertTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "the", "film", "is", "good", "bad", "and", "very", "not", "number", "fine", "dull", "one", "two", "three"]


@pytest.fixture
def tokenizer():
    """A WordPiece tokenizer of a few words, without a network."""
    return BertTokenizerFast(vocab={word: number for number, word in enumerate(SPECIAL + WORDS)}, model_max_length=64)
