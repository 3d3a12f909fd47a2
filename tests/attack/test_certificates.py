"""Certificates against closed forms, and against every change of a small text."""

import json
import random
from itertools import combinations, product
from math import comb
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from attack.bow import bag_of_words
from toughen.attack import certify
from toughen.attack.certificates import NONE, certified_radius, kept_words, masked_copies
from toughen.data.words import Words
from toughen.errors import InputError
from toughen.statistics.shares import clopper_pearson, lower_bound


class Rule:
    """Answers by a function of the visible words."""

    label_names = ("no", "yes")
    tokenizer = SimpleNamespace(mask_token="[MASK]")

    def __init__(self, rule):
        self.rule = rule

    def probabilities(self, dataset, *, batch_size=64):
        yes = np.array([float(self.rule(text.split())) for text in dataset["text"]])
        return np.stack([1 - yes, yes], axis=1)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (499, 500)])
def test_the_bound_is_where_the_binomial_tail_is_five_percent(successes, trials):
    lower = lower_bound(successes, trials, 0.05)
    if successes:
        assert binom.sf(successes - 1, trials, lower) == pytest.approx(0.05)
    else:
        assert lower == 0
    low, high = clopper_pearson(successes, trials)
    assert low <= successes / trials <= high
    assert high == 1 if successes == trials else binom.cdf(successes, trials, high) == pytest.approx(0.025)
    assert clopper_pearson(0, 0) is None


@pytest.mark.parametrize("words", [4, 12, 40])
@pytest.mark.parametrize("copies", [20, 200])
def test_an_answer_that_never_changes_is_certified_to_the_closed_form(words, copies):
    """All votes agree: lower = alpha^(1/copies), and the radius is the last d whose hypergeometric chance suffices."""
    text = " ".join(f"w{i}" for i in range(words))
    result = certify(Rule(lambda seen: True), [(text, "yes")], copies=copies, rate=0.7, confidence=0.99)
    (certificate,) = result.certificates
    assert certificate.lower == pytest.approx(0.01 ** (1 / copies))
    kept = words - round(0.7 * words)
    fits = [comb(words - d, kept) / comb(words, kept) > 1.5 - certificate.lower for d in range(words + 1)]
    assert certificate.radius == fits.index(False) - 1
    assert result.accuracy(certificate.radius) == 1 > result.accuracy(certificate.radius + 1) == 0


def test_the_share_of_copies_is_that_of_the_hypergeometric_distribution():
    """The answer hangs on one word, which m of h copies keep."""
    text = "key " + " ".join(f"w{i}" for i in range(19))
    result = certify(Rule(lambda seen: "key" in seen), [(text, "no")], copies=2000, rate=0.7)
    (certificate,) = result.certificates
    assert certificate.answer == 0
    assert certificate.share == pytest.approx(1 - 6 / 20, abs=0.04)
    assert certificate.radius == 0, "0.7 - 1/20 * 6 = 0.4: a change of the one word may turn the vote"


def exact_share(words, kept, rule):
    masks = list(combinations(range(len(words)), kept))
    return sum(rule([words[i] for i in mask]) for mask in masks) / len(masks)


@pytest.mark.parametrize("kept", [1, 2])
def test_no_change_within_the_radius_turns_the_vote(kept):
    """Every text of 6 words out of 3, every change of d words, every mask: with exact chances the certificate holds."""

    def rule(seen):
        return sum({"a": 1, "b": 0, "c": -1}[word] for word in seen) > 0

    texts = list(product("abc", repeat=6))
    share = {text: exact_share(text, kept, rule) for text in texts}
    radius = {text: certified_radius(max(p, 1 - p), 6, kept) for text, p in share.items()}
    assert 1 in radius.values()
    turned_beyond = 0
    for one in texts[::5]:
        for other in texts:
            changed = sum(a != b for a, b in zip(one, other, strict=True))
            turned = (share[one] > 0.5) != (share[other] > 0.5)
            assert not (turned and changed <= radius[one])
            turned_beyond += turned and changed == radius[one] + 1
    assert turned_beyond, "the bound is not vacuous: just outside the radius votes do turn"


def test_copies_keep_as_many_words_as_announced():
    words = Words.of("one, two three-four five six seven!")
    for rate in (0.1, 0.5, 0.9):
        copies = masked_copies(words, rate, 50, random.Random(0), "[MASK]")
        kept = {len(words) - copy.count("[MASK]") for copy in copies}
        assert kept == {kept_words(len(words), rate)}
        assert len(set(copies)) > 5
        assert all(copy.endswith("!") for copy in copies)


def test_texts_without_words_and_wrong_votes():
    result = certify(bag_of_words(), [("...", "positive"), ("good", "negative")], copies=20, rate=0.5)
    assert [c.words for c in result.certificates] == [0, 1]
    assert result.accuracy(0) == 0


def test_a_split_vote_certifies_nothing():
    assert certified_radius(0.5, 10, 3) == NONE
    assert certified_radius(0.51, 10, 3) == 0


def test_seeded_saved_and_printed(tmp_path):
    rows = [("good and nice and fine film and a great meal", "positive"), ("poor dull weak plot bad awful", "negative")]
    one, two = (certify(bag_of_words(), rows, copies=100, seed=4) for _ in range(2))
    assert one == two
    assert one != certify(bag_of_words(), rows, copies=100, seed=5)
    found = json.loads(json.dumps(one.as_dict()))
    assert [row["changed_words"] for row in found["certified"]] == list(range(11))
    assert [row[1] for row in one.rows()] == sorted((row[1] for row in one.rows()), reverse=True)
    one.save(tmp_path / "certificates.parquet")
    saved = pq.read_table(tmp_path / "certificates.parquet").to_pylist()
    assert [(row["row"], row["label"]) for row in saved] == [(0, "positive"), (1, "negative")]


@pytest.mark.parametrize("setting", [{"rate": 1.0}, {"copies": 0}, {"confidence": 1.0}])
def test_refusals(setting):
    (name,) = setting
    with pytest.raises(InputError, match=f"{name} must be"):
        certify(bag_of_words(), [("good", "positive")], **setting)
    classifier = bag_of_words()
    classifier.tokenizer.mask_token = None
    with pytest.raises(InputError, match="has none; give mask"):
        certify(classifier, [("good", "positive")])
