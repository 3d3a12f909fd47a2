"""Connections: how many may be open, and how long the headers of a request may take to arrive."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from toughen.serve.refusals import Refusal


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with two bounds.

    A connection beyond the most takes the place of that which has waited longest without a request under way, so that
    those who only hold connections cannot keep others out; where all are at work it is refused.

    Attributes:
        most: connections.
        patience: seconds from the first byte of a request to the end of its headers.
    """

    most = 1024
    patience = 10.0
    _timer: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._start_timer()
        if len(self.connections) <= self.most:
            return
        idle = [one for one in self.connections if isinstance(one, BoundedProtocol) and one.idle and one is not self]
        if idle:
            min(idle, key=lambda one: one._since).transport.abort()
        else:
            sentence = f"The service holds {self.most:,} connections at most, and all are in use; try again soon."
            self._refuse(Refusal(503, sentence, "overloaded", retry_after="1"))

    @property
    def idle(self) -> bool:
        """Whether no request is under way: none was sent yet, or none since the last answer."""
        return not self.transport.is_closing() and self.conn.their_state is h11.IDLE

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first ones of a request start its time."""
        if self.transport.is_closing():
            return
        if self._timer is None:
            self._start_timer()
        super().data_received(data)
        if not self.idle:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Note since when the connection waits."""
        self._since = self.loop.time()
        super().on_response_complete()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.idle:
            return
        if self.conn.trailing_data[0]:
            self._refuse(
                Refusal(408, f"The headers did not arrive within {self.patience:g} seconds; send them faster.")
            )
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, and close."""
        self._stop_timer()
        headers = {"content-type": "application/json", "content-length": str(len(refusal.body)), "connection": "close"}
        response = h11.Response(status_code=refusal.status, headers=[*(headers | refusal.headers).items()])
        for event in (response, h11.Data(data=refusal.body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def bound_protocol(most: int, patience: float) -> type[Any]:
    """Return the protocol with its bounds, as uvicorn's ``http`` takes it."""
    return type("Bounded", (BoundedProtocol,), {"most": most, "patience": patience})
