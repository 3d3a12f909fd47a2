"""One number that makes a model's probabilities honest: logits / T before the softmax. No answer changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.tasks import TaskName

LEAST, MOST = 0.05, 20.0
"""Where a temperature is sought; separable validation rows would have it at 0."""

_TINY = 1e-300  # keeps the logarithm of a probability that was rounded to 0 finite
_EPSILON = float(np.finfo(np.float64).eps)  # where `log_loss` clips, too
_HALF = 0.5


@dataclass(frozen=True)
class Temperature:
    """Softens probabilities: p' ~ p^(1/T), which is the softmax (or sigmoid) of the logits / T.

    Where a text is read in windows, their mean is softened. What is answered stays as it is, to the last bit: the
    thresholds are softened too, and a row that rounding would let change sides is put back.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (1706.04599).

    Attributes:
        value: T; above 1 the model was too sure of itself.
        thresholds: of the probabilities *before*, as training tuned them; None is 0.5, or the likelier class.
    """

    value: float
    thresholds: tuple[float, ...] | None = None

    @classmethod
    def noted(cls, noted: Mapping[str, Any]) -> Temperature | None:
        """Return what a model's config (``config.toughen``) says, None where it has no temperature."""
        value, thresholds = noted.get("temperature"), noted.get("thresholds")
        return None if value is None else cls(float(value), None if thresholds is None else tuple(thresholds))

    @property
    def softened(self) -> tuple[float, ...] | None:
        """The thresholds of the probabilities after."""
        if self.thresholds is None:
            return None
        return tuple(_soften_odds(np.asarray(self.thresholds, dtype=np.float64), self.value).tolist())

    def apply(self, task: TaskName, probabilities: Floats) -> Floats:
        """Soften probabilities [N, C]; of two classes with a threshold, and of several labels, by the odds."""
        if task == "multi-label":
            old = np.full(probabilities.shape[1], _HALF) if self.thresholds is None else np.asarray(self.thresholds)
            return _restore_sides(probabilities, _soften_odds(probabilities, self.value), old, self.value)
        new = _soften_rows(probabilities, self.value)
        if self.thresholds is not None and task == "single-label":
            cut = np.asarray(self.thresholds)
            new[:, 1:] = _restore_sides(probabilities[:, 1:], new[:, 1:], cut, self.value)
            return new
        return _same_highest(probabilities, new)


def _soften_rows(p: Floats, temperature: float) -> Floats:
    logs = np.log(np.maximum(p, _TINY)) / temperature
    powers = np.where(p > 0, np.exp(logs - logs.max(axis=1, keepdims=True)), 0.0)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _soften_odds(p: Floats, temperature: float) -> Floats:
    """Divide log odds by T; 0 and 1 stay."""
    odds = (np.log(np.maximum(p, _TINY)) - np.log(np.maximum(1 - p, _TINY))) / temperature
    with np.errstate(over="ignore"):
        inner = 1 / (1 + np.exp(-odds))
    return np.where(p <= 0, 0.0, np.where(p >= 1, 1.0, inner))


def _restore_sides(old: Floats, new: Floats, cuts: Floats, temperature: float) -> Floats:
    """Put back what rounding moved over its threshold; ``cuts`` [K] are those of ``old`` [N, K]."""
    now, above = _soften_odds(cuts, temperature), old >= cuts
    return np.where(above, np.maximum(new, now), np.minimum(new, np.nextafter(now, -1.0)))


def _same_highest(old: Floats, new: Floats) -> Floats:
    """Let the first of the highest be the same column as before."""
    best = old.argmax(axis=1)
    moved = np.flatnonzero(new.argmax(axis=1) != best)
    new[moved, best[moved]] = np.nextafter(new[moved].max(axis=1), 2.0)
    return new


def fit_temperature(task: TaskName, probabilities: Any, labels: Any) -> float:
    """Find the T between `LEAST` and `MOST` that makes the log loss of these rows lowest.

    The loss is convex in 1 / T. Fit on validation, never on test. Rows that T does not help leave it at 1, so that
    the log loss never rises.

    Args:
        task: single-label, multi-label or tokens.
        probabilities: as `Classifier.outputs` returns them without a temperature.
        labels: ids [N]; 0 and 1 [N, K]; for tokens N lists of ids.

    Raises:
        ValueError: if the task has no probabilities.
    """
    from scipy.optimize import minimize_scalar

    if task == "regression":
        raise ValueError("regression predicts no probabilities")
    p, y = flat(task, probabilities, labels)

    def loss(log_temperature: float) -> float:
        return log_loss(task, Temperature(float(np.exp(log_temperature))).apply(task, p), y)

    if not len(p):
        return 1.0
    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def flat(task: TaskName, outputs: Any, labels: Any) -> tuple[Floats, NDArray[np.int64]]:
    """Return arrays: probabilities [N, C] and labels [N] or [N, K]; of tokens the words of all texts."""
    if task != "tokens":
        return np.asarray(outputs, dtype=np.float64), np.asarray(labels).astype(np.int64)
    full = [np.asarray(rows) for rows in outputs if len(rows)]
    words = np.concatenate(full) if full else np.empty((0, 2))
    tags: Sequence[int] = [tag for row in labels for tag in row]
    return words.astype(np.float64), np.asarray(tags, dtype=np.int64)


def log_loss(task: TaskName, probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Return the mean of -log p(truth) in nats, p clipped at float64's epsilon, over texts, words or labels."""
    return float(losses(task, probabilities, labels).mean())


def losses(task: TaskName, probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return -log p(truth) of each text [N] (of several labels the mean over them), or of each word."""
    if task == "multi-label":
        of_truth = np.where(labels == 1, probabilities, 1 - probabilities)
        return np.asarray(-np.log(np.clip(of_truth, _EPSILON, 1)).mean(axis=1))
    of_truth = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(of_truth, _EPSILON, 1)))
