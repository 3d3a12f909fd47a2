"""Which metric is compared or chooses, and whether more or less of it is better."""

from __future__ import annotations

from collections.abc import Collection

from toughen.assess.metrics import DEFAULT_METRIC
from toughen.errors import InputError
from toughen.tasks import TaskName

LESS_IS_BETTER = frozenset(
    (
        "loss",
        "log_loss",
        "hamming_loss",
        "mse",
        "rmse",
        "mae",
        "brier",
        "ece",
        "ece_equal_width",
        "aurc",
        "soft_log_loss",
    )
)
_CLASSES = ("f1", "accuracy", "roc_auc", "mcc", "precision", "recall", "log_loss", "loss")
SELECTING: dict[TaskName, tuple[str, ...]] = {
    "single-label": _CLASSES,
    "multi-label": (
        *("f1", "f1_micro", "f1_weighted", "precision", "recall", "roc_auc", "average_precision", "accuracy"),
        *("hamming_loss", "log_loss", "loss"),
    ),
    "regression": ("pearson", "spearman", "r2", "mse", "rmse", "mae", "loss"),
    "tokens": ("f1", "precision", "recall", "accuracy", "loss"),
}
"""The metrics that can choose the best weights, by task."""


def chosen_metric(
    asked: str | None, known: Collection[str], *, setting: str = "--metric", task: TaskName | None = None
) -> str:
    """Return the metric asked for, or the task's own.

    Args:
        asked: its name; None is f1, or pearson.
        known: the metrics that can be had.
        setting: what asked, and ``task``: for the sentence.

    Raises:
        InputError: if the metric is not known.
    """
    if asked is None:
        return next(name for name in (*DEFAULT_METRIC.values(), *known) if name in known)
    if asked not in known:
        of = "" if task is None else f" for {task}"
        raise InputError(f"{setting} must be one of {', '.join(known)}{of}, got {asked!r}.")
    return asked


def selecting_metric(asked: str | None, task: TaskName) -> str:
    """Return the metric that chooses the best weights, the task's own if none is asked for.

    Raises:
        InputError: if the task has no such metric.
    """
    return chosen_metric(asked, SELECTING[task], setting="training.metric", task=task)
