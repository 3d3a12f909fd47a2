"""What is kept of a long text has the ids that the model reads of the whole."""

import random
from types import SimpleNamespace

import pytest

pytest.importorskip("tokenizers", reason="tokenizers is not installed")

from deploy import pipelines
from serve.fakes import served
from toughen.data.tokens.encode import Encoder
from toughen.serve import Served
from toughen.serve.cut import Cutter
from toughen.serve.refusals import Refusal

MOST = 65_536
WORDS = [
    "the",
    "warm",
    "room",
    "ünïcode",
    "naïve-ly",
    "电影很好",
    "x" * 130,
    "\U0001f600\U0001f3fd",
    "e\u0301",
    "a,b;c",
    "\t",
    "  ",
    "1,024.5",
]


def texts():
    rng = random.Random(0)
    yield from (" ".join(rng.choice(WORDS) for _ in range(n)) for n in (3, 40, 300, 3000))
    yield "电影很好看" * 900
    yield "?!" * 3000
    yield "word\n\n\n word" * 900
    yield " " * 700 + "word " * 900 + " " * 700


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlm_r", "deberta", "albert"])
@pytest.mark.parametrize("part", ["head", "tail", "head+tail"])
def test_the_ids_are_those_of_the_whole_text(family, part):
    tokenizer = getattr(pipelines, family)()
    encode = Encoder(tokenizer, 24, "single-label", part, 0)
    cutter = Cutter(lambda text: len(tokenizer(text, verbose=False)["input_ids"]), 24, part, MOST)
    shorter = 0
    for text in texts():
        cut = cutter(text)
        assert cut.text[: cut.at] + cut.left_out + cut.text[cut.at :] == text
        whole, kept = (encode({"text": [one]})["input_ids"][0] for one in (text, cut.text))
        assert kept == whole
        shorter += len(cut.text) < len(text)
    assert shorter >= 4, "nothing was cut"


def test_what_has_hardly_any_tokens_is_not_searched_through_for_ever():
    looked = []

    def count(text):
        looked.append(len(text))
        return 1

    with pytest.raises(Refusal, match=r"^Text 3 of inputs has 2,000,000 characters, and so few tokens"):
        Cutter(count, 24, "head", MOST)("x" * 2_000_000, 2)
    assert sum(looked) < 2 * MOST


def test_pairs_are_cut_only_where_that_changes_nothing():
    tokenizer = pipelines.bert()
    classifier = SimpleNamespace(
        task="single-label",
        label_names=("a", "b"),
        max_length=24,
        pairs=True,
        thresholds=None,
        abstention=None,
        tokenizer=tokenizer,
    )
    model, encode = Served(classifier, "fake", "none"), Encoder(tokenizer, 24)
    long, longer, short = "the warm room " * 300, "a room " * 700, "warm"
    for pair, cut in (((long, short), True), ((short, long), True), ((long, longer), False), ((longer, long), False)):
        (kept,) = model.shortened([pair])
        ids = [encode({"text": [one], "text_pair": [two]})["input_ids"] for one, two in (pair, kept)]
        assert ids[0] == ids[1]
        assert (kept != pair) == cut
        assert len(tokenizer(*kept, verbose=False)["input_ids"]) > 24
    with pytest.raises(Refusal, match="has a pair of 200,000 characters"):
        model.shortened([("a " * 50_000, "b " * 50_000)])


def test_more_words_than_can_be_read_are_refused():
    model = served("tokens")
    assert model.shortened([["good"] * 1000]) == [["good"] * 1000]
    with pytest.raises(Refusal, match=r"^Text 2 of inputs has 5,000 words and the model reads 24 tokens"):
        model.shortened([["a"], ["good"] * 5000])
