"""Constraints: what an attack may not do, so that the label stays the true one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from toughen.attack.search_requests import Asking, Similarities
from toughen.data.words import Words
from toughen.errors import InputError
from toughen.settings import require

_STOP_WORDS = """
a about above after again against all am an and any are aren't as at be because been before being below between both
but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each few for from further
had hadn't has hasn't have haven't having he her here hers herself him himself his how i if in into is isn't it its
itself just let me more most mustn't my myself neither never no nobody none nor not nothing now nowhere of off on
once only or other our ours ourselves out over own same shan't she should shouldn't so some such than that the their
theirs them themselves then there these they this those through to too under until up very was wasn't we were
weren't what when where which while who whom why will with won't without would wouldn't you your yours yourself
yourselves 的 了 在 是 不 没 无 和 与 或 我 你 他 她 它 们 这 那 也 就 都 很 有 被 把 吗 呢 吧 别 未
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that carry grammar or negation: replacing one changes what is said."""


class Constraint(ABC):
    """A rule for one text; it must depend on nothing but the two versions of it."""

    def locked(self, original: Words, state: Words) -> frozenset[int]:
        """Return positions that must not be changed from this state on."""
        return frozenset()

    def allows(self, original: Words, candidate: Words, position: int) -> bool:
        """Tell whether a candidate, changed last at ``position``, may be tried."""
        return True

    def sift(self, original: Words, candidates: Sequence[Words]) -> Asking[list[Words]]:
        """Return the candidates that may be tried, where that takes a request."""
        yield from ()  # no request is needed
        return list(candidates)

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


@dataclass(frozen=True)
class MaxChanged(Constraint):
    """At most this share of the words is changed, rounded down; one word always may be."""

    share: float

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "max_changed", self.share, "must be above 0 and at most 1")

    def most(self, original: Words) -> int:
        """Return how many words of a text may be changed."""
        return max(1, int(self.share * len(original) + 1e-9))

    def locked(self, original: Words, state: Words) -> frozenset[int]:
        """See `Constraint`."""
        changed = original.changed(state)
        return frozenset(changed) if len(changed) < self.most(original) else frozenset(range(len(original)))

    def allows(self, original: Words, candidate: Words, position: int) -> bool:
        """See `Constraint`."""
        return len(original.changed(candidate)) <= self.most(original)

    def describe(self) -> str:
        """See `Constraint`."""
        return f"at most {self.share:.0%} of the words changed (always one), each once"


@dataclass(frozen=True)
class KeepWords(Constraint):
    """Stop words are neither replaced nor put in.

    Attributes:
        words: in lower case.
    """

    words: frozenset[str] = field(default=STOP_WORDS, repr=False)

    def locked(self, original: Words, state: Words) -> frozenset[int]:
        """See `Constraint`."""
        return frozenset(i for i, word in enumerate(original.words) if _plain(word) in self.words)

    def allows(self, original: Words, candidate: Words, position: int) -> bool:
        """See `Constraint`."""
        return _plain(candidate.words[position]) not in self.words

    def describe(self) -> str:
        """See `Constraint`."""
        return f"none of {len(self.words)} stop words replaced or put in"


def _plain(word: str) -> str:
    return word.lower().replace("’", "'")


@dataclass(frozen=True)
class NoLabelWord(Constraint):
    """No word of a label's name is put in.

    Attributes:
        names: of the labels.
    """

    names: tuple[str, ...]

    def allows(self, original: Words, candidate: Words, position: int) -> bool:
        """See `Constraint`."""
        return candidate.words[position].lower() not in self._words()

    def _words(self) -> set[str]:
        return {word for name in self.names for word in re.split(r"[\W_]+", name.lower()) if word}

    def describe(self) -> str:
        """See `Constraint`."""
        return "no word of a label's name put in"


@dataclass(frozen=True)
class SimilarSentence(Constraint):
    """The text stays near the original by a sentence encoder; candidates are tried most similar first.

    Attributes:
        least: cosine of the two texts' vectors, -1 to 1.
        source: the encoder's folder.
    """

    least: float
    source: str

    def __post_init__(self) -> None:
        require(-1 <= self.least <= 1, "similarity", self.least, "must be between -1 and 1")

    def sift(self, original: Words, candidates: Sequence[Words]) -> Asking[list[Words]]:
        """See `Constraint`."""
        if not candidates:
            return []
        cosines = yield Similarities(original.text, tuple(c.text for c in candidates))
        ranked = sorted(zip(cosines, candidates, strict=True), key=lambda pair: -pair[0])
        return [candidate for cosine, candidate in ranked if cosine >= self.least]

    def describe(self) -> str:
        """See `Constraint`."""
        return f"sentence similarity at least {self.least} ({self.source})"


@dataclass(frozen=True)
class SamePartOfSpeech(Constraint):
    """A word is replaced by one of the same part of speech, told by nltk's tagger in the sentence.

    Raises:
        InputError: if nltk or its tagger is not installed.
    """

    def __post_init__(self) -> None:
        if find_spec("nltk") is None:
            raise InputError(
                "part of speech needs a tagger, and nltk is not installed; pip install nltk and download its "
                "averaged_perceptron_tagger_eng and universal_tagset, or leave the constraint out."
            )
        self._tags(("a", "test"))

    def allows(self, original: Words, candidate: Words, position: int) -> bool:
        """See `Constraint`."""
        return bool(self._tags(original.words)[position] == self._tags(candidate.words)[position])

    def _tags(self, words: Sequence[str]) -> list[Any]:
        import nltk  # type: ignore[import-not-found, unused-ignore]

        try:
            return [tag for _, tag in nltk.pos_tag(list(words), tagset="universal")]
        except LookupError as error:
            raise InputError(
                "part of speech needs a tagger, and nltk lacks its data; run nltk.download for "
                "averaged_perceptron_tagger_eng and universal_tagset, or leave the constraint out."
            ) from error

    def describe(self) -> str:
        """See `Constraint`."""
        return "same part of speech (nltk)"
