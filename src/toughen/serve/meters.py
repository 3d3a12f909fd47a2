"""What the service counts, in Prometheus's form."""

from __future__ import annotations

import threading
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_REASONS = {
    401: "token",
    403: "origin",
    408: "slow",
    413: "too large",
    415: "not json",
    421: "host",
    422: "invalid",
    429: "queue full",
    503: "shutting down",
    504: "timeout",
}


class Meters:
    """Counters of one service, in a registry of its own.

    Attributes:
        paths: that are told apart; all others are counted as "other".
        shown: whether the service itself shows them.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self.paths: frozenset[str] = frozenset()
        self.shown = shown
        self._registry = own = CollectorRegistry()
        self._requests = Counter("toughen_requests", "Requests answered.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "toughen_request_seconds", "From the first byte to the answer.", ["path"], buckets=_SECONDS, registry=own
        )
        self._rejected = Counter("toughen_rejected", "Requests refused.", ["reason"], registry=own)
        self._batch_texts = Histogram("toughen_batch_texts", "Texts per pass.", buckets=_TEXTS, registry=own)
        self._batch_tokens = Histogram(
            "toughen_batch_tokens", "Tokens per pass, padding included.", buckets=_TOKENS, registry=own
        )
        self._queue = Gauge("toughen_queue_texts", "Texts that wait.", registry=own)
        for reason in _REASONS.values():
            self._rejected.labels(reason)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        path = path if path in self.paths else "other"
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        if status in _REASONS:
            self._rejected.labels(_REASONS[status]).inc()

    def passed(self, texts: int, tokens: int) -> None:
        """Count a pass."""
        self._batch_texts.observe(texts)
        self._batch_tokens.observe(tokens)

    def waiting(self, texts: int) -> None:
        """Note how many texts wait."""
        self._queue.set(texts)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self._registry)

    def listen(self, host: str, port: int) -> tuple[Any, threading.Thread]:
        """Show them at a port of their own, in a thread; returns the server, to be shut down, and the thread.

        Raises:
            OSError: if nobody can listen there.
        """
        return start_http_server(port, host, self._registry)
