"""The one gate that labels pass on their way into a step: their shape and their kind against the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from toughen.engine.likelihood import IGNORED
from toughen.errors import InputError
from toughen.tasks import TaskName

SUM_TOLERANCE = 1e-3
"""By how much probabilities may miss a sum of 1: those of half precision do."""
_UNSAID = 2
"""What transformers' configs have for ``num_labels`` where nobody says it."""
_EXPECTED: dict[TaskName, str] = {
    "single-label": "[B] class ids, whole numbers, or [B, K] probabilities of the K classes",
    "multi-label": "[B, K], 0 or 1 for each of the K labels",
    "regression": "[B] numbers, one per text",
    "tokens": "[B, T] class ids, whole numbers, -100 where there is none",
}


def with_fitting_labels(batch: Mapping[str, Tensor], task: TaskName, classes: int | None) -> Mapping[str, Tensor]:
    """Return the batch with labels that its loss can be computed from: [B, 1] becomes [B] where a row has one.

    A label of another shape would not always fail: [B, 1] numbers against [B] outputs become a [B, B] loss.

    Args:
        batch: with ``labels`` (or ``label``, as transformers' collators take it).
        task: what a label is.
        classes: K, how many numbers the model answers with per text (or token); None is not known.

    Raises:
        InputError: naming what was given, what the task has and what to do.
    """
    name = "labels" if "labels" in batch else "label"
    labels = batch[name]
    if task in ("single-label", "regression") and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
        batch = {**batch, name: labels}
    wrong = _misfit(labels, task, classes)
    if wrong:
        given = f"{list(labels.shape)} of {str(labels.dtype).removeprefix('torch.')}"
        raise InputError(f"the labels of a batch are {given}, but task {task} has {_EXPECTED[task]}; {wrong}")
    return batch


def outputs_per_text(model: Any) -> int | None:
    """Return how many numbers a model answers with per text (or token), as its config says; None is not known.

    A config that says nothing about it has ``num_labels`` 2: a model of one's own may answer with another number.
    """
    stated: int | None = getattr(getattr(model, "config", None), "num_labels", None)
    obeys = type(model).__module__.partition(".")[0] in ("transformers", "toughen", "peft")
    return stated if obeys or stated != _UNSAID else None


def _misfit(labels: Tensor, task: TaskName, classes: int | None) -> str:
    """Return what to do about labels that do not fit, or nothing."""
    whole = not (labels.is_floating_point() or labels.is_complex())
    if task == "single-label" and labels.is_floating_point() and labels.ndim == 2:
        return _misfit_of_probabilities(labels, classes)
    if task in ("single-label", "tokens") and not whole:
        return "give whole numbers, or name the task: regression."
    dimensions = 2 if task in ("multi-label", "tokens") else 1
    if labels.ndim != dimensions:
        if task == "regression" and labels.ndim == 2:
            return "a model of several numbers per text is not trained here; train one per number."
        return "give one label per text, or name the task that the labels are of."
    if task == "multi-label" and classes is not None and labels.shape[1] != classes:
        return f"the model has {classes} labels (num_labels); give a column for each."
    if task == "regression" and classes not in (None, 1):
        return f"the model answers with {classes} numbers per text (num_labels); make it with num_labels=1."
    return ""


def _misfit_of_probabilities(labels: Tensor, classes: int | None) -> str:
    if classes is not None and labels.shape[1] != classes:
        return f"the model has {classes} labels (num_labels); give a probability for each."
    if labels.device.type != "cpu":  # a GPU would be waited for
        return ""
    given = (labels != IGNORED).any(1)
    wrong = given & ((labels.sum(1) - 1).abs().gt(SUM_TOLERANCE) | labels.lt(0).any(1) | labels.isnan().any(1))
    if not bool(wrong.any()):
        return ""
    row = int(wrong.int().argmax())
    values = ", ".join(f"{value:.4g}" for value in labels[row, :6].tolist()) + (", ..." if labels.shape[1] > 6 else "")
    return (
        f"row {row} holds {values}, and probabilities are not negative and sum to 1: divide votes by their number, or "
        "name the task: multi-label."
    )


def are_multi_hot(label: Any, classes: int) -> bool:
    """Return whether a row's label is a number per class: what transformers' models take for several labels."""
    if isinstance(label, Tensor):
        return label.ndim == 1 and len(label) == classes and label.is_floating_point()
    listed = list(label) if hasattr(label, "__len__") and not isinstance(label, str) else []
    return len(listed) == classes > 1 and all(isinstance(value, (float, np.floating)) for value in listed)
