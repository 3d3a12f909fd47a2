"""Whether a model's own loss is the one that a recipe's objective takes the place of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from toughen.engine.batch import logits_of, refuse_misshapen
from toughen.engine.label_gate import are_multi_hot
from toughen.engine.objectives import CrossEntropy
from toughen.errors import InputError
from toughen.huggingface.loaders import on_device
from toughen.tasks import TaskName, task_of

if TYPE_CHECKING:
    from toughen.engine.engine import Engine
    from toughen.huggingface.engine_trainer import EngineTrainer

TOLERANCE = 0.02
"""By how much of itself the loss may differ: bfloat16 has two to three digits."""


def task_of_rows(model: Any, rows: Any) -> TaskName:
    """Return the task of a model; where its config leaves it open, numbers per label mean several, as in transformers.

    Args:
        model: a transformers model.
        rows: the training rows, or None; the first one is looked at.
    """
    task, config = task_of(model), getattr(model, "config", None)
    classes = getattr(config, "num_labels", None)
    named = getattr(config, "problem_type", None) or getattr(config, "toughen", None)
    if named or task != "single-label" or not classes or not hasattr(rows, "__getitem__") or not len(rows):
        return task
    first = rows[0]
    label = first.get("labels", first.get("label")) if hasattr(first, "get") else None
    return "multi-label" if are_multi_hot(label, classes) else task


def compare_losses(trainer: EngineTrainer, engine: Engine, batch: Mapping[str, Tensor]) -> None:
    """Refuse a model that weights its loss or adds to it: the recipe's objective would leave that out without a word.

    One pass without dropout and without gradient. Nothing is compared where the model returns no loss, or where some
    rows have no label.

    Raises:
        InputError: naming both losses and what to do.
    """
    batch = dict(on_device(dict(batch), trainer.args.device))
    batch.pop("weight", None)
    labels = batch["labels"] = batch.pop("label") if "label" in batch else batch["labels"]
    likelihood = engine.likelihood
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if not bool(likelihood.known(labels).all()):
        return
    if likelihood.task == "single-label" and labels.dim() == 2:
        labels = batch["labels"] = labels.argmax(-1)  # the model's own loss reads numbers per class as several labels
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), engine.runtime.autocast():  # of what fits into the memory, a part is enough
            output, labels = trainer.scoring.run(lambda part: (model(**part), part["labels"]), batch)[0]
    finally:
        model.train(training)
    theirs = output.get("loss") if hasattr(output, "get") else None
    if theirs is None:
        return
    logits = logits_of(output).float()
    refuse_misshapen(logits, likelihood.task)
    loss = likelihood.loss(logits, labels, CrossEntropy()).sum() / likelihood.units(labels).sum()
    ours, own = float(loss), float(theirs.mean())
    if abs(ours - own) > TOLERANCE * max(abs(ours), 0.05):
        raise InputError(
            f"the model's own loss on the first batch is {own:.4g}, the loss of task {likelihood.task} {ours:.4g}: its "
            "forward weights its loss or adds to it, and the recipe's objective would take its place. Say it in the "
            "recipe (objective.class_weights, ...), use transformers' Trainer, or pass model_loss='ignore'."
        )
