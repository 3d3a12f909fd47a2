"""Where the last layer starts: at what the labels are before a text is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from toughen.data.config import SOFT_LABEL
from toughen.engine.head_samples import output_layer
from toughen.model.head_config import Bias
from toughen.tasks import TaskName

if TYPE_CHECKING:
    import datasets

Numbers = npt.NDArray[np.float64]

AUTO: tuple[TaskName, ...] = ("multi-label", "regression")
"""The tasks whose labels lie far from what a zero bias says (one half for every label, the number 0)."""


def starting_bias(
    bias: Bias, task: TaskName, train: Mapping[str, Any] | datasets.Dataset, classes: int
) -> Numbers | None:
    """Return the biases of the last layer that answer with the training labels' own rates, or None to leave them.

    Of one class or tag: log of its rate; of several labels: log odds of each; of a number: the mean. Rates count one
    row more of each class, so that none is 0.

    Source: Karpathy, "A Recipe for Training Neural Networks" (2019), "init well"; the same for one rare class in Lin et
    al., "Focal Loss for Dense Object Detection" (1708.02002), section 4.1.

    Args:
        bias: zero, base-rate, or auto: base-rate for several labels and for a number.
        task: what a label is.
        train: the training rows, whose ``label`` is an id [N], 0 or 1 [N, K], a number [N], or a list of ids (tokens);
            of soft labels ``soft_label`` [N, K] counts.
        classes: outputs of the model, K.

    Returns:
        [K], or None.
    """
    if bias == "zero" or (bias == "auto" and task not in AUTO):
        return None
    labels = train["label"][:]
    if task == "regression":
        return np.asarray([np.mean(labels)], np.float64)
    if task == "multi-label":
        matrix = np.asarray(labels, np.float64)
        rate = (matrix.sum(0) + 1) / (len(matrix) + 2)
        return np.asarray(np.log(rate / (1 - rate)))
    ids = np.concatenate([np.asarray(row) for row in labels]) if task == "tokens" else np.asarray(labels)
    counts = np.bincount(ids, minlength=classes) + 1.0
    if SOFT_LABEL in getattr(train, "column_names", train):
        counts = np.asarray(train[SOFT_LABEL][:], np.float64).sum(0) + 1
    return np.asarray(np.log(counts / counts.sum()))


def set_bias(model: nn.Module, bias: Numbers) -> None:
    """Write biases [K] into the linear layer that makes the logits; a model without one, or without a bias, is left."""
    layer = output_layer(model)
    if layer is not None and layer.bias is not None:
        with torch.no_grad():
            layer.bias.copy_(torch.as_tensor(bias))
