"""What every classifier does alike, whatever computes its passes: PyTorch is not needed here.

Texts become rows of token ids, one each or one per window; rows run longest first in batches of similar length; the
windows of a text are averaged, the words of a text tagged, and probabilities softened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.classifier.abstention import Abstention
from toughen.classifier.answers import Text, texts_columns
from toughen.classifier.temperature import Temperature
from toughen.errors import InputError
from toughen.tasks import TaskName

Pass = tuple[NDArray[np.int64], Floats, list[NDArray[np.int64]]]
Columns = Mapping[str, Sequence[int]]
"""One row of token ids by name: ``input_ids``, ``attention_mask`` and what else the model reads, each [T]."""
Forward = Callable[[Any], Floats]
"""From a batch to what the model makes of it: [B, C], of tokens [B, T, K]."""

_OUTSIDE = "O"


@dataclass(frozen=True)
class EncodedText:
    """One text as rows of token ids, which can be put into a batch with any other text's of the same classifier.

    Attributes:
        rows: one, or one per window.
        words: of tokens one list for each row, the number of the word at each token or -1; None for the other tasks.
        count: words of the text, of tokens; 1 for the other tasks.
    """

    rows: tuple[Columns, ...]
    words: tuple[Sequence[int], ...] | None = None
    count: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of all rows, special ones included."""
        return sum(len(row["input_ids"]) for row in self.rows)


@dataclass(frozen=True)
class Encoded:
    """N texts as R rows of token ids.

    Attributes:
        owner: [R] the text of each row, from 0.
        length: [R] tokens.
        words: of tokens R lists, the number of the word at each token or -1; None for the other tasks.
        rows: from B numbers of rows to these rows.
        pad: from B rows to a batch: arrays or CPU tensors [B, T] by name, ``attention_mask`` of them.
    """

    owner: NDArray[np.int64]
    length: NDArray[np.int64]
    words: Sequence[Sequence[int]] | None
    rows: Callable[[NDArray[np.int64]], list[Columns]]
    pad: Callable[[list[Columns]], Mapping[str, Any]]

    def apart(self, counts: Sequence[int]) -> list[EncodedText]:
        """Return each of the N texts alone.

        Args:
            counts: [N] words of each text, of tokens; 1 for the other tasks.
        """
        made = self.rows(np.arange(len(self.owner)))
        found = []
        for text, count in enumerate(counts):
            own = [int(row) for row in np.flatnonzero(self.owner == text)]
            words = None if self.words is None else tuple(self.words[row] for row in own)
            found.append(EncodedText(tuple(made[row] for row in own), words, count))
        return found

    @classmethod
    def together(cls, texts: Sequence[EncodedText], pad: Callable[[list[Columns]], Mapping[str, Any]]) -> Encoded:
        """Join texts that were encoded apart; arguments as the attributes."""
        made = [row for text in texts for row in text.rows]
        words = None if texts[0].words is None else [row for text in texts for row in text.words or ()]
        return cls(
            np.repeat(np.arange(len(texts)), [len(text.rows) for text in texts]),
            np.array([len(row["input_ids"]) for row in made]),
            words,
            lambda chosen: [made[int(row)] for row in chosen],
            pad,
        )

    def passes(
        self, forward: Forward, batch_size: int, progress: Callable[[int], None] | None = None
    ) -> Iterator[Pass]:
        """Yield of each pass: the text of each row [B], its outputs [B, ...], and for tokens its word numbers [T].

        Args:
            forward: computes a batch.
            batch_size: rows per pass.
            progress: called with the number of texts that each pass has finished.
        """
        order = np.argsort(-self.length, kind="stable")
        waiting = np.bincount(self.owner)  # rows of each text still to come
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self.pad(self.rows(rows))
            words = (
                [] if self.words is None else _spread_words([self.words[int(i)] for i in rows], batch["attention_mask"])
            )
            yield self.owner[rows], forward(batch), words
            np.subtract.at(waiting, self.owner[rows], 1)
            if progress is not None:
                progress(int((waiting[np.unique(self.owner[rows])] == 0).sum()))


def _spread_words(words: Sequence[Sequence[int]], attended: Any) -> list[NDArray[np.int64]]:
    """Spread the word numbers of a batch's tokens over its padded rows, -1 on padding, whichever side that is."""
    spread = []
    for numbers, mask in zip(words, np.asarray(attended), strict=True):
        row = np.full(len(mask), -1)
        row[mask == 1] = numbers
        spread.append(row)
    return spread


class _EncodedTexts(dict[str, Any]):
    """Stands for the columns of texts that are encoded already: ``text`` has a sequence as long as each has words."""

    def __init__(self, texts: Sequence[EncodedText]) -> None:
        super().__init__(text=[range(text.count) for text in texts])
        self.texts = texts


def _real(outputs: Floats) -> Floats:
    if not np.isfinite(outputs).all():
        raise InputError(
            "the model answers a text with something that is no number (NaN or infinity): its weights are broken; "
            "train or export it again."
        )
    return outputs


