"""A text as words and what stands between them; an attack changes words, never what is between."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

IDEOGRAPH = r"㐀-䶿一-鿿豈-﫿"

_LETTER = rf"(?:(?![{IDEOGRAPH}])[^\W_])"
_WORD = re.compile(rf"[{IDEOGRAPH}]|{_LETTER}+(?:['’]{_LETTER}+)*")


@dataclass(frozen=True)
class Words:
    """A text taken apart: gap, word, gap, ..., word, gap.

    A word is a Chinese character or a run of letters and digits, with apostrophes inside.

    Attributes:
        words: W words.
        gaps: W + 1 strings: spaces and punctuation.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """Take a text apart; its `text` is the same again."""
        words, gaps, end = [], [], 0
        for match in _WORD.finditer(text):
            words.append(match[0])
            gaps.append(text[end : match.start()])
            end = match.end()
        return cls(tuple(words), (*gaps, text[end:]))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def text(self) -> str:
        """The text."""
        return self.gaps[0] + "".join(w + g for w, g in zip(self.words, self.gaps[1:], strict=True))

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each word starts and ends in the text, in characters."""
        spans, end = [], 0
        for gap, word in zip(self.gaps, self.words, strict=False):
            start = end + len(gap)
            end = start + len(word)
            spans.append((start, end))
        return tuple(spans)

    def replaced(self, position: int, new: str) -> Words:
        """Put another word in the place of one."""
        return Words((*self.words[:position], new, *self.words[position + 1 :]), self.gaps)

    def without(self, position: int) -> str:
        """Return the text without one word, and without the space that divided it from the next."""
        before, after = self.gaps[position], self.gaps[position + 1]
        gap = before if before.endswith(" ") and after.startswith(" ") and not after.strip() else before + after
        words = (*self.words[:position], *self.words[position + 1 :])
        return Words(words, (*self.gaps[:position], gap, *self.gaps[position + 2 :])).text

    def masked(self, positions: Collection[int], mask: str) -> str:
        """Return the text with the words at these positions replaced by a mask."""
        hidden = set(positions)
        return Words(tuple(mask if i in hidden else w for i, w in enumerate(self.words)), self.gaps).text

    def changed(self, other: Words) -> tuple[int, ...]:
        """Return the positions at which two texts of as many words differ."""
        return tuple(i for i, (a, b) in enumerate(zip(self.words, other.words, strict=True)) if a != b)


def is_one_word(word: str) -> bool:
    """Tell whether a string is exactly one word, so that it keeps its place among the others."""
    return _WORD.fullmatch(word) is not None
