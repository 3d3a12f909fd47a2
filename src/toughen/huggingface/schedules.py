"""Learning-rate schedules: those of transformers, and the tail that SWA needs."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from toughen.engine.averages import Average, Swa
from toughen.engine.weight_average import swa_start
from toughen.recipe.training import Schedule

NAMES: dict[Schedule, str] = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
"""Our schedule names in transformers' words."""


def warmup_steps(warmup: float, total_steps: int) -> int:
    """Return the optimiser steps of warm-up: a share of all if below 1, else a number of steps (rounded up)."""
    return int(warmup) if warmup >= 1 else -int(-warmup * total_steps // 1)


def make_schedule(
    optimizer: Optimizer, schedule: Schedule, *, warmup: float, total_steps: int, average: Average | None = None
) -> LambdaLR:
    """Build the schedule of a plain loop; call ``.step()`` after each optimiser step that was taken.

    Cosine is lr * (1 + cos(pi t)) / 2 over the steps after a linear warm-up; with SWA its tail replaces the end.
    """
    steps = warmup_steps(warmup, total_steps)
    base = get_scheduler(NAMES[schedule], optimizer, num_warmup_steps=steps, num_training_steps=total_steps)
    return with_average_tail(base, average, total_steps)


def with_average_tail(scheduler: LambdaLR, average: Average | None, total_steps: int) -> LambdaLR:
    """Give a schedule the constant or cyclic tail of SWA; any other schedule comes back as it is."""
    if isinstance(average, Swa) and average.rate != "schedule":
        scheduler.lr_lambdas = [_tail(factor, average, total_steps) for factor in scheduler.lr_lambdas]
    return scheduler


def _tail(base: Callable[[int], float], swa: Swa, total_steps: int) -> Callable[[int], float]:
    start = swa_start(swa, total_steps)

    def factor(step: int) -> float:
        if step < start:
            return base(step)
        if swa.rate == "constant":
            return swa.rate_factor
        # Falls linearly within each cycle, so that the weights which join the mean are at the bottom of it.
        return swa.rate_factor * (1 - ((step - start) % swa.every) / swa.every)

    return factor
