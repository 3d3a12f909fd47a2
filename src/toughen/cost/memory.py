"""Memory of a step: what stands still, by counting; what autograd keeps, by watching it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from toughen.engine.adversaries import AnyAdversary, WeightAdversary
from toughen.engine.averages import Average, CheckpointSoup

SHADOW = 4
"""Bytes per number of an average: it is float32."""
ADAM = 2
"""Copies of the weights that AdamW keeps: the running means of the gradient and of its square."""
MOVE = 1
"""Copies of the weights that an adversary in weight space needs: the moved ones, which lie where its gradient lay."""
CLEAN_MOVE = 2
"""The same where the first gradient teaches too: it stays beside the moved weights and their own gradient."""


def count_fixed_bytes(model: nn.Module, average: Average | None, adversary: AnyAdversary | None) -> dict[str, int]:
    """Return the bytes on the model's device that do not depend on the batch: weights, and what is kept beside them."""
    learning = [p for p in model.parameters() if p.requires_grad]
    size = sum(p.nbytes for p in learning)
    shadow = average is not None and not isinstance(average, CheckpointSoup)
    if getattr(average, "keep_on", "model") == "cpu":
        shadow = shadow and next(model.parameters()).device.type == "cpu"
    return {
        "weights": sum(t.nbytes for t in (*model.parameters(), *model.buffers())),
        "gradients": size,
        "optimizer": ADAM * size,
        "average": SHADOW * sum(p.numel() for p in learning) if shadow else 0,
        "adversary": _moves(adversary) * size,
    }


def _moves(adversary: AnyAdversary | None) -> int:
    """Return how many copies of the learning weights the adversary's move takes."""
    if not isinstance(adversary, WeightAdversary):
        return 0
    return CLEAN_MOVE if adversary.clean else MOVE


class SavedTensors:
    """Counts the bytes that autograd keeps for backward passes made inside, each storage once, weights left out.

    Attributes:
        peak: the most bytes kept at one time.
    """

    def __init__(self, leave_out: Iterable[Tensor]) -> None:
        self._left_out = list(leave_out)
        self._kept: Counter[int] = Counter()
        self._bytes = 0
        self.peak = 0
        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def __enter__(self) -> SavedTensors:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> _Kept:
        kept = _Kept(tensor.detach())  # a hook must not return the tensor itself
        key, size = _key(tensor), tensor.untyped_storage().nbytes()
        # Looked up anew: moved weights lie elsewhere.
        if not any(_key(weight) == key for weight in self._left_out):
            self._bytes += 0 if self._kept[key] else size
            self._kept[key] += 1
            self.peak = max(self.peak, self._bytes)
            weakref.finalize(kept, self._release, key, size)
        return kept

    def _unpack(self, kept: _Kept) -> Tensor:
        return kept.tensor

    def _release(self, key: int, size: int) -> None:
        self._kept[key] -= 1
        if not self._kept[key]:
            self._bytes -= size


class _Kept:
    """Holds a tensor until the graph that it belongs to is gone."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def line_through(bytes_of: Callable[[int], int]) -> Callable[[float], int]:
    """Return the bytes of any number of rows, as a straight line through those of one row and of two."""
    one, two = bytes_of(1), bytes_of(2)
    return lambda rows: round(one + (two - one) * (rows - 1))
