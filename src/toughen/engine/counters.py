"""Counting what training does: passes, hits, seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from toughen.engine.likelihood import IGNORED


class Cost:
    """Passes over the batch so far; a doubled batch counts twice.

    Attributes:
        steps: optimiser steps these passes made up.
        forwards: forward passes.
        units: cost with forward 1, backward into the parameters 2, backward to the perturbation alone 1; plain
            training has 3 per step.
        share: of the micro-batch that the passes counted now go through.
        checkpointed: whether the model's layers keep no activations (gradient checkpointing), so that every backward
            makes the forward passes that it goes through once more.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.forwards: float = 0
        self.units: float = 0
        self.share: float = 1
        self.checkpointed = False
        self._open = 0
        self._kept = 0

    def state(self) -> dict[str, float]:
        """Return the counts, for a checkpoint."""
        return {"steps": self.steps, "forwards": self.forwards, "units": self.units}

    def restore(self, state: Mapping[str, float]) -> None:
        """Count on from a checkpoint."""
        self.steps, self.forwards, self.units = int(state["steps"]), state["forwards"], state["units"]

    def passed(self, copies: int) -> None:
        """Count a forward pass."""
        self._add(copies, copies)
        if torch.is_grad_enabled():
            self._open += copies

    def again(self) -> None:
        """Count a forward pass that is made once more in a backward, to save the memory of its activations."""
        self._add(1, 1)

    def layers_again(self, copies: int) -> None:
        """Count forward passes that gradient checkpointing makes once more in a backward, layer by layer."""
        self._add(copies, copies)

    def kept(self) -> None:
        """Keep the graphs of the passes since the last backward for the joint one."""
        self._kept += self._open
        self._open = 0

    def taught(self) -> None:
        """Count a backward into the parameters, of all forward passes since the last backward and all kept ones."""
        self._back(self._open + self._kept, units=2)
        self._open = self._kept = 0

    def abandon_passes(self) -> None:
        """Forget the forward passes that no backward will go through."""
        self._open = self._kept = 0

    def searched(self, kept: bool = False) -> None:
        """Count a backward to the perturbation alone, of the passes since the last backward or of the kept ones."""
        self._back(self._kept if kept else self._open, units=1)
        self._open = self._open if kept else 0

    def count_double_backward(self) -> None:
        """Count a backward to the perturbation through the kept passes, whose own graph joins them."""
        self._add(0, self._kept)
        self._kept *= 2

    def _back(self, copies: int, units: int) -> None:
        # Torch keeps nothing that it made again, not even for the next backward through the same passes.
        if self.checkpointed:
            self.layers_again(copies)
        self._add(0, units * copies)

    def _add(self, forwards: int, units: int) -> None:
        self.forwards += forwards * self.share
        self.units += units * self.share


class Tally:
    """Training accuracy since the last reset, kept on the device until it is asked for.

    Attributes:
        perturbed: [right, counted] answers of the passes that were perturbed, or None if there were none.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again."""
        self._hits: Tensor | None = None
        self._classes: Tensor | None = None
        self.perturbed: Tensor | None = None

    def add_perturbed(self, right_of_counted: Tensor) -> None:
        """Take in [right, counted] answers of a perturbed pass."""
        self.perturbed = right_of_counted if self.perturbed is None else self.perturbed + right_of_counted

    def add(self, right: Tensor, labels: Tensor, classes: int, weight: Tensor | None) -> None:
        """Take in right [N] bool of labels [N] class ids (``IGNORED`` does not count), weight [N] or None."""
        known = (labels != IGNORED).float()
        if weight is not None:
            known = known * weight
        hits = (right * known).sum()
        counts = torch.zeros(classes, dtype=known.dtype, device=known.device).scatter_add_(
            0, labels.clamp(min=0), known
        )
        self._hits = hits if self._hits is None else self._hits + hits
        self._classes = counts if self._classes is None else self._classes + counts

    def counts(self) -> Tensor | None:
        """Return [hits, rows of class 0, rows of class 1, ...], or None if nothing was counted."""
        if self._hits is None or self._classes is None:
            return None
        return torch.cat([self._hits.view(1), self._classes])


class Clock:
    """Seconds of the training loop alone, validation and checkpoints left out, and the rows it went through."""

    def __init__(self) -> None:
        self.rows = 0
        self.before: tuple[float, int] = (0.0, 0)
        self._seconds = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far; a resumed run counts on from its checkpoint."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._seconds + running

    def start(self) -> None:
        """Start, with what a checkpoint had counted."""
        seconds, rows = self.before
        self._seconds, self.rows = seconds, rows
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Stand still."""
        self._seconds, self._since = self.seconds, None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still inside the block."""
        running = self._since is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self._since = time.perf_counter()
