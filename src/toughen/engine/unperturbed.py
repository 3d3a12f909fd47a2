"""Rows whose perturbation was set to 0, since its gradient is not finite: counted on the device, told once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

_LOG = logging.getLogger(__name__)


class Unperturbed:
    """The rows of one process whose perturbation was set to 0.

    They are counted on the device, and the count is read where the log is, so that no step waits for it.

    Attributes:
        total: over all processes, once :meth:`close` has been called.
    """

    def __init__(self) -> None:
        self.total = 0
        self._before = 0.0
        self._count: Tensor | None = None
        self._is_told = False

    def add(self, rows: Tensor) -> None:
        """Count rows [B] bool of a micro-batch."""
        count = rows.sum()
        self._count = count if self._count is None else self._count + count

    def here(self) -> float:
        """Return the rows of this process so far; waits for the device."""
        return self._before + (0.0 if self._count is None else float(self._count))

    def tell(self, adversary: str) -> None:
        """Warn of such rows, once; waits for the device."""
        rows = self.here()
        if rows and not self._is_told:
            self._is_told = True
            _LOG.warning(
                "adversary %s: the gradient of %d rows so far is not finite; they were learnt from without a "
                "perturbation. Use precision fp32 or bf16, or a lower learning rate.",
                adversary,
                rows,
            )

    def close(self, adversary: str, mean: Callable[[dict[str, float]], dict[str, float]], processes: int) -> None:
        """Take the total, where training ends; every process must ask.

        Args:
            adversary: its name.
            mean: takes the mean over processes.
            processes: so many.
        """
        self.tell(adversary)
        self.total = round(mean({"": self.here()})[""] * processes)

    def report(self) -> dict[str, Any]:
        """Return the total, for ``metrics.json``; nothing if there are none."""
        return {"rows_unperturbed": self.total} if self.total else {}

    def restore(self, here: float) -> None:
        """Count on from a checkpoint, which has the mean over processes."""
        self._before, self._count = here, None
