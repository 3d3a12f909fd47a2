"""Natural corruptions: what typing, scanning and copying do to a text, at five severities."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from toughen.attack.noise import chinese, typos
from toughen.attack.noise.confusables import CONTRACTIONS, EMOJI, HOMOGLYPHS, MISSPELLINGS, OCR
from toughen.settings import require

SEVERITIES = (1, 2, 3, 4, 5)
RATES = (0.05, 0.1, 0.2, 0.35, 0.5)
RARE_RATES = (0.2, 0.4, 0.6, 0.8, 1.0)

Edit = Callable[[str, random.Random], str | None]
WordLists = Mapping[str, Sequence[str]]

_WORD = re.compile(r"[^\W\d_]{4,}")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_SPACING = re.compile(r"(?<=\S)[ \t]+(?=\S)|[^\W\d_]{4,}")
_POINTS = re.compile(r"[.,;:!?…]|\w(?=\s)")
_GAP = re.compile(r"(?<=\S)[ \t]+(?=\S)")
_LONG_FORMS = sorted((form.replace("_", " ") for form in CONTRACTIONS), key=len, reverse=True)
_FORMS = re.compile(rf"(?<![\w'’])(?:{'|'.join(map(re.escape, _LONG_FORMS))})(?![\w'’])", re.IGNORECASE)


@dataclass(frozen=True)
class Corruption:
    """Edits that change units of a text, each by itself.

    Attributes:
        name: of the corruption.
        unit: what may be changed: every match is one unit.
        edit: (unit, random numbers) -> the changed unit, or None where it cannot be changed.
        rates: chance of each unit at severities 1 to 5.
        needs: distribution that must be installed, or None.
    """

    name: str
    unit: re.Pattern[str]
    edit: Edit
    rates: tuple[float, ...] = RATES
    needs: str | None = None

    def __call__(self, text: str, *, severity: int, seed: int) -> str:
        """Corrupt one text.

        The result depends on the seed, the severity and the text alone. The units changed at one severity are changed
        in the same way at every higher one. A text is never emptied.

        Args:
            text: to be corrupted.
            severity: 1 to 5.
            seed: of the draws; the same seed gives the same noise on every machine.

        Raises:
            InputError: if there is no such severity.
        """
        require(severity in SEVERITIES, "severity", severity, "must be 1 to 5")
        rate = self.rates[severity - 1]
        rng = random.Random(f"{seed}:{self.name}:{text}".encode("utf-8", "surrogatepass"))

        def replace(match: re.Match[str]) -> str:
            # Both draws happen for every unit, so that a higher rate meets the same numbers.
            chance, unit_seed = rng.random(), rng.getrandbits(64)
            changed = self.edit(match[0], random.Random(unit_seed)) if chance < rate else None
            return match[0] if changed is None else changed

        corrupted = self.unit.sub(replace, text)
        return corrupted if corrupted.strip() else text


def _misspell(word: str, rng: random.Random, lists: WordLists | None = None) -> str | None:
    """Misspell a word as the list does, or else by one of the rules."""
    if lists is not None and lists.get(word.lower()):
        return alike(word, rng.choice(list(lists[word.lower()])))
    lower = word.lower()
    found = [(match, new) for old, new in MISSPELLINGS for match in re.finditer(old, lower)]
    if not found:
        return None
    match, new = rng.choice(found)
    return alike(word, lower[: match.start()] + match.expand(new) + lower[match.end() :])


def alike(word: str, new: str) -> str:
    """Write ``new`` in capitals where ``word`` is: all of them, the first, or none."""
    if len(word) > 1 and word.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new


def _change_case(word: str, rng: random.Random) -> str | None:
    mixed = "".join(letter.upper() if i % 2 else letter.lower() for i, letter in enumerate(word))
    forms = {word.upper(), word.lower(), word.capitalize(), mixed, word.swapcase()} - {word}
    return rng.choice(sorted(forms)) if forms else None


def _respace(unit: str, rng: random.Random) -> str:
    if unit.isspace():
        return rng.choice(["", unit * 2])
    cut = rng.randrange(1, len(unit))
    return f"{unit[:cut]} {unit[cut:]}"


def _punctuate(unit: str, rng: random.Random) -> str:
    if unit.isalnum() or unit == "_":
        return unit + rng.choice(".,;!")
    return rng.choice(["", unit * 2, rng.choice([mark for mark in ".,;:!?" if mark != unit])])


def _contract(unit: str, rng: random.Random) -> str:
    other = rng.choice(CONTRACTIONS[unit.lower().replace(" ", "_")]).replace("_", " ")
    if other.startswith("i'") or other.startswith("i "):
        return "I" + other[1:]
    return alike(unit[:1], other)


def _look_alike(table: Mapping[str, Sequence[str]], word: str, rng: random.Random) -> str | None:
    """Replace one glyph, or a pair of them, by one that looks like it."""
    places = [(i, old) for old in table for i in range(len(word)) if word.startswith(old, i)]
    if not places:
        return None
    i, old = rng.choice(places)
    return word[:i] + rng.choice(list(table[old])) + word[i + len(old) :]


def _insert_emoji(gap: str, rng: random.Random) -> str:
    return f"{gap}{rng.choice(EMOJI)}{gap}"


GENERAL: tuple[Corruption, ...] = (
    Corruption("keyboard", _WORD, typos.substitute),
    Corruption("misspelling", _WORD, _misspell),
    Corruption("swap", _WORD, typos.swap),
    Corruption("drop", _WORD, typos.drop),
    Corruption("case", _ANY_WORD, _change_case),
    Corruption("spacing", _SPACING, _respace),
    Corruption("punctuation", _POINTS, _punctuate),
    Corruption("contraction", _FORMS, _contract, RARE_RATES),
    Corruption("ocr", _ANY_WORD, partial(_look_alike, OCR)),
    Corruption("homoglyph", _ANY_WORD, partial(_look_alike, HOMOGLYPHS)),
    Corruption("emoji", _GAP, _insert_emoji),
)

CHINESE: tuple[Corruption, ...] = (
    Corruption("zh-homophone", chinese.CHARACTER, chinese.homophone, needs="pypinyin"),
    Corruption("zh-visual", chinese.CHARACTER, chinese.look_alike),
    Corruption("zh-variant", chinese.CHARACTER, chinese.variant),
    Corruption("zh-symbol", chinese.BETWEEN, chinese.insert_symbol),
)

CORRUPTIONS: Mapping[str, Corruption] = {corruption.name: corruption for corruption in (*GENERAL, *CHINESE)}
"""Every corruption by its name."""


def make_misspelling(lists: WordLists) -> Corruption:
    """Return the corruption "misspelling" that knows real misspellings: word in lower case -> misspellings of it."""
    return Corruption("misspelling", _WORD, partial(_misspell, lists=lists))
