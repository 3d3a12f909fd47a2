"""What becomes of freed memory on a CPU: by default glibc gives large blocks back to the system, every step anew."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from toughen.machine.process_wide import process_wide
from toughen.machine.runtime import best_device

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # malloc.h
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}
"""No block of its own mapping, and never a trim."""
_GIVE_BACK = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20}
"""Where glibc's own rule ends in a process that frees blocks of 32 MiB, as training does in its first step."""


def freed_memory_kept(wanted: bool = True) -> AbstractContextManager[None]:
    """Keep what is freed inside for what comes next, as torch does on a GPU; give it back at the end.

    Blocks above 32 MiB (attention over long texts, the gradient of the embedding table) otherwise go back to the system
    as soon as they are freed, and every page of the next one is handed out and cleared anew. Nothing that is computed
    changes. The process takes more memory at its peak, where sizes vary from step to step.

    Nothing happens on a GPU, without glibc, and where the environment sets ``MALLOC_*`` or glibc's tunables. It is
    a setting of the process: of blocks inside one another, or in several threads, the last to end gives back. Outside
    of the main thread blocks above 64 MiB, which the heaps of threads cannot hold, come and go all the same. What
    follows has the thresholds that glibc's own rule comes to (32 and 64 MiB), and they no longer move by themselves.

    Args:
        wanted: False does nothing, for whoever would rather save memory than time.
    """
    return _keep_freed() if wanted else nullcontext()


@process_wide
@contextmanager
def _keep_freed() -> Iterator[None]:
    libc = _glibc()
    if libc is None:
        yield
        return
    _tell(libc, _KEEP)
    try:
        yield
    finally:
        _tell(libc, _GIVE_BACK)
        libc.malloc_trim(0)


def _glibc() -> Any:
    """Return the C library whose allocator can be told, or None."""
    told = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if told or platform.libc_ver()[0] != "glibc" or best_device().type != "cpu":
        return None
    return ctypes.CDLL(None)


def _tell(libc: Any, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        libc.mallopt(parameter, value)
