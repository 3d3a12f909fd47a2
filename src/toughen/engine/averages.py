"""The average slot: which weights are the result?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toughen.settings import require, setting


@dataclass(frozen=True, kw_only=True)
class Running:
    """What every average that follows the optimiser shares: where it is kept."""

    keep_on: Literal["model", "cpu"] = setting(
        "model", "where the average lies: beside the model's weights, or on the CPU (frees a GPU's memory; slower)"
    )


@dataclass(frozen=True, kw_only=True)
class Ema(Running):
    """Exponential moving average of the weights, after every successful optimiser step.

    s <- d_n s + (1 - d_n) w, with d_n = min(d, (1+n)/(10+n)) from n = 1 when ``warmup`` is on.

    Source: Polyak averaging as used in Tarvainen and Valpola, "Mean teachers" (1703.01780); the warm-up is
    TensorFlow's ``ExponentialMovingAverage(num_updates=)``. Without it a decay of .999 still carries 21 % of the
    starting point after 1,563 steps. Cost: no pass; one float32 copy of the trainable weights.
    """

    name: Literal["ema"] = "ema"
    decay: float = setting(0.999, "share of the old average kept at each step (0 to below 1)")
    warmup: bool = setting(True, "start with a smaller decay, min(decay, (1+n)/(10+n))")

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, "average.decay", self.decay, "must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Swa(Running):
    """Stochastic weight averaging: the plain mean of the weights over the last part of training.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (1803.05407). From
    ``start`` on the learning rate is constant (and every ``every`` steps join the mean) or cyclic (falling linearly
    within each cycle of ``every`` steps, whose last weights join the mean). Deviation: the paper averages once an
    epoch; fine-tuning has too few epochs for that. Cost: no pass; one float32 copy of the trainable weights.
    """

    name: Literal["swa"] = "swa"
    start: float = setting(0.75, "share of the training after which averaging starts (0 to below 1)")
    rate: Literal["constant", "cyclic", "schedule"] = setting(
        "constant", "learning rate while averaging: constant, cyclic, or schedule = as without SWA"
    )
    rate_factor: float = setting(
        0.5, "learning rate while averaging (its top when cyclic), as a share of the peak rate"
    )
    every: int = setting(1, "optimiser steps between two weights that join the mean; the cycle's length when cyclic")

    def __post_init__(self) -> None:
        require(0 <= self.start < 1, "average.start", self.start, "must be in [0, 1)")
        require(self.rate_factor > 0, "average.rate_factor", self.rate_factor, "must be above 0")
        require(self.every >= 1, "average.every", self.every, "must be at least 1")
        if self.rate == "cyclic":
            require(self.every >= 2, "average.every", self.every, "must be at least 2 with rate: cyclic")


@dataclass(frozen=True, kw_only=True)
class CheckpointSoup:
    """Greedy soup of a run's best checkpoints: their mean, as far as each one adds to the validation score.

    The ``top_k`` weights with the best validation score are kept; at the end they are averaged one by one, the best
    first, each only if the average scores strictly better on validation with it.

    Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time" (2203.05482), there over runs, here within one. Cost: no pass while training; top_k
    validations at the end and top_k copies of the trainable weights on disk. Score often enough
    (``training.save_steps``).
    """

    name: Literal["checkpoint-soup"] = "checkpoint-soup"
    top_k: int = setting(3, "checkpoints that may join, the best by validation score (2 and more)")

    def __post_init__(self) -> None:
        require(self.top_k >= 2, "average.top_k", self.top_k, "must be at least 2")


Average = Ema | Swa | CheckpointSoup
"""Every answer to "which weights are the result?"; none of them = the weights the optimiser left."""
