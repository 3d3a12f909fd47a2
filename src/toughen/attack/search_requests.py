"""What a search may ask while it runs: it yields a request, a driver answers many searches' requests together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.data.words import Words

T = TypeVar("T")


@dataclass(frozen=True)
class Scores:
    """Ask for the probabilities of texts.

    The answer is [m, C]: of the first m texts, fewer than asked only if the query budget ends there, or if one of them
    is ``enough``.

    Attributes:
        texts: M texts, the most promising first.
        enough: tells of each row of [m, C] whether the texts behind it are of no more use; None needs them all.
        roughly: whether the probabilities only rank texts, so that a decision that is in doubt may stay so.
    """

    texts: tuple[str, ...]
    enough: Callable[[Floats], NDArray[np.bool_]] | None = field(default=None, compare=False)
    roughly: bool = False


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


class Service(Protocol):
    """Answers requests of one kind."""

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests of many texts together, in their order."""
