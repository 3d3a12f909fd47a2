"""Typos: visible, small, reproducible, and each text's own business."""

import random

import pytest

from toughen.attack.noise.typos import mistype, typos
from toughen.errors import InputError

TEXTS = [
    "The acting is superb, but nothing could save the script.",
    "We left before dessert.",
    "Odd. A cup of tea?",
    "",
]


def distance(a: str, b: str) -> int:
    """Optimal string alignment distance: inserts, deletes, substitutions, adjacent swaps."""
    d = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i][j] = min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 1] + b[j - 2]:
                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1)
    return d[-1][-1]


@pytest.mark.parametrize("word", ["acting", "Nothing", "aaaa", "été", "ok", "味道很好", "ZZTOP"])
def test_a_mistyped_word_is_one_edit_away(word):
    rng = random.Random(0)
    assert {distance(word, mistype(word, rng)) for _ in range(100)} == {1}


def test_all_four_kinds_of_typo_occur():
    rng = random.Random(0)
    seen = {mistype("cat", rng) for _ in range(500)}
    assert {"act", "cta"} < seen
    assert {"at", "ct", "ca"} < seen
    assert {"ccat", "caat", "catt"} < seen
    assert {"xat", "vat", "cqt", "cay"} < seen
    assert not {"pat", "cot"} & seen, "p is no neighbour of c, o none of a"


def test_rate_one_mistypes_every_longer_word_and_no_short_one():
    words, noisy = TEXTS[0].split(), typos(TEXTS, rate=1.0, seed=0)[0].split()
    for word, new in zip(words, noisy, strict=True):
        assert (word != new) == (len(word.strip(".,")) >= 4), (word, new)


def test_rate_zero_changes_nothing():
    assert typos(TEXTS, rate=0.0, seed=0) == TEXTS


def test_the_rate_is_the_share_of_words():
    text = " ".join(["wonderful"] * 5000)
    noisy = typos([text], rate=0.1, seed=0)[0].split()
    assert sum(word != "wonderful" for word in noisy) == pytest.approx(500, abs=80)


def test_a_higher_rate_keeps_the_typos_of_a_lower_one():
    text = " ".join(["wonderful"] * 200)
    low, high = (typos([text], rate=rate, seed=0)[0].split() for rate in (0.1, 0.3))
    assert all(a in ("wonderful", b) for a, b in zip(low, high, strict=True))
    assert low != high


def test_no_text_is_emptied_and_spaces_and_punctuation_stay():
    noisy = typos(TEXTS, rate=1.0, seed=1)
    assert [bool(text) for text in noisy] == [bool(text) for text in TEXTS]
    assert [len(text.split()) for text in noisy] == [len(text.split()) for text in TEXTS]


def test_each_text_is_independent_of_its_neighbours():
    changed = [TEXTS[0], "Another text entirely.", TEXTS[2], TEXTS[3]]
    first, second = typos(TEXTS, rate=0.5, seed=0), typos(changed, rate=0.5, seed=0)
    assert [first[i] for i in (0, 2, 3)] == [second[i] for i in (0, 2, 3)]


def test_the_same_seed_gives_the_same_typos_for_ever():
    """Fixed expectation: a change of this line makes published robustness numbers incomparable."""
    assert typos(["the battery lasts forever"], rate=1.0, seed=0) == ["the batterry lastss ofrever"]
    assert typos(TEXTS, rate=0.5, seed=0) != typos(TEXTS, rate=0.5, seed=1)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(InputError, match="rate must be between 0 and 1"):
        typos(TEXTS, rate=rate, seed=0)
