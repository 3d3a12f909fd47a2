"""What one request may cost, how much may wait, and how texts are put together into passes."""

from __future__ import annotations

from dataclasses import dataclass

from toughen.errors import InputError
from toughen.settings import require

_HEADERS = 10.0  # seconds
_BODIES = 32  # of the largest size, held at once


@dataclass(frozen=True)
class Limits:
    """Bounds of the service; a request beyond one of them is refused in a sentence.

    Attributes:
        max_batch_tokens: tokens of one pass, padding included; a longer text has a pass of its own.
        max_wait_ms: how long a text may wait for others to share its pass; milliseconds, None is that every request
            has passes of its own.
        max_texts: texts per request.
        max_body_bytes: bytes per request.
        timeout: seconds until a request is given up, its arrival and its waiting included.
        queue: texts that may wait; a request that would make it more is refused (429).
        max_connections: open at once; beyond them the one that has been idle longest is closed.
    """

    max_batch_tokens: int = 4096
    max_wait_ms: float | None = None
    max_texts: int = 256
    max_body_bytes: int = 2 * 1024 * 1024
    timeout: float = 30.0
    queue: int = 1024
    max_connections: int = 1024

    @property
    def header_seconds(self) -> float:
        """Seconds within which the headers of a request must arrive."""
        return min(_HEADERS, self.timeout)

    @property
    def held_bytes(self) -> int:
        """Bytes of long bodies that may be held at once."""
        return _BODIES * self.max_body_bytes

    def __post_init__(self) -> None:
        for name in ("max_batch_tokens", "max_texts", "max_body_bytes", "queue", "max_connections"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        require(self.max_wait_ms is None or self.max_wait_ms >= 0, "max_wait_ms", self.max_wait_ms, "must be 0 or more")
        require(0 < self.timeout <= 3600, "timeout", self.timeout, "must be above 0 and at most 3600 seconds")
        if self.queue < self.max_texts:
            raise InputError(
                f"queue is {self.queue} and max_texts {self.max_texts}, so a request of so many texts could never be "
                "taken; make the queue as long."
            )
