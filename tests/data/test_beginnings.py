"""A long text's beginning decides its tokens: no tokenizer sees the rest, and no id is another one."""

import pytest

from deploy.pipelines import PIPELINES
from deploy.ugly import ugly_strings
from toughen.data.tokens.beginnings import Beginnings
from toughen.data.tokens.encode import Encoder


def long_texts():
    parts = ugly_strings(300, seed=31)
    tail = ["的一部", "film"] * 200
    return [joint.join(parts[i : i + 15] + tail) for i in range(0, 300, 15) for joint in (" ", "\n", "")]


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_rows_are_those_of_the_whole_text(name):
    if name in ("xlm-r", "deberta-file", "deberta", "albert"):
        pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    tokenizer, texts = PIPELINES[name](), long_texts()
    wanted = tokenizer(texts, truncation=True, max_length=20)["input_ids"]
    columns, cut = Encoder(tokenizer, 20).encode({"text": texts})
    assert columns["input_ids"] == wanted
    assert cut == len(texts)
    find = Beginnings(tokenizer)
    assert min(len(find.of(text, 20)) for text in texts) < 600, "nothing was left out"


def test_a_text_that_is_one_word_is_left_whole():
    find = Beginnings(PIPELINES["gpt2"]())
    assert find.of("x" * 9000, 20) == "x" * 9000


def test_an_added_token_with_white_space_is_not_cut():
    tokenizer = PIPELINES["bert"]()
    tokenizer.add_tokens(["film film"])
    text = "film " * 2000
    assert Beginnings(tokenizer).of(text, 20) == text
    assert Encoder(tokenizer, 20).encode({"text": [text]})[0]["input_ids"] == [[*tokenizer(text)["input_ids"][:19], 3]]


def test_words_behind_the_last_token_are_not_read():
    tokenizer = PIPELINES["bert"]()
    words = ["film", "good"] * 5000
    assert len(Beginnings(tokenizer).of_words(words, 20)) == 40
    columns, _ = Encoder(tokenizer, 20, "tokens").encode({"text": [words]})
    assert columns["input_ids"] == [tokenizer("film good " * 9)["input_ids"]]
    assert columns["word"] == [[-1, *range(18), -1]]
