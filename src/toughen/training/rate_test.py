"""A learning-rate range test: one short training in which the rate rises, and where its loss fell."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from toughen.data.batches import Collator, LengthBuckets, Rows
from toughen.data.read.chunks import numbers_of
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.rows import Window, count_rows
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.huggingface.micro_batches import MicroBatches
from toughen.huggingface.pretrained import Prepared, prepare
from toughen.machine.full_speed import full_speed
from toughen.machine.launch import quiet_libraries
from toughen.machine.runtime import best_device
from toughen.model.base_rates import starting_bias
from toughen.model.groups import parameter_groups
from toughen.training import build_trainer

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.data import Splits
    from toughen.recipe.recipe import Recipe

LOWEST, HIGHEST, STEPS = 1e-6, 1e-2, 100
KEPT = 0.9
"""What the smoothed loss keeps of its last value, corrected for its start."""
SPENT = 2.0
"""The test ends where the smoothed loss is so many times the least one before."""
BELOW = 10.0
"""The suggestion is the rate of the least loss over this."""
_SHOWN = 10


@dataclass(frozen=True)
class RateTest:
    """What a range test found.

    Attributes:
        rates: of each step made, rising.
        losses: the smoothed loss of each.
        suggestion: a peak learning rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def lines(self) -> Iterator[str]:
        """Say the loss along the way and the suggestion."""
        yield "rate      loss"
        for i in sorted({round(i) for i in np.linspace(0, len(self.rates) - 1, _SHOWN)}):
            yield f"{self.rates[i]:<8.1e}  {self.losses[i]:.4f}"
        yield f"suggestion: --training.learning_rate {self.suggestion:g}"


def find_rate(recipe: Recipe, splits: Splits, console: Console) -> RateTest:
    """Train as the recipe starts, with a rate that rises by the same factor every step.

    The suggestion is a tenth of the rate at which the smoothed loss was least.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (1506.01186), section 3.3.

    Args:
        recipe: what to train; its own learning rate and schedule are passed over.
        splits: checked data; validation and test are not looked at.
        console: where the plan is shown.

    Raises:
        InputError: if recipe, data and model do not fit together, or a launcher started several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--find-lr runs in one process; leave the launcher out, and train with several afterwards.")
    build_trainer.check(recipe, splits)
    with quiet_libraries():
        pairs = "text_pair" in splits.train.column_names
        bias = starting_bias(recipe.head.bias, splits.task, splits.train, len(splits.label_names))
        prepared = prepare(recipe, splits.label_names, splits.task, pairs=pairs, bias=bias)
        short = replace(recipe, training=replace(recipe.training, max_steps=STEPS))
        tokens = build_trainer.tokenise_splits(short, splits, prepared, console)
        made = list(_steps(prepared, splits, Rows(tokens["train"]), numbers_of(tokens["train"], "length")))
    return summary(*zip(*made, strict=True))


def _steps(prepared: Prepared, splits: Splits, rows: Rows, lengths: Any) -> Iterator[tuple[float, float]]:
    """Make the steps; yield the rate and the loss of each."""
    recipe, training = prepared.recipe, prepared.recipe.training
    model = prepared.model.to(best_device()).train()
    groups = parameter_groups(model, 1.0, training.weight_decay, training.layer_decay, recipe.head.lr_multiplier)
    shares = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW(groups)
    teacher = make_average(Ema(), model) if getattr(recipe.adversary, "bregman", 0) > 0 else None
    engine = Engine(
        model,
        build_trainer.resolved_weights(recipe.objective, splits),
        recipe.adversary and replace(recipe.adversary, start_step=0),
        inputs=recipe.inputs,
        task=splits.task,
        average=teacher,
        precision=training.precision,
        memory=training.memory,
        special_ids=prepared.tokenizer.all_special_ids,
    )
    batches = LengthBuckets(lengths, training.batch_size, seed=training.seed, bucket=training.length_buckets)
    collate = Collator(prepared.tokenizer, max_length=prepared.max_length)
    torch.manual_seed(training.seed)
    losses: list[float] = []
    micro_batches = MicroBatches()
    with engine, full_speed(training.precision, training.memory, training.cpu_kernels):
        for step, numbers in enumerate(islice(_epochs(batches), STEPS)):
            rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = rate * share
            batch = {name: tensor.to(model.device) for name, tensor in collate(rows.__getitems__(numbers)).items()}
            window = Window(*count_rows(batch, engine.likelihood))
            loss = float(micro_batches.backward(engine, batch, window, sync=True))
            if not math.isfinite(loss):
                return
            yield rate, loss
            losses.append(loss)
            smooth = _moving_average(losses)  # one batch alone may be easy, and another one hard
            if smooth[-1] > SPENT * min(smooth):
                return
            engine.step(optimizer, max_grad_norm=training.max_grad_norm)
            if teacher is not None:
                teacher.update()


def _epochs(batches: LengthBuckets) -> Iterator[list[int]]:
    """Yield the batches of one epoch after another."""
    for epoch in count():
        batches.set_epoch(epoch)
        yield from batches


def summary(rates: Sequence[float], losses: Sequence[float]) -> RateTest:
    """Smooth the losses, and suggest a tenth of the rate at which they were least, to two digits."""
    smooth = _moving_average(losses)
    least = rates[int(np.argmin(smooth))]
    return RateTest(tuple(rates), tuple(smooth), float(f"{least / BELOW:.1e}"))


def _moving_average(losses: Sequence[float]) -> list[float]:
    """Return the moving average of the losses so far, at each of them."""
    smooth, mean = [], 0.0
    for n, loss in enumerate(losses, 1):
        mean = KEPT * mean + (1 - KEPT) * loss
        smooth.append(mean / (1 - KEPT**n))
    return smooth
