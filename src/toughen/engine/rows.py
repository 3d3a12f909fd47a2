"""Counting the rows of an optimiser step, and rows that only fill up the last batch of a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from toughen.engine.likelihood import IGNORED, Likelihood


class FillerRows:
    """The training rows with a weight each, their own or 1: a negative index ~i is row i as a filler, with weight 0."""

    filler_aware = True

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        filler = index < 0
        row = dict(self._dataset[~index if filler else index])
        return row | {"weight": 0.0 if filler else row.get("weight", 1.0)}


class Window(NamedTuple):
    """Rows of one optimiser step, over all its micro-batches and the mean over processes."""

    examples: Tensor | float
    labelled: Tensor | float


def count_rows(batch: Mapping[str, Tensor], likelihood: Likelihood) -> tuple[Tensor, Tensor]:
    """Count the rows (for tokens: the words) of a batch and those of them that have a label, by their weight."""
    labels = batch["labels"] if "labels" in batch else batch["label"]
    units = likelihood.units(labels)
    if "weight" in batch:
        units = units * batch["weight"]
    return units.sum(), (units * likelihood.known(labels)).sum()


def positive(examples: Tensor | float) -> Tensor | float:
    """Return what to divide by: 1 where nothing counts (fillers only, no labelled word), so that 0 / 0 is 0."""
    return torch.where(examples > 0, examples, 1.0) if isinstance(examples, Tensor) else examples or 1.0


def label_scale(counts: tuple[Tensor, Tensor], examples: Tensor | float, labelled: Tensor | float | None) -> Tensor:
    """Return rows over labelled rows of a step, by which its task loss is scaled (see `toughen.engine.step.Step`).

    Args:
        counts: both of the batch at hand, which stand for the step where ``labelled`` is None.
        examples: rows of the step.
        labelled: those with a label.
    """
    if labelled is None:
        examples, labelled = counts
    # Sums of weights, or under DDP means over processes: no whole numbers, which float32 would round.
    labelled = torch.as_tensor(labelled, dtype=None if isinstance(labelled, Tensor) else torch.float64)
    labelled = labelled.to(torch.float32 if labelled.device.type == "mps" else torch.float64)
    return torch.where(labelled > 0, examples / labelled, 1.0)


def rows_per_class(dataset: Any, classes: int) -> tuple[list[int], int]:
    """Count the rows (words, where each has a label) of every class, and the labelled rows in all.

    Args:
        dataset: a ``datasets.Dataset`` or any other indexable one; its labels are class ids, lists of class ids, or
            multi-hot lists.
        classes: how many there are.
    """
    columns = getattr(dataset, "column_names", None) or dataset[0]
    column = "labels" if "labels" in columns else "label"
    by_column = hasattr(dataset, "column_names")
    labels = dataset[column][:] if by_column else [dataset[i][column] for i in range(len(dataset))]
    first = labels[0]
    if hasattr(first, "__len__") and len(first):
        rows = [torch.as_tensor(row) for row in labels]
        if rows[0].is_floating_point():  # multi-hot
            hot = torch.stack(rows)
            hot = hot[hot[:, 0] != IGNORED]
            return hot.sum(0).long().tolist(), len(hot)
        labels = torch.cat(rows)
    ids = torch.as_tensor(labels)
    ids = ids[ids != IGNORED]
    return torch.bincount(ids, minlength=classes).tolist(), len(ids)
