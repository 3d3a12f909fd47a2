"""From requests to passes: a bounded queue, one thread that computes, and texts of several requests in one pass."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from toughen.serve.limits import Limits
from toughen.serve.model import Row, Text
from toughen.serve.refusals import closing, full

_KEEP = 0.8  # how much of the old rate stays when a new one is measured
_FIRST_GUESS = 0.02  # seconds per text, before one was measured


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
    """

    answer: asyncio.Future[list[Row]]
    rows: list[Row | None]
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
    text: Text
    length: int
    arrived: float


class Batcher:
    """Takes texts from many requests at once, and answers each when its texts are through.

    The oldest text is always in the next pass, with those nearest to it in length, as long as the pass keeps to the
    budget of tokens, padding included.

    Args:
        run: texts -> outputs of each; called in one thread, never twice at once.
        limits: the budget, the wait and the length of the queue.
        watcher: is told what happens.
    """

    def __init__(self, run: Callable[[Sequence[Text]], list[Row]], limits: Limits, watcher: Watcher) -> None:
        self._run, self._limits, self._watcher = run, limits, watcher
        self._queue: deque[_Item] = deque()
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._seconds_per_text = _FIRST_GUESS
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
        return alive and not self._closing and len(self._queue) < self._limits.queue

    async def submit(self, texts: Sequence[Text], lengths: Sequence[int]) -> list[Row]:
        """Return the outputs for some texts.

        Args:
            texts: at least one.
            lengths: tokens of each, as the model reads it.

        Raises:
            Refusal: if the queue has no room for them, or the service shuts down.
            InputError: if the model refuses one.
        """
        if self._closing:
            raise closing()
        if len(self._queue) + len(texts) > self._limits.queue:
            raise full(len(self._queue) * self._seconds_per_text)
        loop = asyncio.get_running_loop()
        request = _Request(loop.create_future(), [None] * len(texts))
        now = loop.time()
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
        """Let the oldest text wait for company, if it may and its pass has room."""
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
        first = self._queue[0]
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
        rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, texts)
        rate = (time.perf_counter() - start) / len(items)
        self._seconds_per_text = _KEEP * self._seconds_per_text + (1 - _KEEP) * rate
        self._watcher.passed(len(items), len(items) * max(item.length for item in items))
        return rows
