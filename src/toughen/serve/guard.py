"""What stands before every request: the token, the size, the time, the counting, and no traceback for anybody."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Collection

from toughen.serve.limits import Limits
from toughen.serve.meters import Meters
from toughen.serve.refusals import App, Message, Receive, Refusal, Scope, Send, failed, late

_log = logging.getLogger("toughen.serve")
_DISCARDED = 512 * 1024 * 1024
"""Bytes of a refused body that are read and thrown away, so that a client that is still sending gets to read why."""


class Guard:
    """ASGI middleware.

    Args:
        app: what answers.
        limits: bounds of size and time.
        meters: count.
        token: that clients must bear; None is everybody may.
        open_paths: for which no token is needed.
    """

    def __init__(
        self, app: App, *, limits: Limits, meters: Meters, token: str | None, open_paths: Collection[str]
    ) -> None:
        self._app, self._limits, self._meters = app, limits, meters
        self._token = None if token is None else token.encode()
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._answer(scope, receive, watched)
        except Exception as error:
            refusal = error if isinstance(error, Refusal) else failed()
            if refusal is not error:
                _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            if not status:
                await refusal.send(watched)
            elif status != refusal.status:
                raise  # part of another answer is on its way already
        self._meters.answered(scope["path"], status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._check_token(scope["path"], headers)
        limit = self._limits.timeout
        start = time.perf_counter()
        try:
            body = await asyncio.wait_for(self._body(headers, receive), limit)
        except TimeoutError:
            sentence = f"The body did not arrive within {limit:g} seconds; send it faster, or less of it."
            raise Refusal(408, sentence, connection="close") from None
        left = max(limit - (time.perf_counter() - start), 0.001)
        try:
            await asyncio.wait_for(self._app(scope, _given(body), send), left)
        except TimeoutError:
            raise late(limit) from None

    def _check_token(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._token is None or path in self._open:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        # Compared as a whole, whatever the scheme, so that the time it takes tells nothing.
        same = hmac.compare_digest(given.strip(), self._token)
        if not (same and scheme.lower() == b"bearer"):
            raise Refusal(
                401,
                "A token is needed; send the header Authorization: Bearer TOKEN with the right one.",
                "unauthorized",
                www_authenticate="Bearer",
            )

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read the body, of which no more than the limit is ever held."""
        most = self._limits.max_body_bytes
        announced = int(headers.get(b"content-length", b"0") or 0)
        if announced > most:
            # Who waits for permission to send (100-continue) is answered at once.
            await _discard(receive, 0 if b"expect" in headers else announced)
            raise self._too_large()
        parts, size = [], 0
        async for part in _parts(receive):
            size += len(part)
            if size > most:
                await _discard(receive, _DISCARDED)
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        sentence = f"The body is larger than the {self._limits.max_body_bytes:,} bytes taken; send it in parts."
        return Refusal(413, sentence, connection="close")


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _discard(receive: Receive, most: int) -> None:
    """Read up to so many bytes of a body that nobody wants; none for 0."""
    left, more = min(most, _DISCARDED), True
    while left > 0 and more:
        message = await receive()
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)


def _given(body: bytes) -> Receive:
    """Return a receive that hands out a body that was read already, and then waits: who left is not noticed."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise RuntimeError("an event that nobody knows was set")

    return receive
