"""Distillation: one model learns what a teacher says of texts, with labels or without, through the ordinary engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from toughen.arrays import Floats
from toughen.data.batches import Rows
from toughen.data.config import SOFT_LABEL
from toughen.data.divide.overlap import text_hashes
from toughen.data.read.chunks import as_dataset
from toughen.engine.likelihood import IGNORED, LIKELIHOODS, Likelihood, LossSettings
from toughen.errors import InputError
from toughen.settings import require
from toughen.tasks import TaskName
from toughen.training.one import train_one

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.classifier.classifier import Classifier
    from toughen.data import Splits
    from toughen.huggingface.trainer import ToughTrainer
    from toughen.recipe.recipe import Recipe

_TINY = 1e-30  # least probability of a teacher: its logarithm stays finite in float32


@dataclass(frozen=True)
class Lesson:
    """How much the teacher counts.

    Attributes:
        temperature: T, by which both models' logits are divided before they are compared; 1 and more is softer.
        alpha: weight of the soft loss against the label's, 0 to 1; a text without a label has the soft loss alone.
    """

    temperature: float = 2.0
    alpha: float = 0.5

    def __post_init__(self) -> None:
        require(self.temperature > 0, "--temperature", self.temperature, "must be above 0")
        require(0 <= self.alpha <= 1, "--alpha", self.alpha, "must be from 0 (labels alone) to 1 (the teacher alone)")


class Distilled(Likelihood):
    """The likelihood of a label together with a teacher's soft one.

    L_i = (1 - alpha) L(y_i) + alpha T^2 KL(teacher^(1/T) || student^(1/T)), and for a row without a label y_i the
    second part with alpha = 1. T^2 keeps the gradient's size when T changes. Divergences are those of the task: per
    class of several labels, half the squared difference of a number (which T does not change).

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network" (1503.02531).
    """

    reads_targets = True

    def __init__(self, base: Likelihood, outputs: int, lesson: Lesson) -> None:
        """Prepare.

        Args:
            base: the task's likelihood.
            outputs: K, logits per row.
            lesson: temperature and alpha.
        """
        self.task = base.task
        self._base, self._outputs, self._lesson = base, outputs, lesson

    def split(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Divide labels [B, ... + K] into those of the task and the teacher's logits [B, K]."""
        hard, soft = labels[:, : -self._outputs], labels[:, -self._outputs :]
        if self._base.task == "multi-label" or hard.shape[1] > 1:  # several labels, or soft ones
            return hard, soft
        return (hard[:, 0].long() if self._base.task == "single-label" else hard[:, 0]), soft

    def loss(self, logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
        """See the class; [B]."""
        hard, soft = self.split(labels)
        heat, alpha = self._lesson.temperature, self._lesson.alpha
        known = self._base.known(hard)
        taught = heat**2 * self._base.kl(soft.to(logits.dtype) / heat, logits / heat, hard)
        told = self._base.loss(logits, hard, objective)
        return (1 - alpha) * told + taught * (1 - (1 - alpha) * known)

    def kl(self, reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return self._base.kl(reference, logits, self.split(labels)[0])

    def symmetric_kl(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return self._base.symmetric_kl(first, second, self.split(labels)[0])

    def known(self, labels: Tensor) -> Tensor:
        """Every row has a soft label."""
        return torch.ones(len(labels), dtype=torch.bool, device=labels.device)

    def hits(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """See :class:`Likelihood`."""
        return self._base.hits(logits, self.split(labels)[0])


def teach(
    teacher: Classifier, recipe: Recipe, splits: Splits, lesson: Lesson, folder: Path, console: Console, **how: Any
) -> None:
    """Train a student in a run folder.

    Args:
        teacher: answers once, before training.
        recipe: the student's: its model, objective, adversary and average.
        splits: its data; ``unlabelled`` joins train with the teacher's labels alone.
        lesson: temperature and alpha.
        folder: of the run.
        console: where progress is shown.
        how: ``start`` and ``extra`` of `toughen.training.one.train_one`.

    Raises:
        InputError: if teacher, recipe and data do not fit together.
    """
    _check(teacher, recipe, splits)
    whole, count = join_texts(splits)
    outputs = np.asarray(teacher.outputs(whole, batch_size=recipe.training.eval_batch_size))
    soft = logits_of(splits.task, outputs)
    own = SOFT_LABEL if SOFT_LABEL in splits.train.column_names else "label"
    told = [*splits.train[own][:], *[_missing_label(splits)] * count]
    labels = [[*_as_list(label), *row] for label, row in zip(told, soft.tolist(), strict=True)]
    proxy = replace(splits, train=_with_answers(splits, whole, outputs), unlabelled=None)
    adapt = partial(_adapt, labels=labels, likelihood=Distilled(LIKELIHOODS[splits.task], soft.shape[1], lesson))
    train_one(recipe, proxy, folder, console, resume=False, adapt=adapt, **how)


def _check(teacher: Classifier, recipe: Recipe, splits: Splits) -> None:
    if splits.task != teacher.task or tuple(splits.label_names) != tuple(teacher.label_names):
        raise InputError(
            f"the runs know the labels {', '.join(teacher.label_names)} ({teacher.task}), but the data has "
            f"{', '.join(splits.label_names)} ({splits.task}); give the data they were trained for."
        )
    if recipe.training.truncation == "windows":
        raise InputError("--how distil cannot teach windows of a text one by one; set training.truncation to head.")


def join_texts(splits: Splits) -> tuple[Any, int]:
    """Return all texts the teacher is asked about, train first, and how many of them have no label.

    Texts without a label that also stand in train are passed over. Their ``row`` is ``-1 - row`` of their source.
    """
    columns = [name for name in ("text", "text_pair", "row") if name in splits.train.column_names]
    train = splits.train.with_format("arrow")[:].select(columns)
    texts = splits.unlabelled
    if texts is not None:
        texts = texts.select(np.flatnonzero(~np.isin(text_hashes(texts), text_hashes(splits.train))))
    if not texts:
        return as_dataset(train), 0
    more = texts.with_format("arrow")[:].select(columns)
    more = more.set_column(more.column_names.index("row"), "row", pa.array(-1 - np.asarray(more["row"])))
    return as_dataset(pa.concat_tables([train, more.cast(train.schema)])), len(texts)


def _with_answers(splits: Splits, whole: Any, outputs: Floats) -> Any:
    """Return the texts with labels of the usual form: their own, or where there is none the teacher's answer."""
    table, train = whole.with_format("arrow")[:], splits.train.with_format("arrow")[:]
    asked = outputs[train.num_rows :]
    if splits.task == "single-label":
        answers = asked.argmax(axis=1).tolist()
    else:
        answers = asked.tolist() if splits.task == "regression" else (asked >= 0.5).astype(float).tolist()
    kind = train.schema.field("label").type
    column = pa.chunked_array([*train["label"].chunks, pa.array(answers, kind)], kind)
    return as_dataset(table.append_column("label", column))


def _adapt(trainer: ToughTrainer, *, labels: list[list[float]], likelihood: Distilled) -> None:
    """Give a trainer's rows their soft labels, and its engine the loss that reads them."""
    rows: Any = trainer.train_dataset
    table = rows.labelled.with_format("arrow")[:]
    soft = pa.array(labels, pa.list_(pa.float32()))
    trainer.train_dataset = Rows(as_dataset(table.set_column(table.column_names.index("labels"), "labels", soft)))
    trainer.the_engine().likelihood = likelihood


def logits_of(task: TaskName, outputs: Floats) -> Floats:
    """Return outputs as logits [N, K], up to a constant per row of a soft-max."""
    if task == "regression":
        return outputs[:, None]
    logs = np.log(np.maximum(outputs, _TINY))
    return logs if task == "single-label" else np.asarray(logs - np.log(np.maximum(1 - outputs, _TINY)))


def _missing_label(splits: Splits) -> Any:
    """Return what stands for "no label"."""
    if splits.task == "multi-label" or SOFT_LABEL in splits.train.column_names:
        return [float(IGNORED)] * len(splits.label_names)
    return float("nan") if splits.task == "regression" else IGNORED


def _as_list(label: Any) -> list[float]:
    return [float(part) for part in label] if isinstance(label, (list, tuple, np.ndarray)) else [float(label)]
