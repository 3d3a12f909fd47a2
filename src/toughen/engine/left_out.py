"""Rows whose loss is not finite: left out of their step, counted, and the end of a run that has too many of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from toughen.engine.likelihood import Likelihood
from toughen.engine.rows import count_rows
from toughen.errors import InputError
from toughen.machine.runtime import Runtime

FEW = 10
SHARE = 0.01
"""A run ends once more rows than ``FEW``, and more than this share of those that it went through, were left out."""

_LOG = logging.getLogger(__name__)


class NotFiniteError(Exception):
    """Some rows' losses are not finite, and nothing of this pass has reached a gradient yet.

    Attributes:
        rows: [B] bool, True on these rows.
    """

    def __init__(self, rows: Tensor) -> None:
        super().__init__("losses that are not finite")
        self.rows = rows


class LeftOut:
    """What was left out of the steps so far, over all processes.

    A row leaves the batch, since a weight of 0 would not do: 0 times NaN is NaN in the gradient of every weight. What
    the step's sum was divided by is put right once its gradients have met, by one factor that all processes agree on.

    Attributes:
        rows: left out so far.
        seen: rows of all steps so far.
    """

    def __init__(self) -> None:
        self.rows = self.seen = 0
        self._here = [0.0, 0.0, 0.0]  # of the step, in this process: units and rows left out, rows seen

    def see(self, rows: int) -> None:
        """Count the rows of a micro-batch."""
        self._here[2] += rows

    def without(
        self, batch: Mapping[str, Tensor], bad: Tensor, likelihood: Likelihood, scale: Tensor, examples: Tensor | float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the batch without its bad rows, and the scale of its task loss (see `toughen.engine.rows`).

        Args:
            batch: tensors of B rows each.
            bad: [B] bool.
            likelihood: of the task.
            scale: of the whole batch.
            examples: of the whole step.
        """
        gone, kept = ({name: value[part] for name, value in batch.items()} for part in (bad, ~bad))
        units, labelled = count_rows(gone, likelihood)
        counted = len(gone["labels"]) if "weight" not in gone else int((gone["weight"] > 0).sum())
        self._here[0] += float(units)
        self._here[1] += counted
        rest = examples / scale - labelled
        return kept, torch.where(rest > 0, (examples - units) / rest, scale)

    def close_step(self, runtime: Runtime, examples: Tensor | float, weights: list[nn.Parameter]) -> float:
        """End an optimiser step: make its gradients those of the rows that stayed; every process must ask.

        Args:
            runtime: adds up over processes.
            examples: what the step's losses were divided by.
            weights: whose ``.grad`` are scaled, where rows were left out anywhere.

        Returns:
            The factor on the gradients.

        Raises:
            InputError: if more rows than the limit were left out so far.
        """
        here, self._here = self._here, [0.0, 0.0, 0.0]
        if runtime.processes > 1:
            total = torch.as_tensor(examples, dtype=torch.float32, device=weights[0].device)
            both = torch.cat([total.view(1), torch.tensor(here, device=total.device)])
            whole, units, rows, seen = runtime.summed(both).tolist()
        else:
            whole, (units, rows, seen) = float(examples) if here[1] else 1.0, here
        self.seen += int(seen)
        if not rows:
            return 1.0
        self.rows += int(rows)
        _LOG.warning("rows left out of a step, since their loss is not finite: %d (%d so far)", rows, self.rows)
        self._refuse_many(all_of_step=rows >= seen)
        factor = whole / (whole - units) if whole > units else 1.0
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if factor != 1.0 and gradients:
            torch._foreach_mul_(gradients, factor)
        return factor

    def _refuse_many(self, *, all_of_step: bool) -> None:
        if self.rows <= max(FEW, SHARE * self.seen):
            return
        latest = ", every one of the last step among them" if all_of_step else ""
        raise InputError(
            f"the loss of {self.rows:,} of {self.seen:,} rows is not finite{latest}, and at most {FEW} or {SHARE:.0%} "
            "of the rows are left out: training diverged. Lower the learning rate, use precision fp32, or look for "
            "labels that are far from all others."
        )

    def report(self) -> dict[str, Any]:
        """Return the rows that were left out, for ``metrics.json``; nothing if there are none."""
        return {"rows_left_out": self.rows} if self.rows else {}

    def state(self) -> dict[str, int]:
        """Return the counts, for a checkpoint."""
        return {"rows": self.rows, "seen": self.seen}

    def restore(self, state: Mapping[str, int]) -> None:
        """Count on from a checkpoint."""
        self.rows, self.seen = state["rows"], state["seen"]


def refuse_not_finite(loss: Tensor, *, begun: bool) -> None:
    """Look at the losses [B] of a pass before they are back-propagated.

    Args:
        loss: per row.
        begun: whether an earlier pass of this micro-batch has reached the gradients, so that it cannot start again.

    Raises:
        NotFiniteError: if some are not finite.
        InputError: likewise, where it is too late to leave these rows out.
    """
    bad = ~loss.detach().isfinite()
    if not bad.any():
        return
    if begun:
        raise InputError(
            f"the loss of {int(bad.sum())} of {len(loss)} rows is finite on their texts and not on the perturbed ones: "
            "lower the adversary's radius, or use precision fp32."
        )
    raise NotFiniteError(bad)


def nothing(weights: list[nn.Parameter]) -> Tensor:
    """Return a loss without any gradient: other processes wait for this one's backward, though no row of it stays."""
    return torch.stack([weight.sum() * 0.0 for weight in weights]).sum()
