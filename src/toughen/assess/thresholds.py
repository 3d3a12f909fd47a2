"""From which probability on a label is predicted: the threshold that validation's F1 asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toughen.arrays import Floats
from toughen.assess.metrics import Scored
from toughen.assess.multilabel import MultiScored
from toughen.tasks import TaskName

_UNDECIDED = 0.5


def tune_thresholds(
    task: TaskName, probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> list[float]:
    """Find the thresholds that maximise F1 on these examples, exactly: every cut between two scores is tried.

    Tune on validation, never on test; afterwards validation's own F1 is the best of many and flatters the model.

    Args:
        task: multi-label, or single-label with two classes.
        probabilities: [N, K], or [N, 2] with the positive class second.
        labels: [N, K] of 0 and 1, or [N] ids.
        weights: [N] above 0, what each example counts for; None = all alike.

    Returns:
        One threshold per label, or the positive class's alone: predict where the probability is at least that.
        It lies midway between two neighbouring scores (or 0 and the lowest); of several best ones the nearest to 0.5
        is taken; 0.5 stands for a label that no example carries.

    Raises:
        RuntimeError: if a probability is not finite.
        ValueError: if the task has no thresholds, or shapes or labels do not fit.
    """
    if task == "multi-label":
        multi = MultiScored.of(probabilities, labels, weights=weights)
        pairs = zip(multi.probabilities.T, multi.labels.T, strict=True)
        return [best_threshold(scores, carried == 1, multi.weights) for scores, carried in pairs]
    if task != "single-label":
        raise ValueError(f"the task {task} has no thresholds")
    binary = Scored.of(probabilities, labels, weights=weights)
    if binary.classes != 2:
        raise ValueError(f"a threshold is for two classes or several labels per text, got {binary.classes} classes")
    return [best_threshold(binary.probabilities[:, 1], binary.labels == 1, binary.weights)]


def best_threshold(scores: Floats, positive: NDArray[np.bool_], weights: Floats | None = None) -> float:
    """Return the threshold in [0, 1] that maximises F1 of scores [N] against a mask [N], by weight; O(n log n)."""
    if not positive.any():
        return _UNDECIDED
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    below = np.append(descending[1:], 0.0)  # the next lower score
    last = np.append(descending[1:] < descending[:-1], True)  # of equal scores; only there can a cut be made
    size = np.ones(len(scores), np.int64) if weights is None else weights
    right, predicted = np.cumsum((positive * size)[order]), np.cumsum(size[order])
    f1 = 2 * right / (right[-1] + predicted)
    cuts = _midway(below, descending)[last & (f1 == f1[last].max())]
    return float(cuts[np.argmin(abs(cuts - _UNDECIDED))])


def _midway(low: Floats, high: Floats) -> Floats:
    """Return the middle, or the higher number where float64 has none between them."""
    middle = (low + high) / 2
    return np.where(middle > low, middle, high)
