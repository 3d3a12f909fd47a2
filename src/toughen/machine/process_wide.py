"""Settings of the whole process that several trainings may want at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps


def process_wide(setting: Callable[[], AbstractContextManager[None]]) -> Callable[[], AbstractContextManager[None]]:
    """Make the blocks of a setting of the process share it: the first to begin enters it, the last to end leaves it.

    Blocks may be inside one another or in several threads. A setting that ended with the first block would be gone from
    under the others; one that each block put back to what it had found would outlast them all.
    """
    lock = threading.Lock()
    inside = 0
    entered: AbstractContextManager[None]

    @contextmanager
    @wraps(setting)
    def block() -> Iterator[None]:
        nonlocal inside, entered
        with lock:
            if inside == 0:
                entered = setting()
                entered.__enter__()
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if inside == 0:
                    entered.__exit__(None, None, None)

    return block
