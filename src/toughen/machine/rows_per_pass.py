"""Passes without gradients that run out of memory are made again with fewer rows at a time."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

_LOG = logging.getLogger(__name__)

Found = TypeVar("Found")


class RowsPerPass:
    """Makes passes over the rows of a batch, of at most ``rows`` rows each.

    Where one runs out of memory it is made again with half the rows; later batches begin with what fitted.

    Attributes:
        rows: at a time, at most; None while nothing ran out.
    """

    def __init__(self) -> None:
        self.rows: int | None = None

    def run(self, forward: Callable[[Mapping[str, Any]], Found], batch: Mapping[str, Any]) -> list[Found]:
        """Return what ``forward`` makes of the batch, part by part.

        Args:
            forward: a pass without gradients.
            batch: tensors [B, ...] by name; one with anything else in it stays whole.

        Raises:
            torch.OutOfMemoryError: if one row at a time, or a batch that cannot be divided, is too much.
        """
        count = _count_rows(batch)
        if not count:
            return [forward(batch)]
        found: list[Found] = []
        start = 0
        while start < count:
            stop = min(start + (self.rows or count), count)
            made = self._try(forward, {name: value[start:stop] for name, value in batch.items()}, stop - start)
            found += made
            start = stop if made else start
        return found

    def _try(self, forward: Callable[[Mapping[str, Any]], Found], part: Mapping[str, Any], rows: int) -> list[Found]:
        """Return what the pass made, in a list; an empty one where the memory ran out and fewer rows are next."""
        try:
            return [forward(part)]
        except torch.OutOfMemoryError:
            if rows < 2:
                raise
        self.rows = (rows + 1) // 2  # outside the handler, where the error no longer holds what the pass made
        gc.collect()
        torch.cuda.empty_cache()  # does nothing where CUDA was never used
        _LOG.warning(
            "the memory was used up by scoring %d rows at a time: from now on %d at a time, with the same outputs",
            rows,
            self.rows,
        )
        return []


def _count_rows(batch: Mapping[str, Any]) -> int:
    """Return how many rows each tensor of a batch has; 0 where they cannot be divided."""
    counts = {len(value) if isinstance(value, Tensor) and value.dim() else 0 for value in batch.values()}
    return counts.pop() if len(counts) == 1 else 0
