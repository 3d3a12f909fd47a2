"""From a recipe and checked data to a trained model: what `toughen.train` does between reading and scoring."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainingArguments,
)

from toughen.assess.metrics import soft_labels_of, weights_of
from toughen.assess.selection import LESS_IS_BETTER, selecting_metric
from toughen.cost.plan_line import plan_lines
from toughen.data import Splits, tokenise
from toughen.data.batches import Collator, LengthBuckets, Rows
from toughen.data.config import NOISE
from toughen.data.read.chunks import numbers_of
from toughen.data.tokens.tokenise import cut_share
from toughen.engine.objectives import CrossEntropy, resolve_class_weights
from toughen.errors import InputError, count
from toughen.huggingface.composition import TrainerSetup, check_trainer
from toughen.huggingface.pretrained import Prepared
from toughen.huggingface.progress import ProgressLog
from toughen.huggingface.schedules import NAMES
from toughen.huggingface.tensorboard import TensorBoardLog, require_tensorboard
from toughen.huggingface.trackers import require_tracker, tracker_callbacks
from toughen.huggingface.trainer import ToughTrainer
from toughen.huggingface.validation import Choice, Validation, choice, label_counts, owners_of
from toughen.machine.runtime import best_device, from_ampere, resolve_precision
from toughen.machine.sharding import asks_for_shards
from toughen.recipe.recipe import Recipe
from toughen.recipe.training import Training
from toughen.training import fresh, noisy

LOGGED = 20
"""How often a training is logged at least, if it has as many steps."""


def check(recipe: Recipe, splits: Splits) -> None:
    """Refuse what does not fit together before anything is loaded or written.

    Raises:
        InputError: if TensorBoard is missing, the metric is unknown, or unlabelled texts would have nothing to do.
    """
    require_tensorboard()
    require_tracker(recipe.training.report_to)
    selecting_metric(recipe.training.metric, splits.task)
    check_trainer(TrainerSetup(recipe, asks_for_shards()))
    resolved_weights(recipe.objective, splits)
    if recipe.training.threshold == "tuned" and (splits.task != "single-label" or len(splits.label_names) != 2):
        raise InputError(
            "training.threshold: tuned is for two classes (several labels per text are always tuned); set it to fixed."
        )
    rows = len(splits.train) + fresh.slots(recipe, len(splits.train))
    steps = planned_steps(recipe.training, rows)
    fresh.check(recipe, splits, planned_steps(replace(recipe.training, epochs=1.0, max_steps=None), rows), steps)
    noisy.check(recipe, splits)
    if recipe.training.truncation != "windows":  # how many rows the windows make is known once they are cut
        _refuse_idle_adversary(recipe, steps)
    label_free = recipe.objective.label_free or (recipe.adversary is not None and recipe.adversary.label_free)
    if splits.unlabelled is not None and not label_free:
        raise InputError(
            "unlabelled texts were given, but no part of the recipe learns without labels; use objective rdrop or "
            "adversary vat, smart or rat, or leave them out."
        )


def _refuse_idle_adversary(recipe: Recipe, steps: int) -> None:
    adversary = recipe.adversary
    if adversary is not None and adversary.start_step >= steps:
        raise InputError(
            f"adversary.start_step is {adversary.start_step}, but training has only {count(steps, 'step')}, so the "
            "adversary would never act; lower it or train longer."
        )


def planned_steps(training: Training, rows: int) -> int:
    """Return the optimiser steps of a whole training on so many rows, over all processes there are."""
    if training.max_steps is not None:
        return training.max_steps
    batches = math.ceil(rows / (training.batch_size * int(os.environ.get("WORLD_SIZE", "1"))))
    return math.ceil(training.epochs * math.ceil(batches / training.accumulation))


def tokenise_splits(recipe: Recipe, splits: Splits, prepared: Prepared, console: Console) -> dict[str, Any]:
    """Tokenise train, validation and unlabelled texts, and say what training on them is about to cost.

    Returns:
        Rows of tokens by split; validation longest first, because padding costs time.

    Raises:
        InputError: if the adversary would never act.
    """
    training = recipe.training
    say = partial(console.print, highlight=False, soft_wrap=True)
    rows = {"train": splits.train, "validation": splits.validation, "unlabelled": splits.unlabelled}
    tokens = {
        name: tokenise(
            part,
            prepared.tokenizer,
            max_length=prepared.max_length,
            task=splits.task,
            truncation=training.truncation,
            overlap=training.overlap,
            note=say,
        )
        for name, part in rows.items()
        if part is not None
    }
    places = fresh.slots(recipe, len(tokens["train"]))
    steps = planned_steps(training, len(tokens["train"]) + places)
    _refuse_idle_adversary(recipe, steps)
    for line in _length_notes(tokens["train"], prepared, training.max_length):
        say(line)
    for line in plan_lines(recipe, steps, places):
        say(line)
    if recipe.data.augment == NOISE:
        say(noisy.line(recipe, len(tokens["train"])))
    longest_first = np.argsort(-numbers_of(tokens["validation"], "length"), kind="stable")
    return tokens | {"validation": tokens["validation"].select(longest_first)}


def make_trainer(
    recipe: Recipe, splits: Splits, tokens: dict[str, Any], prepared: Prepared, folder: Path, console: Console
) -> ToughTrainer:
    """Build the trainer, with validation, early stopping, progress and TensorBoard.

    Args:
        recipe: what to do.
        splits: checked data.
        tokens: the same, :func:`tokenise_splits`.
        prepared: model and tokenizer.
        folder: the run folder.
        console: where progress is shown.
    """
    training = recipe.training
    metric, labels = selecting_metric(training.metric, splits.task), splits.validation["label"][:]
    chosen = choice(metric, splits.task, labels, splits.label_names)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if chosen.said is not None:
        say(chosen.said)
    recipe = replace(recipe, objective=resolved_weights(recipe.objective, splits))
    steps = planned_steps(training, len(tokens["train"]) + fresh.slots(recipe, len(tokens["train"])))
    args = training_arguments(recipe, folder, chosen.metric, steps)
    inputs = [name for name in prepared.tokenizer.model_input_names if name in tokens["validation"].column_names]
    rows, batches = _rows_and_batches(recipe, tokens, args)
    trainer = ToughTrainer(
        prepared.model,
        args,
        recipe=recipe,
        batches=batches,
        task=splits.task,
        model_loss="ignore",  # a model made here has the task's
        cpu_kernels=training.cpu_kernels,
        train_dataset=rows,
        eval_dataset=tokens["validation"].select_columns([*inputs, "labels"]),
        data_collator=Collator(prepared.tokenizer, max_length=prepared.max_length),
        processing_class=prepared.tokenizer,
        compute_metrics=_validation(splits, tokens["validation"], chosen),
        callbacks=[
            ProgressLog(console),
            TensorBoardLog(folder / "tensorboard"),
            *tracker_callbacks(training.report_to),
        ],
    )
    if isinstance(rows, fresh.FreshRows):
        trainer.epoch_hook = fresh.Fresh(recipe, splits, prepared, rows, batches, folder / fresh.FOLDER, say)
    elif isinstance(rows, noisy.NoisyRows):
        trainer.epoch_hook = noisy.Noise(recipe, splits, prepared, rows, batches)
    trainer.scores_in_float32 = True
    trainer.remove_callback(PrinterCallback)
    _stop_early(trainer, training)
    return trainer


def _stop_early(trainer: ToughTrainer, training: Training) -> None:
    if training.early_stopping is not None:
        stopping = EarlyStoppingCallback(training.early_stopping, training.early_stopping_threshold)
        trainer.add_callback(stopping)


def _validation(splits: Splits, rows: Any, chosen: Choice) -> Validation:
    """Return what scores the tokenised rows of the validation split."""
    weights = weights_of(rows) if "weight" in splits.validation.column_names else None
    return Validation(splits.task, splits.label_names, chosen.metric, owners_of(rows), chosen.present, weights)


def resolved_weights(objective: CrossEntropy, splits: Splits) -> CrossEntropy:
    """Return the objective with numbers in place of words such as `balanced`, from the training labels."""
    one = splits.task in ("single-label", "regression")
    labels = numbers_of(splits.train, "label") if one else splits.train["label"][:]
    counts, rows = label_counts(splits.task, labels, len(splits.label_names))
    soft = soft_labels_of(splits.train)
    if soft is not None:  # a row counts for each class as much as its label says
        counts = soft.sum(0).tolist()
    return resolve_class_weights(objective, counts, rows=rows) if counts else objective


def _length_notes(train: Any, prepared: Prepared, asked: int) -> Iterator[str]:
    if prepared.max_length < asked:
        yield f"training.max_length lowered from {asked} to {prepared.max_length}: the model takes no more"
    cut = cut_share(train, prepared.tokenizer, max_length=prepared.max_length)
    if cut:
        yield f"{cut:.1%} of the training texts are cut to {prepared.max_length} tokens"


def _rows_and_batches(recipe: Recipe, tokens: dict[str, Any], args: TrainingArguments) -> tuple[Rows, LengthBuckets]:
    """Return the training rows and their batches; with places for adversarial examples that are yet to be found."""
    train, unlabelled = tokens["train"], tokens.get("unlabelled")
    lengths = numbers_of(train, "length")
    if recipe.data.augment == NOISE:
        return noisy.NoisyRows(train, unlabelled), _batches(recipe, lengths, unlabelled, args)
    places = fresh.draw_attacked_rows(recipe, len(train), 0)
    if not len(places):
        return Rows(train, unlabelled), _batches(recipe, lengths, unlabelled, args)
    rows = fresh.FreshRows(train, unlabelled, places)
    return rows, _batches(recipe, np.concatenate([lengths, lengths[places]]), unlabelled, args)


def _batches(recipe: Recipe, lengths: Any, unlabelled: Any, args: TrainingArguments) -> LengthBuckets:
    return LengthBuckets(
        lengths,
        recipe.training.batch_size,
        seed=recipe.training.seed,
        world_size=args.world_size,
        rank=args.process_index,
        unlabelled_lengths=None if unlabelled is None else numbers_of(unlabelled, "length"),
        unlabelled_ratio=recipe.data.unlabelled_ratio if unlabelled is not None else 0.0,
        bucket=recipe.training.length_buckets,
    )


def training_arguments(recipe: Recipe, folder: Path, metric: str, steps: int) -> TrainingArguments:
    """Say a recipe's training settings in transformers' words.

    Args:
        recipe: what to do.
        folder: of the run.
        metric: chooses the best weights.
        steps: optimiser steps that are planned; a short run is logged more often, so that it has curves too.
    """
    training = recipe.training
    when = "epoch" if training.save_steps is None else "steps"
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.eval_batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.peak_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        lr_scheduler_type=NAMES[training.schedule],
        warmup_steps=training.warmup,
        logging_steps=min(training.log_steps, max(1, steps // LOGGED)),
        eval_strategy=when,
        save_strategy=when,
        eval_steps=training.save_steps,
        save_steps=training.save_steps or 500,
        save_total_limit=training.save_total_limit,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=metric not in LESS_IS_BETTER,
        # Reads the loss off the device after every step, to hide a loss that is not a number.
        logging_nan_inf_filter=False,
        seed=training.seed,
        data_seed=training.seed,
        dataloader_num_workers=training.workers,
        remove_unused_columns=False,
        label_names=["labels"],
        restore_callback_states_from_checkpoint=True,
        report_to=[],
        run_name=folder.resolve().name,
        disable_tqdm=True,
        **_speed_arguments(training),
    )


def _speed_arguments(training: Training) -> dict[str, Any]:
    """Return the arguments that follow from the device: where it computes, in which numbers, and what it keeps."""
    device = best_device()
    precision = resolve_precision(training.precision, device)
    return {
        "use_cpu": device.type == "cpu",
        # Where products of float32 run in TF32, activations keep float32's range with 10 bits of mantissa.
        "tf32": True if from_ampere(device) else None,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "dataloader_pin_memory": device.type == "cuda",
        "torch_compile": training.compile,
        **(_checkpointing_arguments() if training.gradient_checkpointing else {}),
    }


def _checkpointing_arguments() -> dict[str, Any]:
    """Return the arguments that switch gradient checkpointing on, by the names this version of transformers has."""
    known = {field.name for field in fields(TrainingArguments)}
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    return {name: True, f"{name}_kwargs": {"use_reentrant": False}}
