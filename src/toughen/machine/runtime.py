"""How a pass is run and a loss sent back on this machine: precision, gradient scaling, communication."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from toughen.errors import InputError
from toughen.machine.modes import Precision


class Runtime(Protocol):
    """What the engine asks of the loop it stands in."""

    @property
    def processes(self) -> int:
        """How many processes train together."""

    @property
    def skips_overflow(self) -> bool:
        """Whether a gradient scaler skips a step whose gradients are not finite, as some of fp16's are not."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the model runs."""

    def backward(self, loss: Tensor) -> None:
        """Back-propagate a scalar, scaled by :meth:`scaled`."""

    def scaled(self, loss: Tensor) -> Tensor:
        """Multiply by the gradient scale (on the device, without a synchronisation)."""

    def local(self) -> AbstractContextManager[Any]:
        """Return the context in which nothing is communicated between processes."""

    def outer(self, sync: bool) -> AbstractContextManager[Any]:
        """Return the context of a whole micro-batch: :meth:`local` where it must not communicate (``sync`` false)."""

    def summed(self, numbers: Tensor) -> Tensor:
        """Return the sum of all processes' numbers, of one shape; every process must ask."""

    def gathered(self, rows: Tensor) -> Tensor:
        """Return all processes' rows [N, ...], in one order everywhere; every process must ask, N may differ."""


class PlainRuntime:
    """A hand-written PyTorch loop, with or without DDP around the model.

    Attributes:
        precision: bf16, fp16 or fp32, as resolved on this hardware.
        scaler: the gradient scaler of fp16, else None.
    """

    def __init__(self, model: nn.Module, precision: Precision) -> None:
        device = next(model.parameters()).device
        self.precision = resolve_precision(precision, device)
        self.scaler = torch.amp.GradScaler(device.type) if self.precision == "fp16" else None
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        self._autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        if dtype is not None:
            self._autocast = partial(torch.autocast, device.type, dtype=dtype)
        self._no_sync: Callable[[], AbstractContextManager[Any]] = getattr(model, "no_sync", nullcontext)
        self._group: Any = getattr(model, "process_group", None)

    @property
    def processes(self) -> int:
        """See :class:`Runtime`."""
        return 1 if self._group is None else int(torch.distributed.get_world_size(self._group))

    @property
    def skips_overflow(self) -> bool:
        """See :class:`Runtime`."""
        return self.scaler is not None

    def autocast(self) -> AbstractContextManager[Any]:
        """See :class:`Runtime`."""
        return self._autocast()

    def backward(self, loss: Tensor) -> None:
        """See :class:`Runtime`."""
        torch.autograd.backward(self.scaled(loss))

    def scaled(self, loss: Tensor) -> Tensor:
        """See :class:`Runtime`."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def local(self) -> AbstractContextManager[Any]:
        """See :class:`Runtime`."""
        return self._no_sync()

    def outer(self, sync: bool) -> AbstractContextManager[Any]:
        """See :class:`Runtime`."""
        return nullcontext() if sync else self._no_sync()

    def summed(self, numbers: Tensor) -> Tensor:
        """See :class:`Runtime`."""
        return numbers if self._group is None else sum_over_group(self._group, numbers)

    def gathered(self, rows: Tensor) -> Tensor:
        """See :class:`Runtime`."""
        return rows if self._group is None else gather_rows(self._group, rows)


def sum_over_group(group: Any, numbers: Tensor) -> Tensor:
    """Return the sum of the numbers of all processes of a group."""
    numbers = numbers.clone()
    torch.distributed.all_reduce(numbers, group=group)
    return numbers


def gather_rows(group: Any, rows: Tensor) -> Tensor:
    """Return the rows [N, ...] of all processes of a group, by rank; N may differ."""
    world = torch.distributed.get_world_size(group)
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(world)]
    torch.distributed.all_gather(counts, count, group=group)
    sizes = [int(n) for n in counts]
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def casts_kept(device: torch.device) -> AbstractContextManager[Any]:
    """Keep autocast's copies of the weights for all passes inside: it drops them where its outermost context ends.

    Nothing is cast that would not be cast without. :func:`forget_casts` where weights have changed, and after a pass
    without a graph, whose copies lead back to no weight.
    """
    if not torch.amp.is_autocast_available(device.type) or torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def forget_casts() -> None:
    """Drop autocast's copies of the weights."""
    torch.clear_autocast_cache()


def resolve_precision(precision: Precision, device: torch.device) -> Literal["bf16", "fp16", "fp32"]:
    """Choose ``auto``'s precision: bf16 where the hardware is fast at it, fp16 on GPUs without, else fp32.

    Raises:
        InputError: if bf16 or fp16 is asked for where it cannot be computed.
    """
    if precision == "auto":
        if fast_bf16(device):
            return "bf16"
        return "fp16" if device.type == "cuda" else "fp32"
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            f"training.precision bf16 is not supported by {torch.cuda.get_device_name(device)}; use fp16 or auto."
        )
    return precision


def fast_bf16(device: torch.device) -> bool:
    """Say whether matrix products in bfloat16 have hardware of their own here (GPU from Ampere; AMX or AVX512-BF16)."""
    if device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return from_ampere(device)


def from_ampere(device: torch.device) -> bool:
    """Say whether this is an NVIDIA GPU of Ampere or later: with bfloat16, and TF32 for products of float32."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def best_device() -> torch.device:
    """Return the accelerator of this machine, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def let_lengths_vary() -> None:
    """Make torch.compile treat a perturbation's shape as one that varies; call it before the first compiled pass.

    By default it takes the shapes of whatever a module's hooks hold for fixed and compiles every length anew, up to its
    limit, after which nothing is compiled any more.
    """
    import torch._dynamo

    torch._dynamo.config.force_nn_module_property_static_shapes = False


@contextmanager
def compiled_graphs_kept() -> Iterator[None]:
    """Let a pass that is compiled inside be back-propagated through twice.

    By default a compiled backward uses the memory of what its pass has saved for other things. The backward asks for
    the setting too, and it holds in one thread, so that backwards must run in this one; on a GPU they would not.
    """
    import torch._functorch.config

    with torch._functorch.config.patch(donated_buffer=False), torch.autograd.set_multithreading_enabled(False):
        yield


def is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile made this module."""
    from accelerate.utils import is_compiled_module

    return bool(is_compiled_module(model))


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DDP, FSDP or a compiled module."""
    from accelerate.utils import extract_model_from_parallel

    bare: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    return bare
