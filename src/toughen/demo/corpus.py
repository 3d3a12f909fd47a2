"""Write the sample corpus: about 1,500 short English reviews that a bag of words cannot read.

All phrases are our own (`phrases/*.yaml`). Every bank of phrases, names and parts of things is dealt out to the splits
first, so that no phrase and no name of the test split ever stands in train; of each family of sentence forms, some are
kept for validation and some for test. Adjectives are common to all. Both labels use the same forms, with words of
either polarity as bait, so a model has to know how "not", "but" and "even though" turn what the words mean.

`python -m toughen.demo.corpus` writes the files again after a change of the phrases.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from toughen.attack.noise.typos import typos

SIZES = {"train": 1000, "validation": 200, "test": 300}
LABELS = ("negative", "positive")
FOLDER = Path(__file__).parent / "corpus"
SEED = 7

_PHRASES = Path(__file__).parent / "phrases"
_DOMAINS = ("film", "restaurant", "hotel", "gadget", "book", "app", "course")
_VALIDATION_SHARE, _TEST_SHARE = 0.15, 0.25  # of each bank; train gets the rest
_SHARED = ("thing", "who", "good", "bad", "fine_part", "poor_part")  # the language itself: common nouns, adjectives
# Half of the clauses about a part of the thing are put together from two banks.
_PARTS = {"praise": "fine_part", "nicety": "fine_part", "gripe": "poor_part", "quibble": "poor_part"}
_PARTS_SHARE = 0.5
_RUDE = re.compile(r"\bshat\b", re.I)  # what a typo makes of "what"
_IMPERSONAL = {"claim": "praise", "slur": "gripe"}  # what somebody else can say: "my sister thinks that {claim}"
_FIRST_PERSON = re.compile(r"\b(I|me|my|we|us|our)\b")
_MIRRORS = {"praise": "gripe", "sorry": "glad", "no_merit": "no_fault", "hoped": "feared"}
_COMMON = (
    "about after again every from have into than that their them then there they this what when which with would never "
    "nothing were been could does even just like more must once only still until very well will your"
)
_TYPO_SHARE, _TYPO_RATE = 0.15, 0.15
_LOWER_SHARE, _BARE_SHARE, _LOUD_SHARE = 0.05, 0.08, 0.06

Row = tuple[str, str]  # text, label


def generate(seed: int = SEED) -> dict[str, list[Row]]:
    """Return the rows (text, label) of train, validation and test, without one text in common."""
    seen: set[str] = set()
    return {split: _Writer(split, seed).rows(size, seen) for split, size in SIZES.items()}


def as_csv(rows: Sequence[Row]) -> str:
    """Render rows as the shipped CSV: header text,label; Unix line ends on every machine."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([("text", "label"), *rows])
    return buffer.getvalue()


def write(folder: Path = FOLDER) -> None:
    """Write train.csv, validation.csv and test.csv."""
    for split, rows in generate().items():
        (folder / f"{split}.csv").write_text(as_csv(rows), encoding="utf-8", newline="\n")


@dataclass
class Deck:
    """A bank that is drawn from like a pack of cards: shuffled, dealt to the end, shuffled again."""

    cards: Sequence[str]
    rng: random.Random
    hand: list[str] = field(default_factory=list)

    def draw(self) -> str:
        """Return the next card."""
        if not self.hand:
            self.hand = list(self.cards)
            self.rng.shuffle(self.hand)
        return self.hand.pop()


def deal_indices(split: str, size: int, key: str, seed: int, at_least: int = 2) -> list[int]:
    """Deal the indices 0..size-1 of the bank `key` out to the three splits and return this split's share."""
    order = list(range(size))
    random.Random(f"{seed}:{key}").shuffle(order)
    test = max(at_least, round(size * _TEST_SHARE))
    validation = test + max(at_least, round(size * _VALIDATION_SHARE))
    return {"test": order[:test], "validation": order[test:validation], "train": order[validation:]}[split]


