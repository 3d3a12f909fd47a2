"""Scores of a classifier on labelled texts; one that is undefined says why and is never 0."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toughen.arrays import Floats
from toughen.assess.definition import (
    POSITIVE_CLASS,
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
from toughen.assess.entities import entity_metrics
from toughen.assess.multilabel import multilabel_metrics
from toughen.assess.regression import regression_metrics
from toughen.assess.verdict import CONSTANT, constant_answer
from toughen.data.config import SOFT_LABEL
from toughen.tasks import TaskName

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier

DEFAULT_METRIC: dict[TaskName, str] = {
    "single-label": "f1",
    "multi-label": "f1",
    "regression": "pearson",
    "tokens": "f1",
}
"""The metric that training selects by unless the recipe names another."""

SOFT_LOG_LOSS = "soft_log_loss"
"""How well probabilities fit soft labels; every other metric reads the most probable class."""
_ROW_SUM_TOLERANCE = 1e-2  # bf16 soft-max rows miss 1 by up to some 4e-3


def task_metrics(
    task: TaskName,
    outputs: Any,
    labels: Any,
    label_names: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
    weights: ArrayLike | None = None,
) -> Metrics:
    """Score a model's outputs by the metrics of its task.

    Args:
        task: decides what the other arguments are and which function answers, whose docstring has the definitions.
        outputs: single-label [N, C] and multi-label [N, K] probabilities, regression [N] values, tokens a list of N
            arrays [words, K] of probabilities.
        labels: as in `Splits`: [N] ids; [N, K] of 0 and 1; [N] numbers; N lists of a tag id per word.
        label_names: names of the C or K classes, default their numbers (tokens need them: tags name entities).
        thresholds: multi-label K, single-label one (binary only); None is 0.5 each, or the likelier class.
        weights: [N] above 0, what each row counts for; None = all alike. `n` stays the number of rows.

    Raises:
        RuntimeError: if an output is not finite.
        ValueError: if shapes, ids, thresholds or weights do not fit the task.
    """
    if task == "single-label":
        if thresholds is not None and len(thresholds) != 1:
            raise ValueError(f"single-label classification takes one threshold, got {len(thresholds)}")
        cut = thresholds[0] if thresholds else None
        return classification_metrics(outputs, labels, label_names, threshold=cut, weights=weights)
    if task == "multi-label":
        return multilabel_metrics(outputs, labels, label_names, thresholds=thresholds, weights=weights)
    if thresholds is not None:
        raise ValueError(f"the task {task} has no thresholds")
    if task == "regression":
        return regression_metrics(outputs, labels, weights=weights)
    if label_names is None:
        raise ValueError("tokens are scored by the names of their tags; give label_names")
    return entity_metrics(outputs, labels, label_names, weights=weights)


def classification_metrics(
    probabilities: ArrayLike,
    labels: ArrayLike,
    label_names: Sequence[str] | None = None,
    *,
    threshold: float | None = None,
    weights: ArrayLike | None = None,
) -> Metrics:
    """Score predicted probabilities against labels.

    With two classes precision, recall and F1 are those of the positive class, id 1. Beyond two classes the same names
    hold the macro average over all classes, `*_weighted` the average weighted by support, and `roc_auc` the
    one-versus-rest macro average. A macro average is undefined as soon as one class's part of it is.

    Args:
        probabilities: [N, C] float, rows sum to 1 (up to float error; they are renormalised in float64).
        labels: [N] int, ids in 0..C-1.
        label_names: C names, used in the sentences that explain an undefined metric; default the ids.
        threshold: of two classes, predict the positive one where its probability is at least this, in [0, 1]; None
            predicts the likelier class (the negative one where both are equal).
        weights: [N] above 0, what each example counts for; None = all alike.

    Returns:
        accuracy, precision, recall, f1, roc_auc, mcc, each in its usual range; log_loss in nats, with probabilities
        clipped at float64's epsilon (2.2e-16) only; `n` the number of examples; `undefined`: {metric: why} for every
        metric that is None; of two classes `positive_class`, the name of id 1.

    Raises:
        RuntimeError: if a probability is not finite: the model, not the user's data, is at fault.
        ValueError: if shapes, label ids or the threshold do not fit.
    """
    scored = Scored.of(probabilities, labels, label_names, threshold, weights)
    if scored.classes > 2:
        return apply_rules(scored, {**_SHARED, **_MULTI})
    return apply_rules(scored, {**_SHARED, **_BINARY}) | {POSITIVE_CLASS: scored.names[1]}


@dataclass(frozen=True)
class Scored:
    """Checked inputs: labels [N], predictions [N], names of the C classes, and the model's numbers twice.

    Attributes:
        probabilities: [N, C] float64, whose rows sum to 1: what a likelihood needs.
        scores: [N, C] as they were given: what ranks. Dividing rows by their sums parts texts that tie.
        weights: [N] what each example counts for; None = all alike.
    """

    probabilities: NDArray[np.float64]
    scores: NDArray[np.float64]
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
        threshold: float | None = None,
        weights: ArrayLike | None = None,
    ) -> Scored:
        """Check and convert; raises as `classification_metrics` says."""
        p = np.asarray(probabilities, dtype=np.float64)
        y = np.asarray(labels)
        _check_shapes(p, y)
        names = checked_names(label_names, p.shape[1])
        refuse_non_finite(p)
        sums = p.sum(axis=1, keepdims=True)
        if (p < 0).any() or (abs(sums - 1) > _ROW_SUM_TOLERANCE).any():
            raise ValueError("probabilities must be at least 0 and sum to 1 in each row; these look like logits")
        return cls(p / sums, p, y.astype(np.int64), _predictions(p, threshold), names, checked_weights(weights, len(p)))

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.probabilities.shape[1])

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """[C] examples that carry each label."""
        return np.bincount(self.labels, minlength=self.classes)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """[C] examples for which each class was predicted."""
        return np.bincount(self.predictions, minlength=self.classes)

    @property
    def averaged(self) -> NDArray[np.bool_]:
        """[C] the classes that precision, recall and F1 speak of: the positive one of two, all of more."""
        return np.arange(self.classes) >= (1 if self.classes == 2 else 0)


def _predictions(p: NDArray[np.float64], threshold: float | None) -> NDArray[np.int64]:
    if threshold is None:
        return np.asarray(p.argmax(axis=1))
    if p.shape[1] != 2 or not 0 <= threshold <= 1:
        raise ValueError(f"a threshold is in [0, 1] and for two classes, got {threshold} for {p.shape[1]}")
    return (p[:, 1] >= threshold).astype(np.int64)


def _check_shapes(p: NDArray[np.float64], y: NDArray[np.generic]) -> None:
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"probabilities must have shape [N, C] with C of at least 2, got {list(p.shape)}")
    if y.shape != (len(p),):
        raise ValueError(f"labels must have shape [{len(p)}] like the probabilities, got {list(y.shape)}")
    if len(y) and not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels must be integer ids, got {y.dtype}")
    if len(y) and not (y.min() >= 0 and y.max() < p.shape[1]):
        raise ValueError(f"label ids must lie in 0..{p.shape[1] - 1}, got {y.min()}..{y.max()}")


# Obstacles beyond the shared ones: why a metric is undefined, or None.


def _supported_never_predicted(s: Scored) -> str | None:
    names = list_classes(s, (s.support > 0) & (s.predicted == 0))
    return f"no example was predicted as {names}" if names else None


def _class_absent(s: Scored) -> str | None:
    names = list_classes(s, s.support == 0)
    return f"it compares every class with the rest, and no example has the label {names}" if names else None


def _constant(s: Scored) -> str | None:
    for what, counts in (("label", s.support), ("prediction", s.predicted)):
        if (counts > 0).sum() == 1:
            return f"every {what} is {list_classes(s, counts > 0)}, and a constant correlates with nothing"
    return None


# Measures: scikit-learn does the arithmetic; it is imported late because it is slow to import.


def _accuracy(s: Scored) -> float:
    return float(np.average(s.predictions == s.labels, weights=s.weights))


def _class_average(name: str, average: str) -> Callable[[Scored], float]:
    def measure(s: Scored) -> float:
        from sklearn import metrics

        score = getattr(metrics, f"{name}_score")
        # zero_division decides classes of weight 0 only: everything else was refused before.
        labels = None if average == "binary" else list(range(s.classes))
        how = {"labels": labels, "average": average, "zero_division": 0.0, "sample_weight": s.weights}
        return float(score(s.labels, s.predictions, **how))

    return measure


def _roc_auc(s: Scored) -> float:
    from sklearn.metrics import roc_auc_score

    ids = np.flatnonzero(s.averaged)
    return float(np.mean([roc_auc_score(s.labels == i, s.scores[:, i], sample_weight=s.weights) for i in ids]))


def _mcc(s: Scored) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(s.labels, s.predictions, sample_weight=s.weights))


def _log_loss(s: Scored) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(s.labels, s.probabilities, labels=list(range(s.classes)), sample_weight=s.weights))


_SHARED: dict[str, Rule[Scored]] = {
    "accuracy": (nothing, _accuracy),
    "roc_auc": (_class_absent, _roc_auc),
    "mcc": (_constant, _mcc),
    "log_loss": (nothing, _log_loss),
}
_BINARY: dict[str, Rule[Scored]] = {
    "precision": (never_predicted, _class_average("precision", "binary")),
    "recall": (no_support, _class_average("recall", "binary")),
    "f1": (neither, _class_average("f1", "binary")),
}
_MULTI: dict[str, Rule[Scored]] = {
    "precision": (never_predicted, _class_average("precision", "macro")),
    "recall": (no_support, _class_average("recall", "macro")),
    "f1": (neither, _class_average("f1", "macro")),
    "precision_weighted": (_supported_never_predicted, _class_average("precision", "weighted")),
    "recall_weighted": (nothing, _class_average("recall", "weighted")),
    "f1_weighted": (nothing, _class_average("f1", "weighted")),
}


def weights_of(dataset: Any) -> NDArray[np.float64] | None:
    """Return the column ``weight`` of a dataset, [N]; None where it has none."""
    return np.asarray(dataset["weight"][:], np.float64) if "weight" in dataset.column_names else None


def soft_log_loss(probabilities: ArrayLike, soft_labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean cross-entropy of probabilities under soft labels, in nats.

    Its least value is the mean entropy of the labels, not 0. Where every label is certain it is the log loss.

    Args:
        probabilities: [N, K], clipped at float64's epsilon as the log loss is.
        soft_labels: [N, K], rows sum to 1.
        weights: [N] above 0, what each row counts for; None = all alike.
    """
    p, q = np.asarray(probabilities, np.float64), np.asarray(soft_labels, np.float64)
    if p.shape != q.shape:
        raise ValueError(f"soft labels must have the shape of the probabilities, {list(p.shape)}, got {list(q.shape)}")
    p = np.clip(p / p.sum(1, keepdims=True), np.finfo(np.float64).eps, 1.0)
    return float(np.average(-(q * np.log(p)).sum(1), weights=checked_weights(weights, len(p))))


