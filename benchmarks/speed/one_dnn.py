"""Linear layers in float32 by oneDNN, forward and backward, where MKL leaves AVX-512 unused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from toughen.attack.matrix_library import one_dnn_pays


@contextmanager
def quick_float32() -> Iterator[str]:
    """Compute float32's linear layers inside with oneDNN, where that pays; give the name of what multiplies.

    The sums are added in another order, so that results differ from MKL's in their last digits. Only where a score is
    measured, never where seconds are.
    """
    if not one_dnn_pays():
        yield "torch's own"
        return
    with _OneDnn():
        yield "oneDNN"


class _OneDnn(TorchFunctionMode):
    """Sends float32's linear layers to oneDNN; everything else goes on as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.linear and not kwargs and args[0].dtype == torch.float32:
            bias = args[2] if len(args) > 2 else None
            return _Linear.apply(args[0], args[1], bias)
        return func(*args, **(kwargs or {}))


class _Linear(torch.autograd.Function):
    """x [..., I], weight [O, I], bias [O] or None -> [..., O]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        of_x = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = _product(rows.t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, rows.sum(0) if ctx.has_bias else None


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return left @ right.T + bias."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
    return found
