"""The sample corpus: reproducible, balanced, without leaks, and beyond a bag of words."""

import csv
import random
from collections import Counter

import pytest

from toughen.demo import corpus
from toughen.demo.corpus import FOLDER, LABELS, SIZES, as_csv, deal_indices, generate


def shipped(split: str) -> list[tuple[str, str]]:
    with (FOLDER / f"{split}.csv").open(encoding="utf-8", newline="") as stream:
        return [(row["text"], row["label"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[tuple[str, str]]]:
    return {split: shipped(split) for split in SIZES}


@pytest.fixture(scope="module")
def generated() -> dict[str, list[tuple[str, str]]]:
    return generate()


@pytest.mark.parametrize("split", SIZES)
def test_the_generator_writes_the_shipped_files_byte_for_byte(generated, split):
    assert as_csv(generated[split]).encode() == (FOLDER / f"{split}.csv").read_bytes()


def test_another_seed_writes_another_corpus(generated):
    """Canary of the test above."""
    assert generate(corpus.SEED + 1)["test"] != generated["test"]


def test_sizes_and_balance(rows):
    for split, size in SIZES.items():
        assert len(rows[split]) == size
        assert Counter(label for _, label in rows[split]) == dict.fromkeys(LABELS, size // 2)


def test_no_text_stands_twice(rows):
    texts = [text.casefold() for part in rows.values() for text, _ in part]
    assert len(set(texts)) == sum(SIZES.values())


def test_texts_are_short_whole_and_without_open_slots(rows):
    for text, _ in (row for part in rows.values() for row in part):
        assert 2 <= len(text.split()) <= 45
        assert not set("{}_") & set(text)
        assert "  " not in text
        assert text == text.strip()


def decks(split: str, domain: str) -> dict[str, set[str]]:
    return {name: set(d.cards) for name, d in corpus._decks(domain, split, corpus.SEED, random.Random(0)).items()}


@pytest.mark.parametrize("domain", corpus._DOMAINS)
def test_no_phrase_or_name_of_one_split_stands_in_another(domain):
    train, validation, test = (decks(split, domain) for split in SIZES)
    dealt_out = train.keys() - set(corpus._SHARED)
    assert {"name", "praise", "gripe", "aspect", "glad", "sorry"} < dealt_out
    for bank in dealt_out:
        assert not train[bank] & test[bank]
        assert not train[bank] & validation[bank]
        assert not validation[bank] & test[bank]
        assert train[bank]
        assert validation[bank]
        assert test[bank]


def test_names_of_the_test_split_never_stand_in_the_texts_of_train(rows):
    """The same on the shipped files: reads what was written, not how it was dealt."""
    train = " ".join(text.casefold() for text, _ in rows["train"])
    test = " ".join(text.casefold() for text, _ in rows["test"])
    names = {name.casefold() for domain in corpus._DOMAINS for name in decks("test", domain)["name"]}
    assert all(name in test for name in names)
    assert not [name for name in names if name in train]


def test_dealing_gives_each_card_to_exactly_one_split():
    for size in (6, 12, 18):
        assert sorted(i for split in SIZES for i in deal_indices(split, size, "key", 0)) == list(range(size))


def test_every_way_of_saying_it_occurs_with_both_labels(rows):
    """Cues that would give a label away stand with either: negation, contrast, irony markers, reported opinions."""
    for cue in ("not ", "but ", "even though", "just what i needed", "ten out of ten", "anything but", "disagree"):
        labels = {label for part in rows.values() for text, label in part if cue in text.casefold()}
        assert labels == set(LABELS), cue


def test_some_texts_are_mistyped_and_most_are_not():
    words = {word for domain in corpus._DOMAINS for word in " ".join(map(" ".join, vocabulary(domain))).split()}
    words |= set(" ".join(form for form in forms()).split())
    known = {word.strip(".,:;!?{}\"'").casefold() for word in words}
    texts = [text for split in SIZES for text, _ in shipped(split)]
    odd = sum(any(word.strip(".,:;!?").casefold() not in known for word in text.split()) for text in texts)
    assert 0.05 < odd / len(texts) < 0.25


def vocabulary(domain: str) -> list[list[str]]:
    return [*corpus._load(domain).values(), *corpus._load("general").values(), ["a", "an"]]


def forms() -> list[str]:
    return [text for family in corpus._load("templates").values() for form in family["forms"] for text in form.values()]


def test_a_bag_of_words_learns_something_but_stays_under_85_percent(rows):
    """TF-IDF of words and pairs with logistic regression, over a range of regularisation: the best of them counts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels = zip(*rows["train"], strict=True)
    test_texts, test_labels = zip(*rows["test"], strict=True)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2))
    train, test = vectorizer.fit_transform(texts), vectorizer.transform(test_texts)
    for strength in (0.1, 1.0, 10.0):
        model = LogisticRegression(C=strength, max_iter=1000).fit(train, labels)
        assert 0.5 < model.score(test, test_labels) < 0.85
