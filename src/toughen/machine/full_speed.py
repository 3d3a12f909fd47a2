"""What a training that asks for it changes on a CPU, in the whole process and until it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from toughen.machine.allocator import freed_memory_kept
from toughen.machine.kernels import quick_kernels
from toughen.machine.modes import Memory, Precision
from toughen.machine.process_wide import process_wide
from toughen.machine.runtime import best_device, resolve_precision


@contextmanager
def full_speed(precision: Precision = "auto", memory: Memory = "normal", cpu_kernels: bool = True) -> Iterator[None]:
    """Train inside with quick kernels, freed memory kept (but for ``memory: low``) and bfloat16 in attention too.

    Args:
        precision: of the passes.
        memory: low leaves the allocator alone.
        cpu_kernels: False changes nothing.
    """
    device = best_device()
    cpu = cpu_kernels and device.type == "cpu"
    half = cpu and resolve_precision(precision, device) == "bf16"
    with freed_memory_kept(cpu and memory == "normal"), half_attention(half), quick_kernels(cpu):
        yield


def half_attention(wanted: bool = True) -> AbstractContextManager[None]:
    """Let attention with dropout stay in bfloat16 on a CPU.

    There only torch's plain attention has dropout, and it widens to float32 what autocast has just narrowed: products
    at float32's speed, and probabilities [B, heads, T, T] of twice the size. Inside they are what attention without a
    kernel of its own has always computed under autocast. On a GPU the kernels that have dropout are narrow as it is.
    It is a switch of the process: of several blocks at a time the last to end puts it back.
    """
    return _half_attention() if wanted else nullcontext()


@process_wide
@contextmanager
def _half_attention() -> Iterator[None]:
    before = bool(torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed())  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)
