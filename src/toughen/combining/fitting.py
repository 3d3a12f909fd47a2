"""What is fitted on rows that no member trained on: weights of members, and a stacker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from toughen.arrays import Floats
from toughen.classifier.temperature import flat
from toughen.runs.rules import Outputs, Stacker, features
from toughen.tasks import TaskName

_EPSILON = float(np.finfo(np.float64).eps)  # where `log_loss` clips, too
_MOST_STEPS = 500


def fit_weights(task: TaskName, outputs: Sequence[Outputs], labels: Any) -> tuple[float, ...]:
    """Minimise the log loss of the weighted mean of probabilities over weights of at least 0 with the sum 1.

    The loss is convex in the weights; scipy's SLSQP starts from equal ones. Of several labels it is the mean over
    labels, of tokens over words, of regression the mean squared error.

    Args:
        task: what the outputs mean.
        outputs: M members' outputs of the same N texts.
        labels: of the texts, as in `toughen.data.Splits`.

    Returns:
        [M] weights. Equal ones if nothing is better on these rows.
    """
    loss = _Loss(task, outputs, labels)
    count = len(outputs)
    equal = np.full(count, 1 / count)
    found = minimize(
        loss.value,
        equal,
        jac=loss.slope,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": _MOST_STEPS},
    )
    weights = np.clip(found.x, 0, None)
    weights = weights / weights.sum()
    best = weights if loss.value(weights) < loss.value(equal) else equal
    return tuple(best.tolist())


class _Loss:
    """The loss of weights, and its gradient."""

    def __init__(self, task: TaskName, outputs: Sequence[Outputs], labels: Any) -> None:
        """Reduce everything to [R, M]: each member's probability of what is true (regression: its value)."""
        self._squared = task == "regression"
        self._target = np.asarray(labels, dtype=np.float64) if self._squared else None
        self._of_truth = np.stack([_of_truth(task, one, labels) for one in outputs], axis=1)

    def value(self, weights: Floats) -> float:
        mixed = self._of_truth @ weights
        if self._target is not None:
            return float(((mixed - self._target) ** 2).mean())
        return float(-np.log(np.clip(mixed, _EPSILON, 1)).mean())

    def slope(self, weights: Floats) -> Floats:
        mixed = self._of_truth @ weights
        inner = 2 * (mixed - self._target) if self._target is not None else -1 / np.clip(mixed, _EPSILON, 1)
        return np.asarray((inner[:, None] * self._of_truth).mean(axis=0))


def _of_truth(task: TaskName, outputs: Outputs, labels: Any) -> Floats:
    if task == "regression":
        return np.asarray(outputs, dtype=np.float64)
    probabilities, truth = flat(task, outputs, labels)
    if task == "multi-label":
        return np.asarray(np.where(truth == 1, probabilities, 1 - probabilities).ravel())
    return np.asarray(probabilities[np.arange(len(truth)), truth])


def fit_stack(outputs: Sequence[Floats], labels: Any) -> Stacker:
    """Fit scikit-learn's logistic regression (C = 1) on M members' probabilities [N, C] of one label per text.

    Raises:
        ValueError: if a class has no row.
    """
    from sklearn.linear_model import LogisticRegression

    ids, classes = np.asarray(labels), outputs[0].shape[1]
    if len(np.unique(ids)) != classes:
        raise ValueError("a stacker needs rows of every class")
    fitted = LogisticRegression(C=1.0, max_iter=_MOST_STEPS * 4).fit(features(outputs), ids)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if classes == 2:  # one row: the log odds of the second class
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercept = np.concatenate([np.zeros_like(intercept), intercept])
    return Stacker(tuple(tuple(row) for row in coefficients.tolist()), tuple(intercept.tolist()))
