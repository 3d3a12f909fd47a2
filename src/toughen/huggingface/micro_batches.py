"""The rows that go through the model at a time: those of the loader's batches, fewer once the memory ran out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.trainer_pt_utils import nested_concat

from toughen.engine.engine import Engine
from toughen.engine.likelihood import Likelihood
from toughen.engine.randomness import Generators
from toughen.engine.rows import Window, count_rows

_LOG = logging.getLogger(__name__)

Batch = Mapping[str, Tensor]
Prediction = tuple[Any, Any, Any]
"""What the Trainer's prediction step makes: the mean loss, logits [B, ...] and labels [B, ...], each or None."""


class MicroBatches:
    """Runs the engine on an optimiser step's batches, in parts of at most ``rows`` rows.

    Where a pass runs out of memory, the optimiser step begins again with half the rows at a time: its gradient is that
    of the same rows, as if the batches had half the rows and the accumulation were twice as long. What was drawn is
    drawn again. Of several processes the others may already have sent their gradients, so there the error stays one.

    Attributes:
        rows: at a time, at most; None while nothing ran out.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self._done: list[Batch] = []
        self._returned: Tensor | float = 0.0
        self._start: _Start | None = None

    def backward(self, engine: Engine, batch: Batch, window: Window, *, sync: bool) -> Tensor:
        """Do what ``engine.backward`` does with the next batch of the optimiser step that ``sync`` ends.

        Raises:
            torch.OutOfMemoryError: if one row at a time is too much, or several processes train together.
        """
        if not self._done:
            self._start, self._returned = _Start(engine), 0.0
        self._done.append(batch)
        loss = self._try(engine, [batch], window, sync)
        while loss is None:  # what the failed pass held is free here: its error is gone
            assert self._start is not None  # set with the first batch
            self._start.restore(engine)
            loss = self._try(engine, self._done, window, sync)
            loss = None if loss is None else loss - self._returned
        self._returned = self._returned + loss
        if sync:
            self._done, self._start = [], None
        return loss

    def report(self) -> dict[str, Any]:
        """Return the rows at a time, for ``metrics.json``; nothing if no memory ran out."""
        return {} if self.rows is None else {"micro_batch": self.rows}

    def _try(self, engine: Engine, batches: list[Batch], window: Window, sync: bool) -> Tensor | None:
        """Return the loss of these batches, the last ones of the step so far; None to begin the step again."""
        parts = [part for batch in batches for part in self._parts(batch)]
        total: Tensor | float = 0.0
        try:
            for n, part in enumerate(parts, 1):
                total = total + engine.backward(
                    part, examples=window.examples, labelled=window.labelled, sync=sync and n == len(parts)
                )
        except torch.OutOfMemoryError:
            most = max(len(part["labels"]) for part in parts)
            if most == 1 or engine.runtime.processes > 1:
                raise
            self._halve(most)
            return None
        assert isinstance(total, Tensor)  # a batch has rows
        return total

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        count = len(batch["labels"])
        if self.rows is None or count <= self.rows:
            yield batch
            return
        for start in range(0, count, self.rows):
            yield {name: value[start : start + self.rows] for name, value in batch.items()}

    def _halve(self, rows: int) -> None:
        self.rows = (rows + 1) // 2
        _LOG.warning(
            "the memory was used up by %d rows at a time: from now on %d go through the model at a time, and an "
            "optimiser step has the rows that it had",
            rows,
            self.rows,
        )


class _Start:
    """What an optimiser step started from, apart from its gradients, which were none."""

    def __init__(self, engine: Engine) -> None:
        self._facts = [(thing, _copy_facts(vars(thing))) for thing in _list_counters(engine)]
        self._log = dict(engine.log)
        self._ascents = engine.ascents
        self._generators = Generators(next(iter(engine.trainable.values())).device)

    def restore(self, engine: Engine) -> None:
        """Take back what the step has counted, drawn and added to gradients; give free memory back."""
        for thing, facts in self._facts:
            vars(thing).update(_copy_facts(facts))
        engine.log, engine.ascents = dict(self._log), self._ascents
        for weight in engine.trainable.values():
            weight.grad = None
        self._generators.restore()
        gc.collect()
        torch.cuda.empty_cache()  # does nothing where CUDA was never used


def _list_counters(engine: Engine) -> list[Any]:
    """Return what counts while a step runs; none of it changes its tensors in place."""
    every = (engine.cost, engine.tally, engine.left_out, engine.unperturbed, engine.radius)
    return [thing for thing in every if thing is not None]


def _copy_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value for name, value in facts.items()}


def join_predictions(parts: Sequence[tuple[Prediction, Batch]], likelihood: Likelihood) -> Prediction:
    """Return the loss, the logits and the labels of a batch that was scored in parts.

    Args:
        parts: what was made of which rows.
        likelihood: of the task: what its loss is the mean over.
    """
    (loss, logits, labels), _ = parts[0]
    concatenate: Any = nested_concat  # of nested tuples, as a model's outputs may be
    for (_, more, truth), _ in parts[1:]:
        logits = None if logits is None else concatenate(logits, more)
        labels = None if labels is None else concatenate(labels, truth)
    if loss is not None:
        counts = [float(count_rows(batch, likelihood)[1]) for _, batch in parts]
        # The mean over no label is no number.
        sums = [made[0] * n for (made, _), n in zip(parts, counts, strict=True) if n]
        loss = torch.stack(sums).sum() / sum(counts) if sums else loss
    return loss, logits, labels
