"""Trainings as processes: so many at a time, each folder continued where it was left."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toughen.compare.worker import WITHOUT_TEST
from toughen.errors import InputError
from toughen.files import write_whole
from toughen.runs.folder import is_complete

_POLL_S = 0.2
_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Job:
    """A run to be made.

    Attributes:
        name: as messages call it.
        folder: the run folder; its recipe, log and lock stand beside it.
        recipe: the recipe as YAML.
        without_test: whether the data's test split stays unread.
    """

    name: str
    folder: Path
    recipe: str
    without_test: bool = False

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return is_complete(self.folder)

    @property
    def log(self) -> Path:
        """What the training said."""
        return self.folder.with_name(f"{self.folder.name}.log")


class Worker:
    """A process that trains one job; it dies with this one.

    Attributes:
        job: what it trains.
        started: when, in seconds of ``time.monotonic``.
    """

    def __init__(self, job: Job, jobs: int = 1) -> None:
        """Start the process; ``jobs`` share the cores."""
        self.job, self.started = job, time.monotonic()
        recipe = job.folder.with_name(f"{job.folder.name}.yaml")
        recipe.parent.mkdir(parents=True, exist_ok=True)
        write_whole(recipe, lambda part: part.write_text(job.recipe, encoding="utf-8"))
        command = [sys.executable, "-m", "toughen.compare.worker", str(job.folder), str(recipe)]
        command += [WITHOUT_TEST] if job.without_test else []
        with job.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=_environment(jobs)
            )

    def poll(self) -> int | None:
        """Return the exit status, None while it works."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def stop(self) -> None:
        """End it at once; what it has saved stays."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _environment(jobs: int) -> dict[str, str]:
    """Divide the cores among the processes, unless the user has said how many threads each gets."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {_THREADS: str(max(1, cores // jobs)), **os.environ}


def run_jobs(
    jobs: Sequence[Job], at_once: int, *, done: Callable[[Job, float], Any], until: float = math.inf
) -> dict[str, str]:
    """Train every job that has not finished.

    Args:
        jobs: in the order in which they are started.
        at_once: processes at a time.
        done: called with each job that finished and its seconds.
        until: when to stop, in seconds of ``time.monotonic``; what a training has saved by then stays.

    Returns:
        {name: last line of the log} of the jobs that failed; the others are not held up.

    Raises:
        InputError: if a training refuses its input; the others are stopped.
    """
    waiting = [job for job in jobs if not job.finished]
    failed: dict[str, str] = {}
    with _workers() as working:
        while (waiting or working) and time.monotonic() < until:
            while waiting and len(working) < at_once:
                working.append(Worker(waiting.pop(0), min(at_once, len(jobs))))
            time.sleep(_POLL_S)
            for worker in [w for w in working if w.poll() is not None]:
                _settle(worker, failed, done)
                working.remove(worker)
    return failed


def _settle(worker: Worker, failed: dict[str, str], done: Callable[[Job, float], Any]) -> None:
    status, seconds = worker.poll(), time.monotonic() - worker.started
    worker.stop()
    if status == 2:
        raise InputError(f"{worker.job.name}: {worker.last_words()}")
    if status == 0 and worker.job.finished:
        done(worker.job, seconds)
    else:
        failed[worker.job.name] = f"{worker.last_words()} (exit status {status}; see {worker.job.log})"


@contextmanager
def _workers() -> Iterator[list[Worker]]:
    working: list[Worker] = []
    try:
        yield working
    finally:
        for worker in working:
            worker.stop()