@cache
def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_PHRASES / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _decks(domain: str, split: str, seed: int, rng: random.Random) -> dict[str, Deck]:
    """Return the split's part of each bank of a domain, and of the adjectives that serve all domains."""
    decks = {}
    for source in (domain, "general"):
        for name, bank in _load(source).items():
            # Banks that mirror each other are dealt alike, so that no topic leans to one label in train and to the
            # other in test.
            key = f"{source}:{_MIRRORS.get(name, name)}"
            indices = range(len(bank)) if name in _SHARED else deal_indices(split, len(bank), key, seed)
            decks[name] = Deck([bank[i] for i in indices], rng)
    for name, source in _IMPERSONAL.items():
        decks[name] = Deck([phrase for phrase in decks[source].cards if not _FIRST_PERSON.search(phrase)], rng)
    return decks


class _Writer:
    """Writes one split from the split's part of every bank."""

    def __init__(self, split: str, seed: int) -> None:
        self.rng = random.Random(f"{seed}:{split}")
        self.families = _load("templates")
        self.domains = Deck(_DOMAINS, self.rng)
        self.banks = {domain: _decks(domain, split, seed, self.rng) for domain in _DOMAINS}
        self.forms: dict[tuple[str, str], Deck] = {}
        for family, entry in self.families.items():
            size = len(entry["forms"])
            indices = deal_indices("train", size, family, seed, at_least=1)  # the forms that all splits use
            if split != "train":
                indices = indices + deal_indices(split, size, family, seed, at_least=1)
            for label in LABELS:
                self.forms[family, label] = Deck([entry["forms"][i][label] for i in indices], self.rng)

    def rows(self, size: int, seen: set[str]) -> list[Row]:
        """Write `size` new rows: families by their shares, the two labels in turn, all in random order."""
        rows = [(self.new_text(family, LABELS[i % 2], seen), LABELS[i % 2]) for i, family in enumerate(self.plan(size))]
        self.rng.shuffle(rows)
        return rows

    def plan(self, size: int) -> list[str]:
        """Return `size` families in proportion to their shares, which sum to 1."""
        plan: list[str] = []
        total = 0.0
        for family, entry in self.families.items():
            total += entry["share"]
            plan += [family] * (round(size * total) - len(plan))
        return plan

    def new_text(self, family: str, label: str, seen: set[str]) -> str:
        """Write texts until one is new and does not trip over its own words."""
        while True:
            plain, phrases = self.filled(self.forms[family, label].draw())
            text = self.add_style(plain)
            if plain.casefold() not in seen and not _repetitive(phrases) and not _RUDE.search(text):
                seen.add(plain.casefold())
                return text

    def filled(self, form: str) -> tuple[str, list[str]]:
        """Fill the slots of a form for one domain; return the text and the phrases drawn for it."""
        decks = self.banks[self.domains.draw()]
        phrases: list[str] = []

        def phrase(match: re.Match[str]) -> str:
            bank = match[1]
            if bank in _PARTS and self.rng.random() < _PARTS_SHARE:
                phrases.append(f"{decks['aspect'].draw()} {decks[_PARTS[bank]].draw()}")
            else:
                phrases.append(decks[bank].draw())
            return phrases[-1]

        text = re.sub(r"\{(\w{2,}?)\d?\}", phrase, form)
        text = re.sub(r"\{a\} (\w)", lambda m: f"{'an' if m[1] in 'aeiou' else 'a'} {m[1]}", text)
        return re.sub(r"(^|[.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text), phrases

    def add_style(self, text: str) -> str:
        """Write as some people do: with typos, without capitals, without the full stop or with exclamation marks."""
        mistyped, lower, ending = (self.rng.random() for _ in range(3))
        if mistyped < _TYPO_SHARE:
            text = typos([text], rate=_TYPO_RATE, seed=self.rng.randrange(2**32))[0]
        if lower < _LOWER_SHARE:
            text = text.lower()
        if text.endswith(".") and ending < _BARE_SHARE + _LOUD_SHARE:
            text = text[:-1] + ("!!" if ending < _LOUD_SHARE else "")
        return text


def _repetitive(phrases: Sequence[str]) -> bool:
    """Tell whether two phrases share a word that carries meaning: they would repeat or contradict each other."""
    words = [
        word for phrase in phrases for word in set(re.findall(r"[a-z]{4,}", phrase.lower())) - set(_COMMON.split())
    ]
    return len(words) > len(set(words))


if __name__ == "__main__":
    write()
