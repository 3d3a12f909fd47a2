"""What is timed: one step of a recipe, with or without optimiser, as a function of the batch number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from models import Batch

from toughen.engine.engine import Engine
from toughen.engine.weight_average import make_average
from toughen.recipe.recipe import Recipe, load_recipe

RATE, DECAY, CLIP, STEPS = 2e-5, 0.01, 1.0, 10_000


def make_engine(model: Any, recipe: Recipe, precision: str) -> Engine:
    """Return the engine of a recipe, its average (if any) with it."""
    average = make_average(recipe.average, model, total_steps=STEPS) if recipe.average else None
    return Engine(
        model,
        recipe.objective,
        recipe.adversary,
        inputs=recipe.inputs,
        average=average,
        precision=precision,
        memory=recipe.training.memory,
    )


class Backward:
    """A recipe's step without optimiser, clipping and schedule: ``engine.backward`` and the average's update.

    Several of these may share one model: a hook without a perturbation leaves it alone.
    """

    def __init__(self, model: Any, recipe: str | Recipe, batches: Sequence[Batch], precision: str) -> None:
        self.engine = make_engine(model, load_recipe(recipe), precision)
        self._model, self._batches = model, batches

    def __call__(self, i: int) -> None:
        """Compute the step on batch i, and throw the gradients away."""
        self.engine.backward(self._batches[i % len(self._batches)])
        if self.engine.average is not None:
            self.engine.average.update()
        self._model.zero_grad(set_to_none=True)

    def units(self) -> float:
        """Units per step, as the engine counts its passes."""
        return self.engine.cost.units / self.engine.cost.steps


class WholeStep(Backward):
    """A recipe's whole step: passes, clipping, AdamW (fused), schedule, average."""

    def __init__(self, model: Any, recipe: str | Recipe, batches: Sequence[Batch], precision: str) -> None:
        super().__init__(model, recipe, batches, precision)
        self._optimizer, self._schedule = make_optimizer(model)

    def __call__(self, i: int) -> None:
        """Compute the step on batch i and take it."""
        self.engine.backward(self._batches[i % len(self._batches)])
        if self.engine.step(self._optimizer, max_grad_norm=CLIP):
            self._schedule.step()
            if self.engine.average is not None:
                self.engine.average.update()


def make_optimizer(model: Any) -> tuple[torch.optim.Optimizer, Any]:
    """Return fused AdamW, which is the Trainer's default, and a cosine schedule with warm-up."""
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    return optimizer, get_cosine_schedule_with_warmup(optimizer, STEPS // 10, STEPS)
