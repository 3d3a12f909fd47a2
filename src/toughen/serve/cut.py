"""As much of a text as the model can read, found before anything is made of the whole.

A tokenizer reads all that it is given, and what is made of a text (a copy without each of its words) has its length.
The ids of the part that is kept here are those of the whole text, as far as the model reads: it is cut between words,
with some tokens to spare.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from toughen.serve.refusals import Refusal

PER_TOKEN = 8  # characters per token that are tried first; of English there are 4 to 5
_FURTHER = 4  # by how much more is tried next
_SPARE = 16  # tokens beyond those that are read, so that how a text ends does not matter
_NEAR = 256  # characters within which a place between words is looked for
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class Cut:
    """A text without a part that the model does not read.

    Attributes:
        text: what is kept.
        at: where the part stood, counted in ``text``.
        left_out: the part, "" of a text that is whole.
    """

    text: str
    at: int
    left_out: str


@dataclass(frozen=True)
class Cutter:
    """Cuts texts to what is read of them.

    Args:
        count: how many tokens a text has.
        tokens: that are read.
        part: which: head, tail or head+tail.
        most: characters that are looked through for so many tokens.
    """

    count: Callable[[str], int]
    tokens: int
    part: str
    most: int

    def __call__(self, text: str, number: int = 0) -> Cut:
        """Cut one text.

        Args:
            text: the text.
            number: of the text, to name it by, from 0.

        Raises:
            Refusal: if there are far fewer tokens in so many characters than the model reads.
        """
        size = PER_TOKEN * self.tokens
        while size < len(text) // (2 if self.part == "head+tail" else 1):
            stop = 0 if self.part == "tail" else _between(text, size)
            start = len(text) if self.part == "head" else _between(text, len(text) - size)
            if all(self.count(piece) >= self.tokens + _SPARE for piece in (text[:stop], text[start:]) if piece):
                return Cut(text[:stop] + text[start:], stop, text[stop:start])
            size *= _FURTHER
            if size > max(self.most, PER_TOKEN * self.tokens):
                raise Refusal(
                    413,
                    f"Text {number + 1} of inputs has {len(text):,} characters, and so few tokens in the first "
                    f"{size // _FURTHER:,} that its end cannot be found; shorten it.",
                )
        return Cut(text, len(text), "")


def _between(text: str, place: int) -> int:
    """Return a place between two words, before the space, near a place; the place itself where there is none."""
    found = _SPACE.search(text, place, place + _NEAR)
    return place if found is None else found.start()
