"""How several classifiers' outputs become one: closed forms on arrays, the same for fitting and for answering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.runs.ensemble import mean_outputs
from toughen.tasks import TaskName

How = Literal["mean-probabilities", "mean-logits", "vote", "weights", "stack"]
Outputs = Floats | list[Floats]
"""As `Classifier.outputs` returns them: [N, C], [N] (regression), or for tokens N arrays [words, C]."""

_TINY = 1e-300  # keeps the logarithm of a probability that was rounded to 0 finite
_HALF = 0.5


@dataclass(frozen=True)
class Rule:
    """A way to combine the outputs of M classifiers.

    Attributes:
        how: its name.
        weights: [M] of ``weights``: at least 0, with the sum 1.
        stacker: of ``stack``.
    """

    how: How
    weights: tuple[float, ...] | None = None
    stacker: Stacker | None = None

    def apply(
        self, task: TaskName, outputs: Sequence[Outputs], thresholds: Sequence[Sequence[float] | None] = ()
    ) -> Outputs:
        """Combine outputs of the same texts.

        Args:
            task: what they mean.
            outputs: M of them, in the members' order.
            thresholds: M, by which each member decides; only votes are decisions.
        """
        if self.how == "mean-probabilities":
            return mean_outputs(outputs)
        if self.how == "stack":
            if self.stacker is None:
                raise ValueError("stack needs its fitted coefficients")
            return self.stacker.apply([np.asarray(one) for one in outputs])
        if self.how == "weights":
            shares = np.asarray(self.weights)
            return _per_text(task, outputs, lambda values: np.tensordot(shares, values, 1))
        if self.how == "mean-logits":
            return _per_text(task, outputs, lambda values: mean_logits(task, values))
        cuts = list(thresholds) or [None] * len(outputs)
        return _per_text(task, outputs, lambda values: vote(task, values, cuts))


@dataclass(frozen=True)
class Stacker:
    """A logistic regression on the members' centred log-probabilities.

    Attributes:
        coefficients: [C, M * C].
        intercept: [C].
    """

    coefficients: tuple[tuple[float, ...], ...]
    intercept: tuple[float, ...]

    def apply(self, outputs: Sequence[Floats]) -> Floats:
        """Return probabilities [N, C] of M members' probabilities [N, C]."""
        logits = features(outputs) @ np.asarray(self.coefficients).T + np.asarray(self.intercept)
        return softmax(logits)


def features(outputs: Sequence[Floats]) -> Floats:
    """Return what a stacker reads, [N, M * C]: log-probabilities, each member's less their mean over the classes."""
    logs = [np.log(np.maximum(one, _TINY)) for one in outputs]
    return np.concatenate([one - one.mean(axis=1, keepdims=True) for one in logs], axis=1)


def mean_logits(task: TaskName, outputs: Floats) -> Floats:
    """Return the activation of the mean logit: outputs [M, N, C] -> [N, C] (regression: [M, N] -> [N], the mean).

    Of a soft-max it is the geometric mean of the probabilities, scaled to the sum 1; of a sigmoid the mean of the log
    odds. So a member's temperature and the windows of a long text are heeded.
    """
    if task == "regression":
        return np.asarray(outputs.mean(axis=0))
    logs = np.log(np.maximum(outputs, _TINY))
    if task == "multi-label":
        odds = (logs - np.log(np.maximum(1 - outputs, _TINY))).mean(axis=0)
        return np.asarray(np.exp(-np.logaddexp(0, -odds)))
    return softmax(logs.mean(axis=0))


def vote(task: TaskName, outputs: Floats, thresholds: Sequence[Sequence[float] | None]) -> Floats:
    """Return (votes + mean probability) / (M + 1): outputs [M, N, C] -> [N, C].

    The likeliest class (of several labels: those with at least 1/2) has the most votes; of equal votes the higher mean
    probability decides. A member votes as it answers, by its own threshold.
    """
    if task == "regression":
        raise ValueError("numbers cannot be voted on")
    pairs = zip(outputs, thresholds, strict=True)
    votes = np.sum([_decide(task, one, cut) for one, cut in pairs], axis=0)
    return np.asarray((votes + outputs.mean(axis=0)) / (len(outputs) + 1))


def _decide(task: TaskName, probabilities: Floats, thresholds: Sequence[float] | None) -> Floats:
    """Return 1 for what a member answers, else 0, [N, C]."""
    if task == "multi-label":
        return np.asarray(probabilities >= (_HALF if thresholds is None else np.asarray(thresholds)), dtype=np.float64)
    chosen: NDArray[Any] = probabilities.argmax(axis=1)
    if thresholds is not None and task == "single-label":
        chosen = (probabilities[:, 1] >= thresholds[0]).astype(np.int64)
    return np.asarray(np.eye(probabilities.shape[1])[chosen])


def softmax(logits: Floats) -> Floats:
    """Return the soft-max over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _per_text(task: TaskName, outputs: Sequence[Outputs], combine: Callable[[Floats], Floats]) -> Outputs:
    """Combine stacked outputs; those of tokens text by text."""
    if task == "tokens":
        return [combine(np.stack(words)) for words in zip(*outputs, strict=True)]
    return combine(np.stack([np.asarray(one) for one in outputs]))
