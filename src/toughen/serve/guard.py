"""What stands before every request: its headers, the token, the size, the time, and no traceback for anybody."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Collection

from toughen.serve.headers import Headers, Origins, add_headers, check_framing, check_json, preflight
from toughen.serve.limits import Limits
from toughen.serve.logs import REQUEST_ID, note, request_id
from toughen.serve.meters import Meters
from toughen.serve.refusals import App, Message, Receive, Refusal, Scope, Send, full, late, refuse_failed
from toughen.serve.spans import Spans

_log = logging.getLogger("toughen.serve")
_DISCARDED = 512 * 1024 * 1024
"""Bytes of a refused body that are read and thrown away, so that a client that is still sending gets to read why."""
_GONE = 499
"""How requests are counted whose client left; nobody is sent it."""
_SMALL = 64 * 1024
"""Bytes of a body that are taken however many long ones are held; connections are what bounds their number."""


class Guard:
    """ASGI middleware.

    Args:
        app: what answers.
        limits: bounds of size and time.
        meters: count.
        token: that clients must bear; None is everybody may.
        open_paths: that may be read without the token.
        origins: that may ask.
        spans: of requests.
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits,
        meters: Meters,
        token: str | None,
        open_paths: Collection[str],
        origins: Origins,
        spans: Spans,
    ) -> None:
        self._app, self._limits, self._meters, self._origins = app, limits, meters, origins
        self._spans = spans
        self._token = None if token is None else token.encode()
        self._open = frozenset(open_paths)
        self._held = 0  # bytes of long bodies, all requests together

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        asked = request_id(headers.get(b"x-request-id", b""))
        known = REQUEST_ID.set(asked)
        sent = _Sent(send)
        try:
            with self._spans.request(scope, asked, sent):
                await self._answer_guarded(scope, headers, receive, sent, asked)
        finally:
            seconds = time.perf_counter() - start
            self._meters.answered(scope["path"], sent.status, seconds)
            note(scope["method"], scope["path"], sent.status, seconds)
            REQUEST_ID.reset(known)

    async def _answer_guarded(self, scope: Scope, headers: Headers, receive: Receive, sent: _Sent, asked: str) -> None:
        """Answer one request, whatever happens."""
        head = scope["method"] == "HEAD"
        out = add_headers(sent, None, head=head, x_request_id=asked)
        try:
            origin = self._origins.check(headers)
            out = add_headers(sent, origin, head=head, x_request_id=asked)
            check_framing(headers)
            if origin is not None and scope["method"] == "OPTIONS":
                raise preflight()
            await self._answer({**scope, "method": "GET"} if head else scope, headers, receive, out, sent)
        except _GoneError:
            sent.status = _GONE
        except Exception as error:
            refusal = error if isinstance(error, Refusal) else refuse_failed()
            if refusal is not error:
                _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            if not sent.status:
                await refusal.send(out)
            elif sent.status != refusal.status:
                raise  # part of another answer is on its way already

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send, sent: _Sent) -> None:
        if scope["method"] != "GET" or scope["path"] not in self._open:
            self._check_token(headers)
        if scope["method"] == "POST":
            check_json(headers)
        limit = self._limits.timeout
        start = time.perf_counter()
        body = _Body(self._limits.max_body_bytes)
        try:
            try:
                await asyncio.wait_for(self._read_body(body, headers, receive), limit)
            except TimeoutError:
                sentence = f"The body did not arrive within {limit:g} seconds; send it faster, or less of it."
                raise Refusal(408, sentence, connection="close") from None
            left = max(limit - (time.perf_counter() - start), 0.001)
            try:
                answering = self._app(scope, _replay(body.whole()), send)
                await asyncio.wait_for(_while_there(answering, receive, sent), left)
            except TimeoutError:
                raise late(limit) from None
        finally:
            self._held -= body.counted

    def _check_token(self, headers: Headers) -> None:
        if self._token is None:
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

    async def _read_body(self, body: _Body, headers: Headers, receive: Receive) -> None:
        """Read the body, of which no more than the limit is ever held, and of all long ones together not either."""
        announced = int(headers.get(b"content-length", b"0") or 0)
        if announced > body.most:
            # Who waits for permission to send (100-continue) is answered at once.
            await _discard(receive, 0 if b"expect" in headers else announced)
            raise body.too_large()
        more = True
        while more:
            message = await _next(receive)
            part, more = message.get("body", b""), message.get("more_body", False)
            size = body.size + len(part)
            fits = size <= body.most
            if not fits or (size > _SMALL and self._held - body.counted + size > self._limits.held_bytes):
                await _discard(receive, _DISCARDED if more else 0)
                raise full(1) if fits else body.too_large()
            self._held += body.add(part)


class _Sent:
    """What was sent of an answer.

    Attributes:
        status: of the answer, 0 before it has begun.
        complete: whether all of it was sent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status, self.complete = 0, False

    async def __call__(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


class _Body:
    """A request's body.

    Attributes:
        most: bytes that are taken.
        size: bytes that came.
        counted: bytes of it that count among those of all long bodies.
    """

    def __init__(self, most: int) -> None:
        self.most, self.size, self.counted = most, 0, 0
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> int:
        """Keep a part; returns by how much `counted` grew."""
        self._parts.append(part)
        self.size += len(part)
        before, self.counted = self.counted, self.size if self.size > _SMALL else 0
        return self.counted - before

    def whole(self) -> bytes:
        """Hand out what came; it is not kept."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def too_large(self) -> Refusal:
        """Return the refusal."""
        sentence = f"The body is larger than the {self.most:,} bytes taken; send it in parts."
        return Refusal(413, sentence, connection="close")


class _GoneError(Exception):
    """Nobody waits for the answer."""


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _GoneError
    return message


async def _discard(receive: Receive, most: int) -> None:
    """Read up to so many bytes of a body that nobody wants; none for 0."""
    left, more = min(most, _DISCARDED), True
    while left > 0 and more:
        message = await _next(receive)
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)


async def _while_there(answering: Awaitable[None], receive: Receive, sent: _Sent) -> None:
    """Answer, and give the work up when the client leaves."""
    answer = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_next(receive))
    try:
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() or sent.complete:  # after which servers report that the client has left
            await answer
        else:
            await leaving
    finally:
        for task in (answer, leaving):
            task.cancel()
        await asyncio.gather(answer, leaving, return_exceptions=True)


def _replay(body: bytes) -> Receive:
    """Return a receive that hands out a body that was read already, and then waits: `Guard` notices who leaves."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    del body

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise RuntimeError("an event that nobody knows was set")

    return receive
