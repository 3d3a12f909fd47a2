"""Every way in which a request is refused: a status, one sentence, and the error's type, as clients expect it."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

ErrorType = Literal["unhealthy", "backend", "overloaded", "validation", "tokenizer", "unauthorized"]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(Exception):  # noqa: N818  # it is an answer
    """A request that gets no answer of the model.

    Attributes:
        status: of HTTP.
        sentence: what is wrong and what to do; empty where nothing is.
        kind: the error's type.
        headers: further ones.
    """

    def __init__(self, status: int, sentence: str, kind: ErrorType = "validation", **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.kind = status, " ".join(sentence.split()), kind
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        if not self.sentence:
            return b""
        return json.dumps({"error": self.sentence, "error_type": self.kind}, ensure_ascii=False).encode()

    async def send(self, send: Send) -> None:
        """Answer a request with it."""
        headers = {"content-type": "application/json", "content-length": str(len(self.body))} | self.headers
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": encoded})
        await send({"type": "http.response.body", "body": self.body})


def invalid(sentence: str) -> Refusal:
    """Return the refusal of a request that cannot be understood."""
    return Refusal(422, sentence)


def full(seconds: float) -> Refusal:
    """Return the refusal of a request for which there is no room, to be tried again after so many seconds."""
    wait = max(1, math.ceil(seconds))
    sentence = f"The service is busy and its queue is full; try again in {wait} {'second' if wait == 1 else 'seconds'}."
    return Refusal(429, sentence, "overloaded", retry_after=str(wait))


def late(seconds: float) -> Refusal:
    """Return the refusal of a request that was not answered in time."""
    return Refusal(
        504, f"There was no answer within {seconds:g} seconds; send fewer or shorter texts, or later.", "overloaded"
    )


def refuse_closing() -> Refusal:
    """Return the refusal of a request that came while the service shuts down."""
    return Refusal(503, "The service is shutting down; ask another instance, or later.", "unhealthy", retry_after="1")


def refuse_failed() -> Refusal:
    """Return what a client is told when the fault is ours."""
    return Refusal(500, "The service failed on this request; its log says why.", "backend")
