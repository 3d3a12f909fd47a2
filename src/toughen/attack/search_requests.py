"""What a search may ask while it runs: it yields a request, a driver answers many searches' requests together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.data.words import Words

T = TypeVar("T")


Side = Literal["first", "second"]
"""Of a pair of texts, the one that is changed."""
Asked = str | tuple[str, str]
"""What a classifier is asked about: a text, or a pair of texts."""


@dataclass(frozen=True)
class Beside:
    """The text of a pair that stays.

    Attributes:
        text: it.
        side: which of the two is changed.
    """

    text: str
    side: Side

    def pair(self, changed: str) -> tuple[str, str]:
        """Return the pair with a changed text."""
        return (changed, self.text) if self.side == "first" else (self.text, changed)


@dataclass(frozen=True)
class Scores:
    """Ask for the probabilities of texts.

    The answer is [m, C]: of the first m texts, fewer than asked only if the query budget ends there, or if one of them
    is ``enough``.

    Attributes:
        texts: M texts, the most promising first.
        enough: tells of each row of [m, C] whether the texts behind it are of no more use; None needs them all.
        roughly: whether the probabilities only rank texts, so that a decision that is in doubt may stay so.
        beside: of pairs, the text that stays.
    """

    texts: tuple[str, ...]
    enough: Callable[[Floats], NDArray[np.bool_]] | None = field(default=None, compare=False)
    roughly: bool = False
    beside: Beside | None = None

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What the classifier reads: the texts, or the pairs that they make."""
        return self.texts if self.beside is None else tuple(map(self.beside.pair, self.texts))


@dataclass(frozen=True)
class Gains:
    """Ask (white-box) how much each single replacement raises the margin of the wrong answer, to first order.

    The answer is a float [M], one per replacement; minus infinity for a word that the model does not read.
    """

    words: Words
    label: int
    replacements: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Fills:
    """Ask a masked language model for words at positions; the answer is a list of words, best first, per position."""

    words: Words
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Similarities:
    """Ask a sentence encoder for the cosine of each text with the original; the answer is a float [M]."""

    original: str
    texts: tuple[str, ...]


Request = Scores | Gains | Fills | Similarities
Asking = Generator[Request, Any, T]
"""Yields requests, receives their answers, returns a T."""


def search_beside(search: Asking[T], beside: Beside | None) -> Asking[T]:
    """Let a search on the changed text of a pair ask about the pair; without one it stays as it is."""
    answer: Any = None
    while True:
        try:
            request = search.send(answer)
        except StopIteration as done:
            found: T = done.value
            return found
        answer = yield replace(request, beside=beside) if isinstance(request, Scores) else request


class Service(Protocol):
    """Answers requests of one kind."""

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests of many texts together, in their order."""
