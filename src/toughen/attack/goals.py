"""Goals: when an attack has succeeded, and how near it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats

_LEAST = 1e-300  # keeps the logarithm of a probability that was rounded to 0 finite


def decide(probabilities: Floats, threshold: float | None = None) -> NDArray[np.int64]:
    """Return the predicted class of each row of [N, C]: the likelier, or 1 from the threshold on (two classes)."""
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    return np.asarray(probabilities[:, 1] >= threshold, dtype=np.int64)


def distance(probabilities: Floats, threshold: float | None = None) -> Floats:
    """Return [N]: how far each row of [N, C] is from another decision, as a difference of log probabilities or odds."""
    logs = np.log(np.maximum(probabilities, _LEAST))
    if threshold is None:
        top = np.sort(logs, axis=1)[:, -2:]
        return np.asarray(top[:, 1] - top[:, 0])
    return np.asarray(abs(logs[:, 1] - logs[:, 0] - _log_odds(threshold)))


def _log_odds(probability: float) -> float:
    return float(np.log(max(probability, _LEAST)) - np.log(max(1 - probability, _LEAST)))


class Goal(Protocol):
    """What an attack wants."""

    def reached(self, probabilities: Floats, label: int) -> NDArray[np.bool_]:
        """Tell of each row of [N, C] whether the attack has succeeded."""

    def margin(self, probabilities: Floats, label: int) -> Floats:
        """Return [N]: how near each row is; higher is nearer, and above 0 it is reached."""

    def describe(self) -> str:
        """Say it in words."""


@dataclass(frozen=True)
class Untargeted:
    """Any other answer than the true label.

    margin = log p(likeliest other class) - log p(label), less the log odds of the threshold where there is one.

    Attributes:
        threshold: probability from which a model of two classes answers 1; None is the likelier class.
    """

    threshold: float | None = None

    def reached(self, probabilities: Floats, label: int) -> NDArray[np.bool_]:
        """See `Goal`."""
        return np.not_equal(decide(probabilities, self.threshold), label)

    def margin(self, probabilities: Floats, label: int) -> Floats:
        """See `Goal`."""
        logs = np.log(np.maximum(probabilities, _LEAST))
        margin: Floats = np.delete(logs, label, axis=1).max(axis=1) - logs[:, label]
        if self.threshold is not None:
            shift = _log_odds(self.threshold)
            margin = margin + (shift if label else -shift)
        return margin

    def describe(self) -> str:
        """See `Goal`."""
        return "untargeted: any answer but the true label"