class Answering(ABC):
    """A classifier as `answered` needs it: an heir says how texts become rows, and what computes a batch.

    Attributes:
        label_names: names of the classes (or tags, or of regression's one value), in the order of the outputs.
        task: what the outputs mean.
        thresholds: probabilities, as they are answered, from which a label is predicted; None is 0.5, or the likelier.
        pairs: whether the model takes pairs of texts; None is not known.
        temperature: softens the probabilities, where there is one.
        abstention: when no answer is given, where that was fitted.
    """

    label_names: tuple[str, ...]
    task: TaskName
    thresholds: tuple[float, ...] | None
    pairs: bool | None
    temperature: Temperature | None
    abstention: Abstention | None

    @abstractmethod
    def encoded(self, texts: Any) -> Encoded:
        """Return the rows of N texts, N at least 1, that stand in columns ``text`` (and ``text_pair``)."""

    @abstractmethod
    def pad(self, rows: list[Columns]) -> Mapping[str, Any]:
        """Return B rows of token ids as a batch; see `Encoded`."""

    @abstractmethod
    def forward(self, batch: Any) -> Floats:
        """Return what the model makes of a batch of `encoded`, before the temperature.

        Returns:
            Probabilities (regression: values) [B, C]; for tokens [B, T, K].
        """

    def columns_of(self, texts: Sequence[Text]) -> Any:
        """Return N texts, at least one, as `encoded` takes them.

        Raises:
            InputError: if one is of another kind than the model takes.
        """
        columns = texts_columns(texts, self.task)
        self.check_pairs("text_pair" in columns)
        return columns

    def encode_texts(self, texts: Sequence[Text]) -> list[EncodedText]:
        """Return N texts, at least one, as token ids: cut, or divided into windows, as the model reads them.

        Raises:
            InputError: if one is of another kind than the model takes, or has no tokens.
        """
        columns = self.columns_of(texts)
        counts = [len(words) for words in columns["text"]] if self.task == "tokens" else [1] * len(texts)
        return self.encoded(columns).apart(counts)

    def outputs_of_encoded(
        self, texts: Sequence[EncodedText], *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Run the model on texts from `encode_texts`, not all of one call; result of `answered`."""
        return self.answered(_EncodedTexts(texts), batch_size, progress)

    def answered(
        self, texts: Any, batch_size: int, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Return the outputs of the texts in the columns ``text`` (and ``text_pair``), in their order.

        Returns:
            Probabilities [N, C] (single-label) or [N, K] (multi-label), values [N] (regression): the mean over a
            text's windows. For tokens a list of N arrays [words, K] of probabilities, at each word's first piece; a
            word that was cut off, or has no piece, is "O" with probability 1, or uniform where there is no tag "O".

        Raises:
            InputError: if an answer is NaN or infinite.
        """
        if self.task == "tokens":
            return [_real(self._soften(words)) for words in self._tags(texts, batch_size, progress)]
        means = self.means(texts, self.forward, batch_size, progress)
        return _real(means[:, 0] if self.task == "regression" else self._soften(means))

    def means(
        self, texts: Any, forward: Forward, batch_size: int, progress: Callable[[int], None] | None = None
    ) -> Floats:
        """Return the mean [N, C] of ``forward``, which gives so many numbers a row, over each text's windows."""
        count = len(texts["text"])
        sums, windows = np.zeros((count, len(self.label_names))), np.zeros(count)
        for owners, values, _ in self.passes(texts, forward, batch_size, progress):
            if values.shape[1] != sums.shape[1]:  # known from the first pass on
                sums = np.zeros((count, values.shape[1]))
            np.add.at(sums, owners, values)
            np.add.at(windows, owners, 1)
        means: Floats = sums / windows[:, None]
        return means

    def passes(
        self, texts: Any, forward: Forward, batch_size: int, progress: Callable[[int], None] | None
    ) -> Iterator[Pass]:
        """Yield the passes over the texts; see `Encoded.passes`."""
        if len(texts["text"]):
            yield from self.rows_of(texts).passes(forward, batch_size, progress)

    def rows_of(self, texts: Any) -> Encoded:
        """Return the rows of texts; those that are encoded already are taken as they are."""
        return Encoded.together(texts.texts, self.pad) if isinstance(texts, _EncodedTexts) else self.encoded(texts)

    def check_pairs(self, given: bool) -> None:
        """Refuse pairs of texts where the model takes single ones, and the other way round.

        Raises:
            InputError: if the model knows what it takes, and it is the other.
        """
        if self.pairs is None or self.pairs == given:
            return
        if given:
            raise InputError("the model was trained on single texts, but the texts given are pairs; give one of each.")
        raise InputError("the model was trained on pairs of texts, but no second text (text_pair) is given; give both.")

    def _tags(self, texts: Any, batch_size: int, progress: Callable[[int], None] | None) -> list[Floats]:
        """Fill in a row of probabilities per word; the fallback stays where no piece of a word was read."""
        unread = np.full(len(self.label_names), 1 / len(self.label_names))
        if _OUTSIDE in self.label_names:
            unread = np.eye(len(self.label_names))[self.label_names.index(_OUTSIDE)]
        result = [np.tile(unread, (len(words), 1)) for words in texts["text"]]
        for owners, values, numbers in self.passes(texts, self.forward, batch_size, progress):
            for text, probabilities, words in zip(owners, values, numbers, strict=True):
                result[text][words[words >= 0]] = probabilities[words >= 0]
        return result

    def _soften(self, probabilities: Floats) -> Floats:
        return probabilities if self.temperature is None else self.temperature.apply(self.task, probabilities)
