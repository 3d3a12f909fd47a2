"""Counting the rows of an optimiser step, and rows that only fill up the last batch of a process."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from toughen.training.objectives import IGNORED


class FillerRows:
    """The training rows with a weight each: a negative index ~i is row i as a filler, with weight 0."""

    filler_aware = True

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        filler = index < 0
        return dict(self._dataset[~index if filler else index]) | {"weight": 0.0 if filler else 1.0}


class Window(NamedTuple):
    """Rows of one optimiser step, over all its micro-batches and the mean over processes."""

    examples: Tensor | float
    labelled: Tensor | float


def count_rows(batch: dict[str, Any]) -> tuple[Any, Any]:
    """Count the rows of a batch and those of them that have a label, leaving fillers (weight 0) out."""
    labels = batch["labels"] if "labels" in batch else batch["label"]
    if "weight" in batch:
        weight = batch["weight"]
        return weight.sum(), (weight * (labels != IGNORED)).sum()
    return float(len(labels)), (labels != IGNORED).sum()


def rows_per_class(dataset: Any, classes: int) -> list[int]:
    """Count the labelled rows of each class, in a ``datasets.Dataset`` or any other indexable one."""
    columns = getattr(dataset, "column_names", None) or dataset[0]
    column = "labels" if "labels" in columns else "label"
    by_column = hasattr(dataset, "column_names")
    labels = torch.as_tensor(dataset[column][:] if by_column else [dataset[i][column] for i in range(len(dataset))])
    return torch.bincount(labels[labels != IGNORED], minlength=classes).tolist()
