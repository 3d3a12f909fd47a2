"""Certified accuracy: answers that no change of k words can turn, by random masking and a vote (RanMask)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toughen.attack.goals import decide
from toughen.attack.queries import Queries
from toughen.attack.subject import classifier_of, examples_of, threshold_of
from toughen.data.words import Words
from toughen.errors import InputError
from toughen.settings import require
from toughen.statistics.bootstrap import Interval
from toughen.statistics.shares import clopper_pearson, lower_bound

NONE = -1
_MOST = 10


@dataclass(frozen=True)
class Certificate:
    """What is certain of one text.

    Attributes:
        row: number in the source.
        text: the text.
        label: its true class id.
        answer: class that most masked copies of the first lot are answered with.
        share: share of the second lot's copies answered so.
        lower: bound from below on the chance of that answer, at the confidence asked for.
        words: words of the text.
        radius: any so many words may be changed and the vote stays; -1: not even the vote is certain.
    """

    row: int
    text: str
    label: int
    answer: int
    share: float
    lower: float
    words: int
    radius: int


@dataclass(frozen=True)
class Certified:
    """Certified accuracy of the vote over masked copies, against the number of changed words.

    Attributes:
        certificates: one per text.
        rate: share of the words masked in each copy.
        copies: masked copies that the bound rests on.
        confidence: of each certificate.
        seed: of the draws.
        label_names: by class id.
        accuracy_before: of the model on the texts as they are.
        most: largest number of changed words in `rows`.
    """

    certificates: tuple[Certificate, ...] = field(repr=False)
    rate: float
    copies: int
    confidence: float
    seed: int
    label_names: tuple[str, ...]
    accuracy_before: float
    most: int = _MOST

    @property
    def n(self) -> int:
        """Texts."""
        return len(self.certificates)

    @property
    def vote_accuracy(self) -> float:
        """Share of the texts for which most copies are answered rightly; nothing certain about it."""
        return float(np.mean([c.answer == c.label for c in self.certificates]))

    def accuracy(self, words: int) -> float:
        """Return the share of texts answered rightly whichever so many words are changed."""
        return self._count(words) / self.n

    def interval(self, words: int) -> Interval | None:
        """Return the Clopper-Pearson interval (95 %) of `accuracy`, over texts like these."""
        return clopper_pearson(self._count(words), self.n)

    def _count(self, words: int) -> int:
        return sum(c.answer == c.label and c.radius >= words for c in self.certificates)

    def rows(self) -> list[tuple[int, float, float, float]]:
        """Return (changed words, certified accuracy, low, high) for 0 to `most` changed words."""
        found = []
        for words in range(self.most + 1):
            low, high = self.interval(words) or (0.0, 1.0)
            found.append((words, self.accuracy(words), low, high))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        names = ("n", "rate", "copies", "confidence", "seed", "accuracy_before", "vote_accuracy")
        header = ("changed_words", "accuracy", "low", "high")
        certified = [dict(zip(header, row, strict=True)) for row in self.rows()]
        return {name: getattr(self, name) for name in names} | {"certified": certified}

    def save(self, path: str | Path) -> None:
        """Write the certificates to a parquet file: row, text, label, answer, share, lower, words, radius."""
        names = ("row", "text", "label", "answer", "share", "lower", "words", "radius")
        columns: dict[str, list[Any]] = {name: [getattr(c, name) for c in self.certificates] for name in names}
        for name in ("label", "answer"):
            columns[name] = [self.label_names[i] for i in columns[name]]
        pq.write_table(pa.table(columns), path)


def certify(
    run_or_classifier: Any,
    data: Any,
    *,
    rate: float = 0.7,
    copies: int = 500,
    first_copies: int = 50,
    confidence: float = 0.95,
    mask: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    columns: Mapping[str, str | None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Certified:
    """Certify the vote of a classifier over randomly masked copies of each text.

    Of a text of h words each copy keeps m = h - round(rate h) words, at random. If d words are changed, a copy keeps
    none of them with the chance C(h - d, m) / C(h, m); so the chance of any answer moves by at most
    1 - C(h - d, m) / C(h, m). With p the chance of the vote's answer, bounded from below by Clopper and Pearson, the
    vote stays as long as p - (1 - C(h - d, m) / C(h, m)) > 1/2.

    Source: Zeng et al., "Certified Robustness to Text Adversarial Attacks by Randomized [MASK]" (2105.03743), whose
    tighter bound multiplies the subtracted term by an *estimated* chance; we leave it at 1, as Levine and Feizi
    (1911.09272) do, which needs no estimate. Words are changed in place: none is added, none removed.

    Args:
        run_or_classifier: a run, its folder, or a single-label classifier.
        data: labelled single texts, as for `attack`.
        rate: share of the words masked, above 0 and below 1.
        copies: masked copies per text that the bound rests on.
        first_copies: other copies per text, which choose the answer that is certified.
        confidence: chance that a certificate holds, per text.
        mask: what stands for a masked word; default the tokenizer's mask token.
        limit: so many texts, drawn by the seed.
        seed: of the draws; masks depend on it, the row and nothing else.
        batch_size: texts per pass.
        columns: names of the columns ``text`` and ``label``; default the recipe's, or found.
        progress: called with the number of texts that are done.

    Raises:
        InputError: if a setting makes no sense, the tokenizer has no mask token and none is given, or as `attack`.
    """
    require(0 < rate < 1, "rate", rate, "must be between 0 and 1")
    require(copies >= 1 and first_copies >= 1, "copies", (copies, first_copies), "must be at least 1 each")
    require(0 < confidence < 1, "confidence", confidence, "must be between 0 and 1")
    classifier, known = classifier_of(run_or_classifier)
    mask = mask or _mask_token(classifier)
    examples = examples_of(classifier, data, {**known, **(columns or {})}, limit=limit, seed=seed)
    queries, threshold = Queries(classifier, batch_size, cache=False), threshold_of(classifier)
    before = decide(Queries(classifier, batch_size).probabilities(examples.texts), threshold)
    found = []
    for text, label, row in zip(examples.texts, examples.labels.tolist(), examples.rows.tolist(), strict=True):
        masked = masked_copies(Words.of(text), rate, first_copies + copies, random.Random(f"{seed}:{row}"), mask)
        answers = _answers(queries, masked, threshold)
        answer = int(np.bincount(answers[:first_copies]).argmax())
        votes = int((answers[first_copies:] == answer).sum())
        lower, words = lower_bound(votes, copies, 1 - confidence), len(Words.of(text))
        radius = certified_radius(lower, words, kept_words(words, rate))
        found.append(Certificate(row, text, label, answer, votes / copies, lower, words, radius))
        if progress is not None:
            progress(1)
    right = float((before == examples.labels).mean())
    return Certified(tuple(found), rate, copies, confidence, seed, tuple(classifier.label_names), right)


def _answers(queries: Queries, texts: Sequence[str], threshold: float | None) -> Any:
    """Return the class of each text; equal texts are run once."""
    distinct = list(dict.fromkeys(texts))
    answer = dict(zip(distinct, decide(queries.probabilities(distinct), threshold).tolist(), strict=True))
    return np.array([answer[text] for text in texts])


def _mask_token(classifier: Any) -> str:
    token = getattr(getattr(classifier, "tokenizer", None), "mask_token", None)
    if token is None:
        raise InputError("certify hides words behind a mask token, and this tokenizer has none; give mask.")
    return str(token)


def kept_words(words: int, rate: float) -> int:
    """Return how many of a text's words each copy keeps."""
    return words - round(rate * words)


def masked_copies(words: Words, rate: float, count: int, rng: random.Random, mask: str) -> list[str]:
    """Return copies of a text that each keep `kept_words`, drawn without replacement."""
    hidden = len(words) - kept_words(len(words), rate)
    return [words.masked(rng.sample(range(len(words)), hidden), mask) for _ in range(count)]


def certified_radius(lower: float, words: int, kept: int) -> int:
    """Return the largest number of words whose change cannot turn the vote; -1 if the vote itself is not certain.

    Args:
        lower: bound from below on the chance of the vote's answer.
        words: of the text.
        kept: of them in each copy.
    """
    radius = NONE
    for changed in range(words + 1):
        untouched = comb(words - changed, kept) / comb(words, kept)
        if lower - (1 - untouched) <= 0.5:
            break
        radius = changed
    return radius
