"""What chooses the best weights: the validation metrics of a task, from the logits that the Trainer collects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import EvalPrediction

from toughen.assess.metrics import SOFT_LOG_LOSS, soft_log_loss, task_metrics
from toughen.data.columns.soft_labels import most_probable
from toughen.data.read.raw import quote_names
from toughen.engine.likelihood import IGNORED, LIKELIHOODS
from toughen.engine.objectives import CrossEntropy
from toughen.tasks import TaskName

_CLASSWISE = ("f1", "precision", "recall", "roc_auc", "average_precision", "mcc", "f1_micro", "f1_weighted")
_MACRO = ("f1", "precision", "recall", "roc_auc", "average_precision")
_OUTSIDE = "O"


@dataclass(frozen=True)
class Choice:
    """What chooses the best weights, given the validation rows.

    Attributes:
        metric: by which they are chosen.
        present: classes that the rows have, where some are absent and the metric is a mean over classes; None: all.
        said: why it is not the metric that was asked for, or not over all classes; None where it is.
    """

    metric: str
    present: tuple[int, ...] | None = None
    said: str | None = None


def choice(metric: str, task: TaskName, labels: Any, label_names: Sequence[str]) -> Choice:
    """Return what can choose with these validation rows: a metric that some evaluation leaves undefined cannot.

    Args:
        metric: asked for, of the task (see :func:`toughen.assess.selection.selecting_metric`).
        task: what a label is.
        labels: of the validation rows, as in `Splits`.
        label_names: names of the classes.
    """
    if task == "regression":
        constant = metric in ("pearson", "spearman", "r2") and len(np.unique(np.asarray(labels))) < 2
        return _by_loss(metric, "every number in validation is the same") if constant else Choice(metric)
    if metric not in _CLASSWISE:
        return Choice(metric)
    counts, rows = label_counts(task, labels, len(label_names))
    if task == "tokens":
        bare = not any(n for n, name in zip(counts, label_names, strict=True) if name != _OUTSIDE)
        return _by_loss(metric, "validation has no entity") if bare and metric != "accuracy" else Choice(metric)
    ranks = metric == "roc_auc"
    has = [0 < n < rows if ranks and rows is not None else n > 0 for n in counts]
    present = tuple(i for i, known in enumerate(has) if known)
    if len(present) == len(counts):
        return Choice(metric)
    absent = quote_names([name for name, known in zip(label_names, has, strict=True) if not known])
    if not present or (task == "single-label" and len(present) < 2 and metric in ("roc_auc", "mcc")):
        return _by_loss(metric, f"validation has no two classes (it lacks {absent})")
    if metric not in _MACRO:
        return Choice(metric)
    said = f"validation has no text of {absent}: the best weights are chosen by {metric} over the classes that it has"
    return Choice(metric, present, said)


def _by_loss(metric: str, why: str) -> Choice:
    return Choice("loss", None, f"{why}, so that {metric} is undefined: the best weights are chosen by the loss")


@dataclass(frozen=True)
class Validation:
    """Scores the validation rows of a training.

    Attributes:
        task: what a label is.
        label_names: names of the classes.
        chosen: the metric that chooses the best weights.
        owners: the text of each validation row, where a text has several (windows); None: one each.
        present: classes over which the chosen metric is averaged, where it is not all (see :func:`choice`).
        weights: [N] what each validation row counts for, in the loss too; None: all alike.
    """

    task: TaskName
    label_names: tuple[str, ...]
    chosen: str
    owners: NDArray[np.int64] | None = None
    present: tuple[int, ...] | None = None
    weights: NDArray[np.float64] | None = None

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Return the metrics that are numbers, the chosen one among them.

        Where that is undefined because the model says the same of every text, it is what scikit-learn makes of a
        division by zero, 0: that is a poor score, and no reason to stop.
        """
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        outputs, labels = self._outputs(np.asarray(logits), np.asarray(prediction.label_ids))
        weights, soft = self._text_weights(), None
        if self.task == "single-label" and np.ndim(labels) == 2:
            soft, labels = labels, most_probable(labels)
        metrics = task_metrics(self.task, outputs, labels, self.label_names, weights=weights)
        if soft is not None:
            metrics[SOFT_LOG_LOSS] = soft_log_loss(outputs, soft, weights)
        numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float)) and name != "n"}
        if self.present is not None:
            numbers[self.chosen] = over_classes(self.chosen, self.task, outputs, labels, self.present, weights)
        elif self.chosen == "precision" and numbers.get(self.chosen) is None and self.task != "tokens":
            classes = range(1 if np.shape(outputs)[1] == 2 and self.task == "single-label" else 0, np.shape(outputs)[1])
            numbers[self.chosen] = over_classes(self.chosen, self.task, outputs, labels, tuple(classes), weights)
        elif self.chosen != "loss":
            numbers.setdefault(self.chosen, 0.0)
        if self.weights is not None:  # in place of the Trainer's, which counts all rows alike
            numbers["loss"] = self._loss(np.asarray(logits), np.asarray(prediction.label_ids), self.weights)
        return numbers

    def _loss(self, logits: NDArray[Any], labels: NDArray[Any], weights: NDArray[np.float64]) -> float:
        likelihood, truth = LIKELIHOODS[self.task], torch.as_tensor(labels)
        losses = likelihood.loss(torch.as_tensor(logits).double(), truth, CrossEntropy())
        size = torch.as_tensor(weights)
        return float((losses * size).sum() / (likelihood.units(truth) * size).sum())

    def _text_weights(self) -> NDArray[np.float64] | None:
        """Return what each text counts for: its windows' weights together."""
        if self.weights is None or self.owners is None:
            return self.weights
        texts = np.unique(self.owners, return_inverse=True)[1]
        return np.bincount(texts, weights=self.weights).astype(np.float64)

    def _outputs(self, logits: NDArray[Any], labels: NDArray[Any]) -> tuple[Any, Any]:
        wide = torch.as_tensor(logits).double()
        if self.task == "tokens":
            rows = zip(wide.softmax(-1).numpy(), labels, strict=True)
            pairs = [(p[: len(y)][y != IGNORED], y[y != IGNORED]) for p, y in rows]
            return [p for p, _ in pairs], [y.tolist() for _, y in pairs]
        if self.task == "regression":
            return self._per_text(wide.numpy().reshape(len(labels), -1), labels, first=True)
        probabilities = wide.sigmoid() if self.task == "multi-label" else wide.softmax(-1)
        return self._per_text(probabilities.numpy(), labels)

    def _per_text(self, values: NDArray[Any], labels: NDArray[Any], first: bool = False) -> tuple[Any, Any]:
        """Average the windows of each text; with ``first`` take the only column."""
        if self.owners is not None:
            _, starts, owner = np.unique(self.owners, return_index=True, return_inverse=True)
            sums = np.zeros((len(starts), values.shape[1]))
            np.add.at(sums, owner, values)
            values, labels = sums / np.bincount(owner)[:, None], labels[starts]
        return (values[:, 0] if first else values), labels


