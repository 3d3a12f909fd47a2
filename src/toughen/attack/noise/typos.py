"""Texts as hurried people type them: a cheap, label-preserving noise for measuring robustness."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from toughen.settings import require

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST = 4  # letters; shorter words stay as they are, a typo would often make them another word
_WORD = re.compile(rf"[^\W\d_]{{{_SHORTEST},}}")


def typos(texts: Sequence[str], *, rate: float, seed: int) -> list[str]:
    """Mistype words: a neighbouring key, two letters swapped, a letter dropped or doubled, one of them per word.

    Each text's typos depend on the seed, its index and its content alone, not on the other texts. Raising the rate
    keeps the typos of a lower one and adds to them. Words of 3 letters and fewer stay as they are, so no text is
    emptied.

    Args:
        texts: N texts.
        rate: probability that a word of at least 4 letters is mistyped, in [0, 1].
        seed: of the draws; the same seed gives the same typos on every machine.

    Returns:
        N texts.

    Raises:
        InputError: if the rate is not in [0, 1].
    """
    require(0 <= rate <= 1, "rate", rate, "must be between 0 and 1")
    return [_add_typos(text, rate, f"{seed}:{index}:{text}") for index, text in enumerate(texts)]


def _add_typos(text: str, rate: float, key: str) -> str:
    rng = random.Random(key.encode("utf-8", "surrogatepass"))

    def replace(match: re.Match[str]) -> str:
        # Both draws happen for every word, so that a higher rate meets the same numbers.
        chance, word_seed = rng.random(), rng.getrandbits(64)
        return mistype(match[0], random.Random(word_seed)) if chance < rate else match[0]

    return _WORD.sub(replace, text)


def mistype(word: str, rng: random.Random) -> str:
    """Make one typo, always a visible one, in a word of at least two letters."""
    edits = list(_EDITS)
    rng.shuffle(edits)
    changed = (edit(word, rng) for edit in edits)
    return next(new for new in changed if new is not None)


def substitute(word: str, rng: random.Random) -> str | None:
    """Replace a letter by a key beside it; None where the keyboard has none of the letters."""
    places = [i for i, letter in enumerate(word) if letter.lower() in NEIGHBOURS]
    if not places:
        return None  # a script that this keyboard does not have
    i = rng.choice(places)
    letter = rng.choice(NEIGHBOURS[word[i].lower()])
    return word[:i] + (letter.upper() if word[i].isupper() else letter) + word[i + 1 :]


def swap(word: str, rng: random.Random) -> str | None:
    """Swap two neighbouring letters that differ; None where there are none."""
    places = [i for i in range(len(word) - 1) if word[i] != word[i + 1]]
    if not places:
        return None
    i = rng.choice(places)
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def drop(word: str, rng: random.Random) -> str:
    """Leave a letter out."""
    i = rng.randrange(len(word))
    return word[:i] + word[i + 1 :]


def double(word: str, rng: random.Random) -> str:
    """Type a letter twice."""
    i = rng.randrange(len(word))
    return word[: i + 1] + word[i:]


def _neighbours() -> dict[str, str]:
    """Keys that touch each letter on a QWERTY keyboard, whose rows are shifted by about half a key."""
    table: dict[str, str] = {}
    for row, keys in enumerate(_ROWS):
        for column, key in enumerate(keys):
            near = [(row, column - 1), (row, column + 1), (row - 1, column), (row - 1, column + 1)]
            near += [(row + 1, column - 1), (row + 1, column)]
            table[key] = "".join(_ROWS[r][c] for r, c in near if 0 <= r < 3 and 0 <= c < len(_ROWS[r]))
    return table


NEIGHBOURS = _neighbours()
_EDITS: tuple[Callable[[str, random.Random], str | None], ...] = (substitute, swap, drop, double)
