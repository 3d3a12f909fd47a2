"""Where a request and a pass begin and end, for those who trace them; nobody does unless asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from toughen.serve.refusals import Scope


class Answered(Protocol):
    """What is known of an answer.

    Attributes:
        status: of HTTP; 0 before it has begun.
    """

    status: int


class Spans:
    """Makes none; `toughen.serve.tracing.OpenTelemetrySpans` does.

    Attributes:
        paths: addresses that are told apart.
        untraced: addresses whose requests are not traced.
    """

    paths: frozenset[str] = frozenset()
    untraced: frozenset[str] = frozenset()

    @contextmanager
    def request(self, scope: Scope, request_id: str, answered: Answered) -> Iterator[None]:
        """Trace one request, whose status is known at the end."""
        yield

    @property
    def current(self) -> Any:
        """What the passes for the request that is being answered belong to."""
        return None

    @contextmanager
    def model_pass(self, requests: Collection[Any], texts: int, tokens: int) -> Iterator[None]:
        """Trace one pass for requests, each as `current` was, of so many texts and tokens (padding included)."""
        yield
