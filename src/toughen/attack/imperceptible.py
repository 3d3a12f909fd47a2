"""Changes that a reader does not see: characters without a glyph, look-alike letters, hidden order, backspaces."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toughen.attack.search_requests import Asking
from toughen.attack.transforms import Offers
from toughen.data.words import Words

Change = Callable[[str, random.Random], str | None]

ZERO_WIDTH = "\u200b\u200c\u200d"
BACKSPACE = "\b"
LRO, RLO, PDF, LRI, PDI = "\u202d\u202e\u202c\u2066\u2069"
_COUPLES = "AΑ BΒ CС EЕ HΗ IΙ JЈ KΚ MΜ NΝ OΟ PΡ SЅ TΤ XΧ YΥ ZΖ aа cс dԁ eе hһ iі jϳ oο pр sѕ xх yу"
INTENTIONAL: dict[str, str] = {pair[0]: pair[1] for pair in _COUPLES.split()}
"""Latin letters and Greek or Cyrillic ones that are drawn the same on purpose: intentional.txt of Unicode's UTS 39."""


@dataclass(frozen=True)
class ImperceptibleEdits:
    """One change of a word that is not seen where it is shown.

    Attributes:
        name: of the change.
        change: (word, random numbers) -> the word changed, or None where it cannot be.
        variants: so many tries of each word, at places drawn by chance.
    """

    name: str
    change: Change
    variants: int = 4

    def offers(self, state: Words, positions: Sequence[int], seed: int) -> Asking[Offers]:
        """See `Transformation`."""
        yield from ()  # no request is needed
        return {i: self._changed(state.words[i], seed) for i in positions}

    def _changed(self, word: str, seed: int) -> list[str]:
        rng = random.Random(f"{seed}:{word}".encode("utf-8", "surrogatepass"))
        found = (self.change(word, rng) for _ in range(self.variants))
        return list(dict.fromkeys(new for new in found if new is not None))

    def describe(self) -> str:
        """See `Transformation`."""
        return f"{self.name} in a word, {self.variants} places of each tried; shown, the text looks as before"


def _hide(word: str, rng: random.Random) -> str | None:
    if len(word) < 2:
        return None
    place = rng.randrange(1, len(word))
    return word[:place] + rng.choice(ZERO_WIDTH) + word[place:]


def _look_alike(word: str, rng: random.Random) -> str | None:
    places = [i for i, letter in enumerate(word) if letter in INTENTIONAL]
    if not places:
        return None
    place = rng.choice(places)
    return word[:place] + INTENTIONAL[word[place]] + word[place + 1 :]


def _reorder(word: str, rng: random.Random) -> str | None:
    """Write two neighbours the other way round, and have them shown the right way by directional controls."""
    places = [i for i in range(len(word) - 1) if word[i] != word[i + 1]]
    if not places:
        return None
    place = rng.choice(places)
    first, second = word[place], word[place + 1]
    shown = f"{LRO}{LRI}{RLO}{LRI}{second}{PDI}{LRI}{first}{PDI}{PDF}{PDI}{PDF}"
    return word[:place] + shown + word[place + 2 :]


def _delete(word: str, rng: random.Random) -> str | None:
    place = rng.randrange(len(word) + 1)
    return word[:place] + rng.choice("abcdefghijklmnopqrstuvwxyz") + BACKSPACE + word[place:]


INVISIBLE = ImperceptibleEdits("a character without width", _hide)
HOMOGLYPH = ImperceptibleEdits("a letter of another alphabet of the same shape", _look_alike)
REORDERING = ImperceptibleEdits("two letters exchanged and shown in order by directional controls", _reorder)
DELETION = ImperceptibleEdits("a letter and a backspace", _delete)
