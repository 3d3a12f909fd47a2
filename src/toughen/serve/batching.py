"""From requests to passes: a queue bounded by the time it takes, one thread that computes, texts shared by passes.

No request is taken that could not be answered in time. Each has its turn: when it came, and so much later as it takes
to compute, so that a short request does not wait for a long one that came just before. All that waits takes at most
half of `Limits.timeout`, and no turn is later than four tenths of it after its request came. What overtakes a request
came before its turn; so it is answered after nine tenths of the time, as far as the rate of the passes is known.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from toughen.classifier.core import EncodedText
from toughen.serve.limits import Limits
from toughen.serve.model import Row
from toughen.serve.refusals import Refusal, full, refuse_closing
from toughen.serve.spans import Spans

_KEEP = 0.9  # of what is known of the rate, with each new pass
_WAITING = 0.5  # of the time of a request: what all that waits may take
_LATEST = 0.4  # of the time of a request: how late its turn may be


Run = Callable[[Sequence[EncodedText], Callable[[], bool]], list[Row]]


class Watcher(Protocol):
    """Is told what happens."""

    def passed(self, texts: int, tokens: int) -> None:
        """One pass was made, of so many texts and tokens (padding included)."""

    def waiting(self, texts: int) -> None:
        """So many texts wait now."""


@dataclass(eq=False)
class _Request:
    """Texts that came together.

    Attributes:
        answer: what the client waits for.
        rows: outputs found so far.
        turn: seconds of the loop's clock; the earliest is computed first.
        span: that its passes belong to.
    """

    answer: asyncio.Future[list[Row]]
    rows: list[Row | None]
    turn: float
    span: Any
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.missing = len(self.rows)

    def put(self, position: int, row: Row) -> None:
        self.rows[position] = row
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result([row for row in self.rows if row is not None])

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(eq=False, slots=True)
class _Item:
    """One text of a request: its place there, its tokens, and when it came (seconds of the loop's clock)."""

    request: _Request
    position: int
    text: EncodedText
    length: int
    arrived: float


class Rate:
    """What passes take: so much each and so much per token, measured at the start, times how slow the latest ones were.

    Args:
        short: tokens of a pass, and its seconds.
        long: likewise, of one with more tokens.
    """

    def __init__(self, short: tuple[int, float] = (0, 0.0), long: tuple[int, float] = (1, 0.0)) -> None:
        (few, quick), (many, slow) = short, long
        self._token = (slow - quick) / (many - few) if slow > quick and many > few else slow / many
        self._pass = max(slow - self._token * many, 0.0)
        self._measured = self._expected = 0.0

    def note(self, seconds: float, tokens: int) -> None:
        """Take account of a pass of so many tokens, padding included."""
        self._measured = _KEEP * self._measured + seconds
        self._expected = _KEEP * self._expected + self.usual(1, tokens)

    def usual(self, passes: float, tokens: int) -> float:
        """Return how long so many passes of so many tokens together took at the start."""
        return passes * self._pass + tokens * self._token

    def seconds(self, passes: float, tokens: int) -> float:
        """Return how long they take now."""
        return self.usual(passes, tokens) * (self._measured / self._expected if self._expected else 1.0)


class Batcher:
    """Takes texts from many requests at once, and answers each when its texts are through.

    The text whose turn it is comes into the next pass, with those nearest to it in length, as long as the pass keeps to
    the budget of tokens, padding included.

    Args:
        run: outputs of each text, and a function that says whether they are still waited for; called in one thread,
            never twice at once.
        limits: the budget, the wait and the length of the queue.
        watcher: is told what happens.
        rate: of the passes, as far as it is known.
        spans: of the passes.
    """

    def __init__(
        self, run: Run, limits: Limits, watcher: Watcher, rate: Rate | None = None, spans: Spans | None = None
    ) -> None:
        self._run, self._limits, self._watcher = run, limits, watcher
        self._rate, self._spans = rate or Rate(), spans or Spans()
        self._queue: deque[_Item] = deque()
        self._promised = 0  # tokens of requests that are being read
        self._running = 0  # tokens of the pass that is computed
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._closing = False
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, on the running loop."""
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Take nothing more, finish what waits, and stop."""
        self._closing = True
        self._news.set()
        if self._worker is not None:
            await self._worker
        self._thread.shutdown()

    @property
    def ready(self) -> bool:
        """Whether a request of one text would be taken now."""
        alive = self._worker is not None and not self._worker.done()
        room = len(self._queue) < self._limits.queue and self._waiting() < _WAITING * self._limits.timeout
        return alive and not self._closing and room

    def _waiting(self) -> float:
        """Return how many seconds it takes to compute all that was taken."""
        tokens = sum(item.length for item in self._queue) + self._promised + self._running
        requests = 0 if self._limits.max_wait_ms is not None else len({id(item.request) for item in self._queue})
        return self._rate.seconds(requests + tokens / self._limits.max_batch_tokens, tokens)

    def _passes(self, tokens: int) -> int:
        return -(-tokens // self._limits.max_batch_tokens)

    def _check(self, texts: int, tokens: int) -> None:
        """Refuse a request for which there is no room.

        Raises:
            Refusal: see `submit`.
        """
        if self._closing:
            raise refuse_closing()
        most, others, passes = _WAITING * self._limits.timeout, self._waiting(), self._passes(tokens)
        own = self._rate.usual(passes, tokens)
        if own > most:
            raise Refusal(
                413,
                f"The model would take about {own:.0f} seconds for this, and {most:g} are what one request may have; "
                "send fewer or shorter texts.",
            )
        # Who finds nobody else here is taken after slow times too: without passes nobody learns that they are over.
        late = bool(others) and self._rate.seconds(passes, tokens) + others > most
        if len(self._queue) + texts > self._limits.queue or late:
            raise full(others)

    @contextmanager
    def reserve_room(self, texts: int, tokens: int) -> Iterator[None]:
        """Keep room for texts while they are read, of which no more than a guess at their length is known yet.

        Raises:
            Refusal: see `submit`.
        """
        self._check(texts, tokens)
        self._promised += tokens
        try:
            yield
        finally:
            self._promised -= tokens

    async def submit(self, texts: Sequence[EncodedText], lengths: Sequence[int]) -> list[Row]:
        """Return the outputs for some texts.

        Args:
            texts: at least one.
            lengths: tokens of each, as the model reads it.

        Raises:
            Refusal: if the queue has no room for them, they alone would take too long, or the service shuts down.
            InputError: if the model refuses one.
        """
        self._check(len(texts), sum(lengths))
        loop = asyncio.get_running_loop()
        now = loop.time()
        tokens = sum(lengths)
        turn = now + min(self._rate.seconds(self._passes(tokens), tokens), _LATEST * self._limits.timeout)
        request = _Request(loop.create_future(), [None] * len(texts), turn, self._spans.current)
        paired = enumerate(zip(texts, lengths, strict=True))
        self._queue.extend(_Item(request, i, text, length, now) for i, (text, length) in paired)
        self._watcher.waiting(len(self._queue))
        self._news.set()
        try:
            return await request.answer
        except asyncio.CancelledError:
            self._forget(request)
            raise

    def _forget(self, request: _Request) -> None:
        """Drop the texts of a client that waits no longer."""
        self._queue = deque(item for item in self._queue if item.request is not request)
        self._watcher.waiting(len(self._queue))

    async def _work(self) -> None:
        while True:
            self._news.clear()
            if not self._queue:
                if self._closing:
                    return
                await self._news.wait()
                continue
            await self._gather()
            if self._queue:
                await self._pass(self._take())

    async def _gather(self) -> None:
        """Let the oldest text wait for company, if it may and the pass has room."""
        if not self._limits.max_wait_ms or self._closing:
            return
        until = self._queue[0].arrived + self._limits.max_wait_ms / 1000
        while self._queue and sum(item.length for item in self._queue) < self._limits.max_batch_tokens:
            left = until - asyncio.get_running_loop().time()
            if left <= 0 or self._closing:
                return
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                return

    def _take(self) -> list[_Item]:
        """Take the texts of the next pass out of the queue."""
        first = min(self._queue, key=lambda item: item.request.turn)
        shared = self._limits.max_wait_ms is not None
        others = [item for item in self._queue if shared or item.request is first.request]
        others.sort(key=lambda item: (item is not first, abs(item.length - first.length)))
        taken: list[_Item] = []
        longest = 0
        for item in others:
            longest = max(longest, item.length)
            if taken and longest * (len(taken) + 1) > self._limits.max_batch_tokens:
                break
            taken.append(item)
        gone = {id(item) for item in taken}
        self._queue = deque(item for item in self._queue if id(item) not in gone)
        self._watcher.waiting(len(self._queue))
        return taken

    async def _pass(self, items: list[_Item]) -> None:
        """Run some texts together; where that fails, those of each request apart, so that one spoils no other's."""
        items = [item for item in items if not item.request.answer.done()]
        if not items:
            return
        try:
            rows = await self._compute(items)
        except Exception as error:
            requests = {id(item.request): item.request for item in items}
            if len(requests) == 1:
                items[0].request.fail(error)
                return
            for request in requests.values():
                await self._pass([item for item in items if item.request is request])
            return
        for item, row in zip(items, rows, strict=True):
            item.request.put(item.position, row)

    async def _compute(self, items: list[_Item]) -> list[Row]:
        start = time.perf_counter()
        texts = [item.text for item in items]
        self._running = len(items) * max(item.length for item in items)
        spans = list({id(item.request): item.request.span for item in items}.values())

        def wanted() -> bool:
            return not all(item.request.answer.done() for item in items)

        try:
            with self._spans.model_pass(spans, len(items), self._running):
                rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, texts, wanted)
            self._rate.note(time.perf_counter() - start, self._running)
            self._watcher.passed(len(items), self._running)
        finally:
            self._running = 0
        return rows
