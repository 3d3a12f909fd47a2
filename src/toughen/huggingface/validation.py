"""What chooses the best weights: the validation metrics of a task, from the logits that the Trainer collects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import EvalPrediction

from toughen.assess.metrics import DEFAULT_METRIC, LESS_IS_BETTER, task_metrics
from toughen.engine.likelihood import IGNORED
from toughen.errors import InputError
from toughen.tasks import TaskName

_CLASSES = ("f1", "accuracy", "roc_auc", "mcc", "precision", "recall", "log_loss", "loss")
CHOICES: dict[TaskName, tuple[str, ...]] = {
    "single-label": _CLASSES,
    "multi-label": (
        *("f1", "f1_micro", "f1_weighted", "precision", "recall", "roc_auc", "average_precision", "accuracy"),
        *("hamming_loss", "log_loss", "loss"),
    ),
    "regression": ("pearson", "spearman", "r2", "mse", "rmse", "mae", "loss"),
    "tokens": ("f1", "precision", "recall", "accuracy", "loss"),
}
"""The metrics that can choose the best weights, by task."""


def chosen_metric(asked: str | None, task: TaskName) -> str:
    """Return the metric that chooses, the task's own if none is asked for.

    Raises:
        InputError: if the task has no such metric.
    """
    metric = asked or DEFAULT_METRIC[task]
    if metric not in CHOICES[task]:
        raise InputError(f"training.metric must be one of {', '.join(CHOICES[task])} for {task}, got {metric!r}.")
    return metric


@dataclass(frozen=True)
class Validation:
    """Scores the validation rows of a training.

    Attributes:
        task: what a label is.
        label_names: names of the classes.
        chosen: the metric that chooses the best weights.
        owners: the text of each validation row, where a text has several (windows); None: one each.
    """

    task: TaskName
    label_names: tuple[str, ...]
    chosen: str
    owners: NDArray[np.int64] | None = None

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Return the metrics that are numbers; an undefined chosen one is the worst there is."""
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        outputs, labels = self._outputs(np.asarray(logits), np.asarray(prediction.label_ids))
        metrics = task_metrics(self.task, outputs, labels, self.label_names)
        numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float)) and name != "n"}
        if self.chosen != "loss":
            # An undefined score is no score: never the best, and written as a number the Trainer can compare.
            numbers.setdefault(self.chosen, float("inf") if self.chosen in LESS_IS_BETTER else float("-inf"))
        return numbers

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
