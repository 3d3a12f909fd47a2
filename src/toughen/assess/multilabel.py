"""Scores where a text carries any number of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toughen.arrays import Floats
from toughen.assess.definition import (
    Metrics,
    Rule,
    apply_rules,
    checked_names,
    checked_weights,
    list_classes,
    neither,
    never_predicted,
    no_support,
    nothing,
    refuse_non_finite,
)

_EPSILON = float(np.finfo(np.float64).eps)


def multilabel_metrics(
    probabilities: ArrayLike,
    labels: ArrayLike,
    label_names: Sequence[str] | None = None,
    *,
    thresholds: Sequence[float] | None = None,
    weights: ArrayLike | None = None,
) -> Metrics:
    """Score one probability per text and label.

    A label is predicted where its probability is at least its threshold. A macro average is undefined as soon as one
    label's part of it is.

    Args:
        probabilities: [N, K] float in [0, 1].
        labels: [N, K] of 0 and 1.
        label_names: K names; default their numbers.
        thresholds: K numbers in [0, 1]; None is 0.5 each.
        weights: [N] above 0, what each text counts for; None = all alike.

    Returns:
        f1, precision, recall (macro averages over labels), f1_micro, f1_weighted (by support), roc_auc and
        average_precision (macro), accuracy (of whole label sets), hamming_loss (share of wrong label decisions),
        log_loss (binary, in nats, mean over texts and labels, clipped at float64's epsilon), n and undefined.

    Raises:
        RuntimeError: if a probability is not finite.
        ValueError: if shapes, labels or thresholds do not fit.
    """
    return apply_rules(MultiScored.of(probabilities, labels, label_names, thresholds, weights), _RULES)


@dataclass(frozen=True)
class MultiScored:
    """Checked inputs: probabilities [N, K] float64, labels and predictions [N, K] of 0 and 1, names, weights [N]."""

    probabilities: Floats
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    names: tuple[str, ...]
    weights: Floats | None = None

    @classmethod
    def of(
        cls,
        probabilities: ArrayLike,
        labels: ArrayLike,
        label_names: Sequence[str] | None = None,
        thresholds: Sequence[float] | None = None,
        weights: ArrayLike | None = None,
    ) -> MultiScored:
        """Check and convert; raises as `multilabel_metrics` says."""
        p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
        if p.ndim != 2 or p.shape[1] < 1:
            raise ValueError(f"probabilities must have shape [N, K] with K of at least 1, got {list(p.shape)}")
        y = y.reshape(p.shape) if len(p) == y.size == 0 else y
        if y.shape != p.shape or not np.isin(y, (0, 1)).all():
            raise ValueError(f"labels must be 0 or 1 and of shape {list(p.shape)}, got shape {list(y.shape)}")
        names = checked_names(label_names, p.shape[1])
        refuse_non_finite(p)
        if (p < 0).any() or (p > 1).any():
            raise ValueError("probabilities must lie in [0, 1]; these look like logits")
        cut = np.full(p.shape[1], 0.5) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
        if cut.shape != (p.shape[1],) or not ((cut >= 0) & (cut <= 1)).all():
            raise ValueError(f"thresholds must be {p.shape[1]} numbers in [0, 1], got {thresholds}")
        return cls(p, y.astype(np.int64), (p >= cut).astype(np.int64), names, checked_weights(weights, len(p)))

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.labels)

    @cached_property
    def support(self) -> NDArray[Any]:
        """[K] texts that carry each label, by their weight."""
        return self._total(self.labels)

    @cached_property
    def predicted(self) -> NDArray[Any]:
        """[K] texts for which each label was predicted, by their weight."""
        return self._total(self.predictions)

    @cached_property
    def right(self) -> NDArray[Any]:
        """[K] texts that carry each label and for which it was predicted, by their weight."""
        return self._total(self.labels & self.predictions)

    def _total(self, marks: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(marks.sum(axis=0) if self.weights is None else self.weights @ marks)

    def mean(self, values: NDArray[Any]) -> float:
        """Return the mean over the texts of [N], by their weight."""
        return float(np.average(values, weights=self.weights))

    @property
    def averaged(self) -> NDArray[np.bool_]:
        """[K] every label."""
        return np.ones(len(self.names), dtype=bool)


def _nothing_to_find(s: MultiScored) -> str | None:
    any_left = s.support.sum() + s.predicted.sum()
    return None if any_left else "no example has any label and none was predicted"


def _no_labels(s: MultiScored) -> str | None:
    return None if s.support.sum() else "no example has any label"


def _one_sided_obstacle(s: MultiScored) -> str | None:
    """Tell the labels that all texts carry, or none, which a ranking cannot separate."""
    missing, full = list_classes(s, s.support == 0), list_classes(s, np.asarray(s.labels.all(axis=0)))
    return f"no example has the label {missing}" if missing else f"every example has the label {full}" if full else None


def _f1(s: MultiScored) -> Floats:
    """[K] F1 = 2 right / (support + predicted), 0 for the labels that have neither, which are refused or weigh 0."""
    return np.asarray(2 * s.right / np.where(s.support + s.predicted > 0, s.support + s.predicted, 1))


def _f1_micro(s: MultiScored) -> float:
    return float(2 * s.right.sum() / (s.support.sum() + s.predicted.sum()))


def _f1_weighted(s: MultiScored) -> float:
    return float((_f1(s) * s.support).sum() / s.support.sum())


def _log_loss(s: MultiScored) -> float:
    of_truth = np.where(s.labels == 1, s.probabilities, 1 - s.probabilities)
    return s.mean(-np.log(np.clip(of_truth, _EPSILON, 1)).mean(axis=1))


def _ranking_score(name: str) -> Callable[[MultiScored], float]:
    """Average one of scikit-learn's scores of a ranking over the labels."""

    def measure(s: MultiScored) -> float:
        from sklearn import metrics

        score = getattr(metrics, name)
        pairs = zip(s.labels.T, s.probabilities.T, strict=True)
        return float(np.mean([score(y, p, sample_weight=s.weights) for y, p in pairs]))

    return measure


_RULES: dict[str, Rule[MultiScored]] = {
    "f1": (neither, lambda s: float(_f1(s).mean())),
    "f1_micro": (_nothing_to_find, _f1_micro),
    "f1_weighted": (_no_labels, _f1_weighted),
    "precision": (never_predicted, lambda s: float((s.right / s.predicted).mean())),
    "recall": (no_support, lambda s: float((s.right / s.support).mean())),
    "roc_auc": (_one_sided_obstacle, _ranking_score("roc_auc_score")),
    "average_precision": (no_support, _ranking_score("average_precision_score")),
    "accuracy": (nothing, lambda s: s.mean((s.labels == s.predictions).all(axis=1))),
    "hamming_loss": (nothing, lambda s: s.mean((s.labels != s.predictions).mean(axis=1))),
    "log_loss": (nothing, _log_loss),
}
