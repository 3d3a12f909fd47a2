"""Which library multiplies the matrices of a search."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def quick_linear(classifier: Any) -> AbstractContextManager[Any]:
    """Return a context in which a float32 model on the CPU computes its linear layers with oneDNN, where that pays.

    PyTorch takes MKL for float32, which keeps to AVX2 on processors that are not Intel's; oneDNN takes AVX-512 there
    and is about twice as fast. The sums are added in another order: logits differ in their last digits.
    """
    parameters: Iterable[Any] = getattr(getattr(classifier, "model", None), "parameters", tuple)()
    kinds = {(parameter.device.type, parameter.dtype) for parameter in parameters}
    return _one_dnn_mode() if kinds == {("cpu", torch.float32)} and one_dnn_pays() else nullcontext()


def one_dnn_pays() -> bool:
    """Tell whether this processor has AVX-512 that MKL leaves unused, and PyTorch has oneDNN."""
    facts: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    name = str(facts.get("cpu_name", "Intel"))
    backend: Any = torch.backends.mkldnn
    there = backend.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return bool(there) and bool(facts.get("avx512_f")) and "Intel" not in name


def _one_dnn_mode() -> AbstractContextManager[Any]:
    class OneDnnLinear(TorchFunctionMode):
        """Sends float32's linear layers to oneDNN; everything else goes on as it is."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.linear and not kwargs and _fits(args):
                bias = args[2] if len(args) > 2 else None
                return torch.ops.mkldnn._linear_pointwise(args[0], args[1], bias, "none", [], "")
            return func(*args, **(kwargs or {}))

    return OneDnnLinear()


def _fits(args: tuple[Any, ...]) -> bool:
    if torch.is_autocast_enabled("cpu") or torch.is_grad_enabled():
        return False
    return bool(args[0].dtype == torch.float32 and args[0].numel() > 0)
