"""A radius that adjusts itself: one factor on all lengths of an adversary, steered by how many answers it turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from toughen.engine.choices import AUTO_RADIUS

if TYPE_CHECKING:
    from toughen.engine.step import Step
    from toughen.machine.runtime import Runtime

TARGET, RATE, KEPT = 0.2, 0.09, 0.8
"""The share of answers to turn; how fast the scale follows, per optimiser step; what the smoothed share keeps."""
START, LOWEST, HIGHEST = 0.3, 0.02, 4.0


class Turned(NamedTuple):
    """Answers (for tokens: words) of one micro-batch, summed by the weights of their rows."""

    turned: Tensor
    """Those that the perturbation turned."""
    counted: Tensor
    """Those that it could have turned."""


class AutoRadius:
    """The scale of ``radius: auto``: after every optimiser step scale <- scale * exp(.09 (tau - f) / tau), tau = .2.

    f: rows right on the step's first pass and wrong on its last, over rows right on the first; counted over all
    micro-batches and processes of the optimiser step, then smoothed (.8 of the old f). For an adversary that needs no
    label, or where labels are mixed: rows whose answer differs between the two passes, over all rows. Regression: rows
    whose loss rises by more than the median of the first pass's losses, over labelled rows. A step in which nothing
    could be turned changes nothing. The passes are those that the adversary makes anyway.

    Attributes:
        scale: [] the radius of now in the adversary's unit (``linf``: a hundredth of it); starts at .3, stays in
            [.02, 4].
        flipped: [] the smoothed f; NaN before the first.
    """

    def __init__(self, label_free: bool) -> None:
        self._label_free = label_free
        self.scale = torch.tensor(START, dtype=torch.float64)
        self.flipped = torch.tensor(torch.nan, dtype=torch.float64)
        self._sums: Tensor | None = None
        self._losses: list[Tensor] = []

    def factor(self, device: torch.device) -> Tensor:
        """Return what all lengths of the adversary, as they are at its default radius, are multiplied by: []."""
        # Moved once: a number that waits on the CPU would be copied to a GPU in every step.
        self.scale, self.flipped = (_wide(number, device) for number in (self.scale, self.flipped))
        return self.scale / AUTO_RADIUS["l2"]

    def observe(self, step: Step, weight: Tensor | None) -> None:
        """Take in a micro-batch whose passes have been made; ``weight`` [B] says what each row counts for."""
        if step.before is None or step.after is None:
            return
        if step.target.likelihood.task == "regression":
            self._losses.append(_losses(step, weight))
            return
        sums = torch.stack(turned(step, self._label_free, weight))
        self._sums = sums if self._sums is None else self._sums + sums

    def adjust(self, runtime: Runtime) -> bool:
        """Move the scale once an optimiser step's micro-batches have been taken in; whether there were any.

        Every process must ask: they move by what all of them have seen.
        """
        if self._losses:
            sums = torch.stack(_count_risen(runtime.gathered(torch.cat(self._losses))))
        elif self._sums is not None:
            sums = runtime.summed(self._sums)
        else:
            return False
        self._sums, self._losses = None, []
        self.move(*sums)
        return True

    def move(self, flips: Tensor, counted: Tensor) -> None:
        """Move the scale by an optimiser step in which so many of the counted answers were turned."""
        share = flips / counted
        smoothed = torch.where(self.flipped.isnan(), share, KEPT * self.flipped + (1 - KEPT) * share)
        moved = (self.scale * torch.exp(RATE * (TARGET - smoothed) / TARGET)).clamp(LOWEST, HIGHEST)
        self.flipped = torch.where(counted > 0, smoothed, self.flipped)
        self.scale = torch.where(counted > 0, moved, self.scale)

    def state(self) -> dict[str, float | None]:
        """Return scale and smoothed share as plain numbers, for a checkpoint."""
        flipped = float(self.flipped)
        return {"scale": float(self.scale), "flipped": None if flipped != flipped else flipped}

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Go on from a checkpoint."""
        numbers = (torch.nan if state[name] is None else state[name] for name in ("scale", "flipped"))
        self.scale, self.flipped = (torch.tensor(number, dtype=torch.float64) for number in numbers)


def turned(step: Step, label_free: bool, weight: Tensor | None) -> Turned:
    """Count the answers of a step that its last pass turned, of those that it could have turned."""
    likelihood, before, after = step.target.likelihood, step.before, step.after
    assert before is not None
    assert after is not None
    before_right, after_right = (likelihood.right(logits, step.labels) for logits in (before, after))
    if label_free or step.target.mixing is not None:
        flips = ~likelihood.same(before, after)
        # Words without a label are no words; rows without one still have an answer.
        could = likelihood.counted(step.labels) if likelihood.task == "tokens" else torch.ones_like(flips)
    else:
        could = before_right & likelihood.counted(step.labels)
        flips = ~after_right
    counts = by_row(could, weight)
    return Turned((counts * flips).sum(), counts.sum())


def by_row(counted: Tensor, weight: Tensor | None) -> Tensor:
    """Return what each answer [N] of B rows counts for, float64 (MPS: float32): 0, or its row's weight [B]."""
    counts = _wide(counted, counted.device)
    return counts if weight is None else counts * weight.repeat_interleave(len(counts) // len(weight))


def _losses(step: Step, weight: Tensor | None) -> Tensor:
    """Return [B, 3]: each row's loss in the first pass and in the last, and its weight, 0 without a label."""
    assert step.before is not None
    assert step.after is not None
    counts = by_row(step.target.likelihood.known(step.labels), weight)
    passes = (_wide(step.task_of(logits), counts.device) / step.label_scale for logits in (step.before, step.after))
    return torch.stack([*passes, counts], 1)


def _count_risen(losses: Tensor) -> Turned:
    """Count the rows [N, 3] whose loss rises by more than the median loss of the first pass."""
    before, after, counts = losses.unbind(1)
    median = torch.where(counts > 0, before, torch.nan).nanquantile(0.5)
    return Turned((counts * (after - before > median)).sum(), counts.sum())


def _wide(number: Tensor, device: torch.device) -> Tensor:
    return number.to(device, torch.float32 if device.type == "mps" else torch.float64)
