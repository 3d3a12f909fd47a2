"""Two of torch's kernels for the CPU with quicker ones in front: who is dropped, and attention's softmax."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch import library as registry

from toughen.machine.process_wide import process_wide

_PIECE = 1 << 19
"""Elements that one generator decides over; fixed, so that the number of threads does not change what is drawn."""
_GRAIN = 1 << 15
"""Elements up to which torch leaves an operation to the thread that calls it."""
_NEAR = 1e-4
"""A probability is rounded to 16 bits where that changes neither it nor its counterpart by more than this share."""

_on = False


def quick_kernels(wanted: bool = True) -> AbstractContextManager[None]:
    """Draw dropout's masks four numbers at a time on a CPU, and look for rows of attention that see nothing only once.

    torch's ``bernoulli_`` makes one random number for each element, in a plain training a quarter of the forward pass
    and more; inside, a 64-bit word decides over four (over two where the probability needs it). The words come from
    torch's generator, or for large masks from generators that it seeds, so that seeds, saved states and replayed passes
    mean what they do outside, but the masks of a seed are others. ``_safe_softmax``, which attention without a fused
    kernel calls, walks over all scores three more times to find rows whose scores are all minus infinity; inside it
    looks at one column, and goes on where that has something to hide. Its results are bitwise the same.

    It is a switch of the process, for all threads: of several blocks at a time the last to end gives torch's own the
    word again. The first block of a process puts both in front of torch's for good; no other thread may be inside
    them meanwhile. A pass of another thread that is made again (`torch.utils.checkpoint`) must not begin outside and
    be made again inside. Nothing happens with a torch that cannot tell its own kernels, before 2.9.

    Args:
        wanted: False does nothing.
    """
    return _quick_kernels() if wanted else nullcontext()


@process_wide
@contextmanager
def _quick_kernels() -> Iterator[None]:
    global _on
    _install()
    _on = True
    try:
        yield
    finally:
        _on = False


@cache
def _install() -> Any:
    """Put the quick kernels in front of torch's, once: taking them away again could hit another thread's call."""
    if not hasattr(registry, "get_kernel"):
        return None
    operators: Any = registry.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*[Oo]verrid")
        for name in _QUICK:
            own = registry.get_kernel(f"aten::{name}", "CPU")
            operators.impl(name, partial(_either, name, own), "CPU", with_keyset=True, allow_override=True)
    return operators


def _either(name: str, own: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
    return _QUICK[name](*args, **kwargs) if _on else own.call_boxed(keys, *args, **kwargs)


def bernoulli_(out: Tensor, p: float = 0.5, *, generator: torch.Generator | None = None) -> Tensor:
    """Set each element to 1 with probability ``p``, else to 0.

    Args:
        out: of any shape, strides and real type.
        p: rounded to 16 bits where that changes neither it nor 1 - p by a share of 1e-4, else to 32.
        generator: default torch's.

    Raises:
        RuntimeError: if ``p`` is not between 0 and 1, as torch's own.
    """
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    bits = 16 if abs(round(p * 2**16) / 2**16 - p) <= _NEAR * min(p, 1 - p) else 32
    ones = round(p * 2**bits)
    if ones in (0, 2**bits):
        return out.fill_(float(ones > 0))
    flat = out.view(-1) if out.is_contiguous() else torch.empty(out.numel(), dtype=out.dtype)
    _draw(flat, ones - 2 ** (bits - 1), torch.int16 if bits == 16 else torch.int32, generator)
    return out if out.is_contiguous() else out.copy_(flat.view(out.shape))


def _draw(flat: Tensor, below: int, kind: torch.dtype, generator: torch.Generator | None) -> None:
    """Set each element to whether a random number of that kind lies below; many elements, in pieces by threads.

    Each piece has a generator of its own, of which torch keeps 32 bits of the seed.
    """
    pieces = torch.split(flat, _PIECE)
    if len(pieces) == 1:
        _fill(flat, generator, below, kind, _PIECE)
        return
    seeds = torch.empty(len(pieces), dtype=torch.int64).random_(generator=generator).tolist()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    threads = min(torch.get_num_threads(), len(pieces))
    if threads == 1 or not threading.main_thread().is_alive():  # after which Python's pools take no work
        for piece, its in zip(pieces, generators, strict=True):
            _fill(piece, its, below, kind, _PIECE)
        return
    fill = partial(_fill, below=below, kind=kind, at_once=_GRAIN)
    with ThreadPoolExecutor(threads) as pool:  # torch's operations leave Python to the others
        list(pool.map(fill, pieces, generators))


def _fill(flat: Tensor, generator: torch.Generator | None, below: int, kind: torch.dtype, at_once: int) -> None:
    with torch.inference_mode(flat.is_inference()):  # a mode of the thread; else nobody may write into such a tensor
        words = torch.empty(-(-len(flat) * kind.itemsize // 8), dtype=torch.int64)
        numbers = words.random_(-(2**63), None, generator=generator).view(kind)[: len(flat)]
        for few, elements in zip(torch.split(numbers, at_once), torch.split(flat, at_once), strict=True):
            torch.lt(few, below, out=elements)


def safe_softmax(scores: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return the softmax of ``scores`` over ``dim``, with zeros for rows that are minus infinity throughout."""
    found = torch.softmax(scores, dim, dtype)
    if found.dim() and found.numel() and not found.select(dim, 0).isnan().any():
        return found
    hidden = scores.isneginf().all(dim, keepdim=True)
    return found.masked_fill(hidden, 0.0)


_QUICK: dict[str, Callable[..., Tensor]] = {"bernoulli_.float": bernoulli_, "_safe_softmax": safe_softmax}
