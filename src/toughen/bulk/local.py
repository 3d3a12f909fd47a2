"""The engines of one machine: this process alone, or worker processes with a model each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from toughen.bulk.work import Chunk, Job, Known, Worker
from toughen.errors import InputError, WorkerDiedError
from toughen.machine.cluster import cores

if TYPE_CHECKING:
    from toughen.bulk.source import Source

Part = tuple[int, bytes]
"""The index of a chunk and its part of the file."""


class Engine(Protocol):
    """What has chunks answered."""

    def known(self) -> Known:
        """Return what the model is."""

    def parts(self, source: Source, finished: set[int]) -> Iterator[Part]:
        """Yield the parts that are not finished, in any order."""


def iter_missing_chunks(source: Source, finished: set[int]) -> Iterator[Chunk]:
    """Yield the chunks whose parts are not there yet."""
    return (chunk for chunk in source.chunks() if chunk.index not in finished)


class Alone:
    """This process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def known(self) -> Known:
        """Return what the model is."""
        return self._worker.known()

    def parts(self, source: Source, finished: set[int]) -> Iterator[Part]:
        """Yield the parts that are not finished, in order."""
        for chunk in iter_missing_chunks(source, finished):
            yield chunk.index, self._worker.part(chunk)


class Pool:
    """Worker processes, each with a model and one thread. They are started as there is work for them.

    Args:
        job: what they do.
        workers: how many; None is one per core, and one alone where the model is on an accelerator.
    """

    def __init__(self, job: Job, workers: int | None) -> None:
        self._job = job
        self._most = workers or cores()
        self._given = workers is not None
        self._running: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._running:
            process.stop()

    def known(self) -> Known:
        """Return what the model is."""
        first = self._start()
        first.send(None)
        found: Known = first.receive()
        if not (found.many or self._given):
            self._most = 1
        return found

    def parts(self, source: Source, finished: set[int]) -> Iterator[Part]:
        """Yield the parts that are not finished, as they come."""
        idle = list(self._running)
        busy: list[_Process] = []
        for chunk in iter_missing_chunks(source, finished):
            if not idle and len(self._running) < self._most:
                idle.append(self._start())
            if not idle:
                idle, busy = _ready(busy)
                yield from [process.receive() for process in idle]
            process = idle.pop()
            process.send(chunk)
            busy.append(process)
        while busy:
            ready, busy = _ready(busy)
            yield from [process.receive() for process in ready]

    def _start(self) -> _Process:
        process = _Process(self._job)
        self._running.append(process)
        return process


class _Process:
    """One worker process. It ends when this process does, however that ends: its pipe is closed then."""

    def __init__(self, job: Job) -> None:
        # Not forked: threads of this process would leave their locks behind, held.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, job), daemon=True)
        with _hold_interrupts():
            self._process.start()
        theirs.close()

    def send(self, chunk: Chunk | None) -> None:
        """Give it a chunk, or ask what its model is."""
        try:
            self.pipe.send(chunk)
        except OSError:
            raise self._death_error() from None

    def receive(self) -> Any:
        """Return its answer, or raise what it raised."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            raise self._death_error() from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _death_error(self) -> WorkerDiedError:
        self._process.join()
        return WorkerDiedError(
            f"a worker process died (exit code {self._process.exitcode}; out of memory, if it was killed). What is "
            "finished is kept: give the same command again, perhaps with fewer --workers."
        )

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Hold back SIGINT, for good in a process that starts meanwhile: Ctrl+C reaches all of a terminal's processes."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would let it through again, were it started in between
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ready(busy: list[_Process]) -> tuple[list[_Process], list[_Process]]:
    """Wait until some have answered; return those and the others."""
    found = wait([process.pipe for process in busy])
    return [process for process in busy if process.pipe in found], [p for p in busy if p.pipe not in found]


def _work(pipe: Connection[Any, Any], job: Job) -> None:
    """Answer what comes through the pipe until it is closed."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["OMP_NUM_THREADS"] = "1"
    worker = None
    with ExitStack() as stack:
        for chunk in _messages(pipe):
            try:
                worker = worker or stack.enter_context(job.opened())
                answer: Any = worker.known() if chunk is None else (chunk.index, worker.part(chunk))
            except (InputError, ModuleNotFoundError) as error:
                answer = error
            except Exception:
                answer = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
            try:
                pipe.send(answer)
            except OSError:
                return


def _messages(pipe: Connection[Any, Any]) -> Iterable[Chunk | None]:
    while True:
        try:
            yield pipe.recv()
        except (EOFError, OSError):
            return