def soft_labels_of(dataset: Any) -> Floats | None:
    """Return the column ``soft_label`` of a dataset, [N, K]; None where it has none."""
    return np.asarray(dataset[SOFT_LABEL][:], np.float64) if SOFT_LABEL in dataset.column_names else None


def soft_metrics(probabilities: Any, dataset: Any, weights: ArrayLike | None = None) -> Metrics:
    """Return what is told of soft labels beside the metrics of a task; nothing where the dataset has none.

    Args:
        probabilities: [N, K] of the model.
        dataset: the rows.
        weights: as for :func:`soft_log_loss`.
    """
    found = soft_labels_of(dataset)
    return {} if found is None else {SOFT_LOG_LOSS: soft_log_loss(probabilities, found, weights)}


def score(classifier: Classifier, dataset: Any, *, batch_size: int = 64) -> Metrics:
    """Score a labelled dataset (``text``, ``label``, maybe ``weight``): its metrics, and how long that took."""
    return score_outputs(classifier, dataset, batch_size=batch_size)[0]


def score_outputs(classifier: Classifier, dataset: Any, *, batch_size: int = 64) -> tuple[Metrics, Any]:
    """Return what `score` does, and the classifier's outputs."""
    start = time.perf_counter()
    outputs = classifier.outputs(dataset, batch_size=batch_size)
    seconds = time.perf_counter() - start
    labels = dataset["label"][:]
    asked = (classifier.task, outputs, labels, classifier.label_names, classifier.thresholds)
    weights = weights_of(dataset)
    metrics, constant = task_metrics(*asked, weights=weights), constant_answer(*asked)
    metrics |= soft_metrics(outputs, dataset, weights)
    if constant is not None:
        metrics[CONSTANT] = constant
    return metrics | {"seconds": seconds, "samples_per_second": len(labels) / max(seconds, 1e-9)}, outputs
