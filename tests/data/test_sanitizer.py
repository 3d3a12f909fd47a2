"""The sanitizer takes out what a reader does not see, leaves other alphabets alone, and stays with the model."""

import time
import unicodedata

import pytest
from transformers import AutoTokenizer

import toughen
from deploy.pipelines import bert
from tiny import reviews, save_tiny_model
from toughen.data.tokens.sanitizer import LOOKALIKES, is_sanitized, restore_sanitizer, sanitize, sanitized
from toughen.errors import InputError


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("g\u200bo\u2060o\u00add\ufeff", "good"),
        ("\u202ego\u2066od\u2069\u202c \u200e\u061c!", "good !"),
        ("fi\u200dl\u200cm", "film"),
        ("a\U000e0041\ufe0f\x00b\x7f", "ab"),
        ("g\u043e\u043ed m\u03bfvi\u0435", "good movie"),
        ("\u0412\u0430si\u0441", "Basic"),
        ("\uff47\uff4f\uff4f\uff44 \ufb01lm \U0001d41a", "good film a"),
        ("gox\bod filmxyz\b\b\b", "good film"),
        ("\b\bgood\b\b\b\b\b\b\b", ""),
        ("go" + "\u0301" * 9 + "od", "g\u00f3" + "\u0301" * 4 + "od"),
        ("e\u200b\u0301", "\u00e9"),
        ("caf\u0435\u0301", "caf\u00e9"),
    ],
)
def test_what_is_not_seen_goes(text, clean):
    assert sanitized(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "I can't wait: it's the BEST film, naïve café!\r\n\tOh, Ångström — “yes”.",
        "Москва, сок и око; Ева, а также IT-отдел",
        "Ελλάδα και ο νόμος",
        "这部电影很好看。我用iPhone看",
        "می\u200cخواهم क्\u200dष",
        "שָׁלוֹם ที่นี่ 픤",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd",
        "SMSка β-carotene αβx морe",
    ],
)
def test_what_is_written_so_stays(text):
    """Words of one alphabet, words with a letter that looks like no Latin one, the joiners of Persian, Hindi, emoji."""
    assert sanitized(text) == unicodedata.normalize("NFKC", text)


def test_every_look_alike_becomes_its_letter_beside_latin_ones_alone():
    assert {letter: sanitized(f"Zz{letter}zZ")[2] for letter in LOOKALIKES} == LOOKALIKES
    cyrillic = [letter for letter in LOOKALIKES if "CYRILLIC" in unicodedata.name(letter)]
    assert [sanitized(letter * 3) for letter in cyrillic] == [letter * 3 for letter in cyrillic]
    assert set("".join(LOOKALIKES.values())) <= set(map(chr, range(65, 123)))


@pytest.mark.parametrize(
    "part", ["\u0430", "x\b", "\b", "a\u0301\u0301\u0301\u0301\u0301", "\u0301", "\u200d", "\u043eb"]
)
def test_no_text_takes_long(part):
    """No pattern goes back and forth over a text: so many characters take a second of the processor, not hours."""
    began = time.process_time()
    sanitized(part * (100_000 // len(part)) + "b")
    assert time.process_time() - began < 10


def test_transformers_forgets_it_and_it_is_put_back(tmp_path):
    tokenizer = bert()
    plain = tokenizer("g\u043eod")["input_ids"]
    sanitize(tokenizer)
    sanitize(tokenizer)
    wanted = tokenizer("good")["input_ids"]
    assert tokenizer("g\u043eod")["input_ids"] == wanted != plain
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    restore_sanitizer(again, tmp_path, noted=True)
    assert again("g\u043eod")["input_ids"] == wanted
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_a_sanitizer_that_is_lost_is_missed(tmp_path):
    bert().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"was trained with data\.sanitize, but its tokenizer\.json has no sanitizer"):
        restore_sanitizer(AutoTokenizer.from_pretrained(tmp_path), tmp_path, noted=True)


def test_a_tokenizer_without_rules_of_its_own_is_refused():
    with pytest.raises(InputError, match=r"data\.sanitize needs a fast tokenizer, and str is none"):
        sanitize("tokenizer")


@pytest.mark.parametrize("on", [True, False])
def test_a_run_reads_and_answers_by_it(on, tmp_path):
    model = str(save_tiny_model(tmp_path / "model"))
    settings = {"data.sanitize": on, "training.epochs": 2, "training.learning_rate": 3e-3, "training.max_length": 32}
    run = toughen.train(reviews(200, seed=0), model=model, recipe="plain", output=tmp_path / "run", **settings)
    plain, disguised = "the film was good", "th\u0435 f\u200dilm was g\u043eoxx\b\bd"
    for classifier in (run.classifier, toughen.Run.open(tmp_path / "run").classifier):
        first, second = classifier.predict([plain, disguised])
        assert (first["score"] == pytest.approx(second["score"], abs=1e-6)) == on
        assert is_sanitized(classifier.tokenizer.backend_tokenizer) == on
