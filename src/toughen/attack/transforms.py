"""Transformations: which words an attack may put in the place of a word."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from toughen.attack.noise import typos
from toughen.attack.noise.confusables import HOMOGLYPHS
from toughen.attack.noise.corruptions import alike
from toughen.attack.search_requests import Asking, Fills
from toughen.data.words import Words, is_one_word

Offers = dict[int, list[str]]


class Transformation(Protocol):
    """Offers replacements."""

    def offers(self, state: Words, positions: Sequence[int], seed: int) -> Asking[Offers]:
        """Return words for each position, best first. They depend on the seed and the state alone."""

    def describe(self) -> str:
        """Say it in words."""


@dataclass(frozen=True)
class CharacterEdits:
    """One edit of a letter: swap two neighbours, type the key beside, leave one out, put one in, or a look-alike.

    Attributes:
        variants: words of each kind of edit.
        shortest: words of fewer letters stay as they are.
        homoglyphs: whether letters may turn into Cyrillic ones of the same shape.
    """

    variants: int = 2
    shortest: int = 3
    homoglyphs: bool = False

    def offers(self, state: Words, positions: Sequence[int], seed: int) -> Asking[Offers]:
        """See `Transformation`."""
        yield from ()  # no request is needed
        return {i: self._edits(state.words[i], seed) for i in positions}

    def _edits(self, word: str, seed: int) -> list[str]:
        if len(word) < self.shortest:
            return []
        rng = random.Random(f"{seed}:{word}".encode("utf-8", "surrogatepass"))
        edits: list[Callable[[str, random.Random], str | None]] = [typos.swap, typos.substitute, typos.drop, _insert]
        if self.homoglyphs:
            edits.append(_homoglyph)
        found = (edit(word, rng) for edit in edits for _ in range(self.variants))
        return list(dict.fromkeys(new for new in found if new and new != word))

    def describe(self) -> str:
        """See `Transformation`."""
        kinds = "swap, substitute, delete, insert" + (", homoglyph" if self.homoglyphs else "")
        return f"edit one letter ({kinds}; {self.variants} of each), words of {self.shortest} letters and more"


def _insert(word: str, rng: random.Random) -> str:
    """Put a key's neighbour beside it, as fingers that hit two keys do; another script's letter is doubled."""
    i = rng.randrange(len(word))
    letter = rng.choice(typos.NEIGHBOURS.get(word[i].lower(), word[i]))
    return word[: i + 1] + letter + word[i + 1 :]


def _homoglyph(word: str, rng: random.Random) -> str | None:
    places = [i for i, letter in enumerate(word) if letter in HOMOGLYPHS]
    if not places:
        return None
    i = rng.choice(places)
    return word[:i] + rng.choice(HOMOGLYPHS[word[i]]) + word[i + 1 :]


@dataclass(frozen=True)
class NeighbourWords:
    """Words from a list of neighbours, written in the capitals of the word that they replace.

    Attributes:
        neighbours: word in lower case -> its neighbours, best first.
        source: where the list is from, in words.
        most: so many of them.
    """

    neighbours: Mapping[str, Sequence[str]] = field(repr=False)
    source: str
    most: int = 50

    def offers(self, state: Words, positions: Sequence[int], seed: int) -> Asking[Offers]:
        """See `Transformation`."""
        yield from ()  # no request is needed
        return {i: [alike(state.words[i], new) for new in self._near(state.words[i])] for i in positions}

    def _near(self, word: str) -> Sequence[str]:
        return [new for new in self.neighbours.get(word.lower(), ())[: self.most] if is_one_word(new)]

    def describe(self) -> str:
        """See `Transformation`."""
        return f"replace a word by one of up to {self.most} neighbours ({self.source})"


@dataclass(frozen=True)
class MaskedWords:
    """Words that a masked language model puts in the place of a word.

    Attributes:
        source: the model's folder.
        most: so many of them.
    """

    source: str
    most: int = 50

    def offers(self, state: Words, positions: Sequence[int], seed: int) -> Asking[Offers]:
        """See `Transformation`."""
        fills = yield Fills(state, tuple(positions))
        return {
            i: [alike(state.words[i], new) for new in words][: self.most]
            for i, words in zip(positions, fills, strict=True)
        }

    def describe(self) -> str:
        """See `Transformation`."""
        return f"replace a word by one of the {self.most} likeliest of a masked language model ({self.source})"
