"""Passes whose activations are not kept: the backward makes them once more, with the same dropout and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from toughen.engine.counters import Cost
from toughen.engine.randomness import Noise

Pass = Callable[[Noise], Tensor]
"""Runs a model with a source of noise and returns its logits."""


def recompute_pass(run: Pass, noise: Noise, cost: Cost, like: Tensor) -> Tensor:
    """Return the logits of a pass that keeps no activations until its backward makes them again.

    torch's non-reentrant checkpoint over the whole pass: one forward more, the memory of one pass less.

    Args:
        run: the pass, which must save the same tensors both times.
        noise: drawn from now, and replayed then.
        cost: counts the second forward.
        like: any tensor on the model's device, whose generator is replayed for dropout.
    """
    tape = _Tape(noise)
    calls = 0

    def once(_like: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        tape.rewind()
        if calls > 1:
            cost.again()
        return run(tape)

    logits: Tensor = checkpoint(once, like, use_reentrant=False)
    return logits


class _Tape:
    """A source of noise that remembers what it gave, and gives it again after a rewind."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self._given: list[Tensor] = []
        self._next = 0

    def rewind(self) -> None:
        self._next = 0

    def __call__(self, kind: Literal["uniform", "normal"], like: Tensor) -> Tensor:
        if self._next == len(self._given):
            self._given.append(self._noise(kind, like))
        self._next += 1
        return self._given[self._next - 1]
