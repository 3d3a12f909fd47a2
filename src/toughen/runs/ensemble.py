"""Several classifiers of one task that answer as one: the mean of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from toughen.arrays import Floats
from toughen.classifier.classifier import Classifier
from toughen.classifier.core import EncodedText


@dataclass(frozen=True)
class _EncodedByAll(EncodedText):
    """A text as the first member reads it, and as each of them does: their vocabularies may differ."""

    each: tuple[EncodedText, ...] = ()


@dataclass
class Ensemble(Classifier):
    """The models of a run in folds as one classifier.

    Attributes:
        members: the models; ``model`` and ``tokenizer`` are the first one's.
    """

    members: tuple[Classifier, ...] = ()

    @classmethod
    def of(cls, members: Sequence[Classifier]) -> Ensemble:
        """Join classifiers with the same labels; their thresholds are averaged like their outputs."""
        first = members[0]
        own = {f.name: getattr(first, f.name) for f in fields(Classifier) if f.init}
        thresholds = mean_thresholds([member.thresholds for member in members])
        return cls(**own | {"thresholds": thresholds, "abstention": None}, members=tuple(members))

    def outputs(
        self, dataset: Any, *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Return the mean of the members' outputs; ``progress`` is that of the last one."""
        *others, last = self.members
        found = [member.outputs(dataset, batch_size=batch_size) for member in others]
        return mean_outputs([*found, last.outputs(dataset, batch_size=batch_size, progress=progress)])

    def encode_texts(self, texts: Sequence[Any]) -> list[EncodedText]:
        """Return texts as the token ids of every member; see `Answering.encode_texts`."""
        each = zip(*(member.encode_texts(texts) for member in self.members), strict=True)
        return [_EncodedByAll(text[0].rows, text[0].words, text[0].count, text) for text in each]

    def outputs_of_encoded(
        self, texts: Sequence[EncodedText], *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Return the mean of the members' outputs for texts from `encode_texts`; ``progress`` as for `outputs`."""
        by_member = zip(*(text.each for text in texts if isinstance(text, _EncodedByAll)), strict=True)
        found = []
        for member, own in zip(self.members, by_member, strict=True):
            told = progress if member is self.members[-1] else None
            found.append(member.outputs_of_encoded(own, batch_size=batch_size, progress=told))
        return mean_outputs(found)

    def logits(self, dataset: Any, *, batch_size: int = 64) -> Floats:
        """Return the mean of the members' logits."""
        mean: Floats = np.mean([member.logits(dataset, batch_size=batch_size) for member in self.members], axis=0)
        return mean


def mean_outputs(outputs: Sequence[Floats | list[Floats]]) -> Floats | list[Floats]:
    """Return the mean over classifiers of outputs on the same texts: arrays [N, ...], or for tokens N arrays each."""
    if isinstance(outputs[0], list):
        return [np.mean(words, axis=0) for words in zip(*outputs, strict=True)]
    mean: Floats = np.mean(outputs, axis=0)
    return mean


def mean_thresholds(thresholds: Sequence[Sequence[float] | None]) -> tuple[float, ...] | None:
    """Return the mean threshold of each label; None where classifiers have none."""
    known = [row for row in thresholds if row is not None]
    return tuple(np.mean(known, axis=0).tolist()) if known else None
