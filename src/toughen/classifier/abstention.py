"""What a model does not answer: a threshold on its confidence, and the set of labels that may be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from toughen.arrays import Floats


@dataclass(frozen=True)
class Abstention:
    """When a classifier of one class per text gives no answer; None of a pair of fields: that was not asked for.

    Attributes:
        threshold: probability of the answer from which on it is given, 0 to 1.
        error: largest share of wrong answers among those given, which ``threshold`` holds.
        confidence: chance with which it holds it.
        set_threshold: probability from which on a label is in the set, 0 to 1.
        coverage: share of the texts whose set holds the right label.
    """

    threshold: float | None = None
    error: float | None = None
    confidence: float | None = None
    set_threshold: float | None = None
    coverage: float | None = None

    @classmethod
    def noted(cls, noted: Mapping[str, Any]) -> Abstention | None:
        """Return what ``config.toughen`` or a graph's description says, None where nothing was fitted."""
        found = noted.get("abstention")
        return None if found is None else cls(**{field.name: found.get(field.name) for field in fields(cls)})

    def note(self) -> dict[str, float | None]:
        """Return what `noted` reads."""
        return asdict(self)

    def abstains(self, score: float) -> bool:
        """Tell an answer of this probability that is not to be given."""
        return self.threshold is not None and score < self.threshold

    def label_set(self, probabilities: Floats) -> list[int] | None:
        """Return which of the labels [C] may be right, the likeliest first; maybe none. None: no sets were fitted."""
        if self.set_threshold is None:
            return None
        order = np.argsort(-probabilities, kind="stable")
        return [int(i) for i in order if probabilities[i] >= self.set_threshold]

    def told(self, score: float, probabilities: Floats, names: Sequence[str]) -> dict[str, Any]:
        """Return what joins an answer: ``abstained`` and ``label_set``, whichever was fitted."""
        found: dict[str, Any] = {} if self.threshold is None else {"abstained": self.abstains(score)}
        labels = self.label_set(probabilities)
        return found if labels is None else found | {"label_set": [names[i] for i in labels]}
