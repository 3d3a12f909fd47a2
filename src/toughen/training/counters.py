"""Counting what training does: passes, hits, seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from toughen.training.likelihood import IGNORED


class Cost:
    """Passes over the batch so far; a doubled batch counts twice.

    Attributes:
        steps: optimiser steps these passes made up.
        forwards: forward passes.
        units: cost with forward 1, backward into the parameters 2, backward to the perturbation alone 1; plain
            training has 3 per step.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.forwards = 0
        self.units = 0
        self._open = 0
        self._kept = 0

    def state(self) -> dict[str, int]:
        """Return the counts, for a checkpoint."""
        return {"steps": self.steps, "forwards": self.forwards, "units": self.units}

    def restore(self, state: Mapping[str, int]) -> None:
        """Count on from a checkpoint."""
        self.steps, self.forwards, self.units = state["steps"], state["forwards"], state["units"]

    def passed(self, copies: int) -> None:
        """Count a forward pass."""
        self.forwards += copies
        self.units += copies
        if torch.is_grad_enabled():
            self._open += copies

    def kept(self) -> None:
        """Keep the graphs of the passes since the last backward for the joint one."""
        self._kept += self._open
        self._open = 0

    def taught(self) -> None:
        """Count a backward into the parameters, of all forward passes since the last backward and all kept ones."""
        self.units += 2 * (self._open + self._kept)
        self._open = self._kept = 0

    def searched(self, kept: bool = False) -> None:
        """Count a backward to the perturbation alone, of the passes since the last backward or of the kept ones."""
        self.units += self._kept if kept else self._open
        self._open = self._open if kept else 0

    def differentiated(self) -> None:
        """Count a backward to the perturbation through the kept passes, whose own graph joins them."""
        self.units += self._kept
        self._kept *= 2


class Tally:
    """Training accuracy since the last reset, kept on the device until it is asked for."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again."""
        self._hits: Tensor | None = None
        self._classes: Tensor | None = None

    def add(self, right: Tensor, labels: Tensor, classes: int, weight: Tensor | None) -> None:
        """Take in right [N] bool of labels [N] class ids (``IGNORED`` does not count), weight [N] or None."""
        known = (labels != IGNORED).float()
        if weight is not None:
            known = known * weight
        hits = (right * known).sum()
        counts = torch.zeros(classes, device=known.device).scatter_add_(0, labels.clamp(min=0), known)
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
