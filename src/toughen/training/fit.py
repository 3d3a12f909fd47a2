"""From a recipe and checked data to a trained model: what `toughen.train` does between reading and scoring."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    TrainingArguments,
)

from toughen.assess.metrics import classification_metrics
from toughen.data import Splits, tokenise
from toughen.data.batches import Collator, LengthBuckets, Rows
from toughen.data.tokens import cut_share
from toughen.errors import InputError
from toughen.recipe import Recipe
from toughen.training.config import Training
from toughen.training.objectives import resolve_class_weights
from toughen.training.pretrained import Prepared
from toughen.training.progress import ProgressLog
from toughen.training.runtime import best_device, resolve_precision
from toughen.training.schedules import NAMES
from toughen.training.tensorboard import TensorBoardLog, require_tensorboard
from toughen.training.trainer import ToughTrainer

METRICS = ("f1", "accuracy", "roc_auc", "mcc", "precision", "recall", "log_loss", "loss")
"""What can choose the best weights; of the last two, less is better."""


def check(recipe: Recipe, splits: Splits) -> None:
    """Refuse what does not fit together before anything is loaded or written.

    Raises:
        InputError: if TensorBoard is missing, the metric is unknown, or unlabelled texts would have nothing to do.
    """
    require_tensorboard()
    if recipe.training.metric not in METRICS:
        raise InputError(f"training.metric must be one of {', '.join(METRICS)}, got {recipe.training.metric!r}.")
    counts = np.bincount(splits.train["label"][:], minlength=len(splits.label_names))
    resolve_class_weights(recipe.objective, counts.tolist())
    adversary, steps = recipe.adversary, planned_steps(recipe.training, len(splits.train))
    if adversary is not None and adversary.start_step >= steps:
        raise InputError(
            f"adversary.start_step is {adversary.start_step}, but training has only {steps} steps, so the adversary "
            "would never act; lower it or train longer."
        )
    label_free = recipe.objective.label_free or (recipe.adversary is not None and recipe.adversary.label_free)
    if splits.unlabelled is not None and not label_free:
        raise InputError(
            "unlabelled texts were given, but no part of the recipe learns without labels; use objective rdrop or "
            "adversary vat, or leave them out."
        )


def planned_steps(training: Training, rows: int) -> int:
    """Return the optimiser steps of a whole training on so many rows, over all processes there are."""
    if training.max_steps is not None:
        return training.max_steps
    batches = math.ceil(rows / (training.batch_size * int(os.environ.get("WORLD_SIZE", "1"))))
    return math.ceil(training.epochs * math.ceil(batches / training.accumulation))


def make_trainer(recipe: Recipe, splits: Splits, prepared: Prepared, folder: Path, console: Console) -> ToughTrainer:
    """Tokenise and build the trainer, with validation, early stopping, progress and TensorBoard.

    Args:
        recipe: what to do.
        splits: checked data.
        prepared: model and tokenizer.
        folder: the run folder.
        console: where progress is shown.
    """
    training = recipe.training
    tokens = _tokenised(splits, prepared)
    for line in _length_notes(tokens["train"], prepared, training.max_length):
        console.print(line, highlight=False, soft_wrap=True)
    counts = np.bincount(np.asarray(tokens["train"]["labels"]), minlength=len(splits.label_names))
    recipe = replace(recipe, objective=resolve_class_weights(recipe.objective, counts.tolist()))
    args = training_arguments(recipe, folder)
    trainer = ToughTrainer(
        prepared.model,
        args,
        recipe=recipe,
        batches=_batches(recipe, tokens, args),
        train_dataset=Rows(tokens["train"], tokens.get("unlabelled")),
        eval_dataset=tokens["validation"],
        data_collator=Collator(prepared.tokenizer, max_length=prepared.max_length),
        processing_class=prepared.tokenizer,
        compute_metrics=lambda prediction: _validation_metrics(prediction, splits.label_names, training.metric),
        callbacks=[ProgressLog(console), TensorBoardLog(folder / "tensorboard")],
    )
    trainer.remove_callback(PrinterCallback)
    if training.early_stopping is not None:
        stopping = EarlyStoppingCallback(training.early_stopping, training.early_stopping_threshold)
        trainer.add_callback(stopping)
    return trainer


def _tokenised(splits: Splits, prepared: Prepared) -> dict[str, Any]:
    """Tokenise train, validation and unlabelled texts; validation longest first, because padding costs time."""
    rows = {"train": splits.train, "validation": splits.validation, "unlabelled": splits.unlabelled}
    tokens = {
        name: tokenise(part, prepared.tokenizer, max_length=prepared.max_length)
        for name, part in rows.items()
        if part is not None
    }
    validation = tokens["validation"]
    validation = validation.select(np.argsort(-np.asarray(validation["length"]), kind="stable"))
    inputs = [name for name in prepared.tokenizer.model_input_names if name in validation.column_names]
    return tokens | {"validation": validation.select_columns([*inputs, "labels"])}


def _length_notes(train: Any, prepared: Prepared, asked: int) -> Iterator[str]:
    if prepared.max_length < asked:
        yield f"training.max_length lowered from {asked} to {prepared.max_length}: the model takes no more"
    cut = cut_share(train, prepared.tokenizer, max_length=prepared.max_length)
    if cut:
        yield f"{cut:.1%} of the training texts are cut to {prepared.max_length} tokens"


def _batches(recipe: Recipe, tokens: dict[str, Any], args: TrainingArguments) -> LengthBuckets:
    unlabelled = tokens.get("unlabelled")
    return LengthBuckets(
        tokens["train"]["length"][:],
        recipe.training.batch_size,
        seed=recipe.training.seed,
        world_size=args.world_size,
        rank=args.process_index,
        unlabelled_lengths=None if unlabelled is None else unlabelled["length"][:],
        unlabelled_ratio=recipe.data.unlabelled_ratio if unlabelled is not None else 0.0,
        bucket=recipe.training.length_buckets,
    )


def training_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """Say a recipe's training settings in transformers' words."""
    training = recipe.training
    device = best_device()
    precision = resolve_precision(training.precision, device)
    when = "epoch" if training.save_steps is None else "steps"
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.eval_batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        lr_scheduler_type=NAMES[training.schedule],
        warmup_steps=training.warmup,
        logging_steps=training.log_steps,
        eval_strategy=when,
        save_strategy=when,
        eval_steps=training.save_steps,
        save_steps=training.save_steps or 500,
        save_total_limit=training.save_total_limit,
        load_best_model_at_end=True,
        metric_for_best_model=training.metric,
        greater_is_better=training.metric not in ("log_loss", "loss"),
        use_cpu=device.type == "cpu",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        seed=training.seed,
        data_seed=training.seed,
        dataloader_num_workers=training.workers,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        restore_callback_states_from_checkpoint=True,
        report_to=[],
        disable_tqdm=True,
    )


def _validation_metrics(prediction: EvalPrediction, names: tuple[str, ...], chosen: str) -> dict[str, float]:
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    probabilities = torch.as_tensor(logits).double().softmax(-1).numpy()
    metrics = classification_metrics(probabilities, prediction.label_ids, names)
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float)) and name != "n"}
    if chosen != "loss":
        # An undefined score is no score: never the best, and written as a number the Trainer can compare.
        numbers.setdefault(chosen, float("inf") if chosen == "log_loss" else float("-inf"))
    return numbers