def over_classes(
    metric: str,
    task: TaskName,
    outputs: NDArray[np.float64],
    labels: NDArray[Any],
    classes: Sequence[int],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Return the mean of a metric over some of the classes, each against the rest; 0 where a class has nothing.

    Args:
        metric: f1, precision, recall, roc_auc or average_precision.
        task: single-label or multi-label.
        outputs: probabilities [N, C].
        labels: [N] ids, or [N, C] of 0 and 1.
        classes: that have texts with and texts without them.
        weights: [N] what each text counts for; None: all alike.
    """
    from sklearn import metrics

    hot = np.asarray(labels) if task == "multi-label" else np.eye(outputs.shape[1])[np.asarray(labels, np.int64)]
    said = outputs >= 0.5 if task == "multi-label" else np.eye(outputs.shape[1])[outputs.argmax(1)]
    if metric in ("roc_auc", "average_precision"):
        score = metrics.roc_auc_score if metric == "roc_auc" else metrics.average_precision_score
        return float(np.mean([score(hot[:, k], outputs[:, k], sample_weight=weights) for k in classes]))
    score = getattr(metrics, f"{metric}_score")
    return float(np.mean([score(hot[:, k], said[:, k], zero_division=0.0, sample_weight=weights) for k in classes]))


def owners_of(tokenised: Any) -> NDArray[np.int64] | None:
    """Return the text of each row of a tokenised dataset, None where each text is one row."""
    rows: NDArray[np.int64] = np.asarray(tokenised["row"]) if "row" in tokenised.column_names else np.arange(0)
    return rows if len(np.unique(rows)) < len(rows) else None


def label_counts(task: TaskName, labels: Sequence[Any] | NDArray[Any], classes: int) -> tuple[list[int], int | None]:
    """Return the rows (or words) per class, and the rows in all where a row may have several labels.

    A number has no classes: ([], None).
    """
    if task == "regression":
        return [], None
    if task == "multi-label":
        hot = np.asarray(labels)
        return hot.sum(0).astype(int).tolist(), len(hot)
    ids = np.concatenate([np.asarray(row) for row in labels]) if task == "tokens" else np.asarray(labels)
    return np.bincount(ids, minlength=classes).tolist(), None


@contextmanager
def scored_in_float32(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Compute inside, if wanted, as a saved model does: without the half precision that accelerate puts on ``forward``.

    So what is logged while training is what the table says at its end, and the weights are chosen by it.
    """
    own, wrapped = model.__dict__.get("_original_forward"), model.__dict__.get("forward")
    if not wanted or own is None or wrapped is None:
        yield
        return
    setattr(model, "forward", own)  # noqa: B010 (a method of the instance, as accelerate sets it)
    try:
        yield
    finally:
        setattr(model, "forward", wrapped)  # noqa: B010
