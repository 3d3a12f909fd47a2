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
from typing import Any, Protocol

from toughen.compare.worker import WITHOUT_TEST
from toughen.errors import InputError
from toughen.files import write_whole
from toughen.machine.cluster import cores
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


class Training(Protocol):
    """A job that is being trained, here or elsewhere.

    Attributes:
        job: what is trained.
    """

    job: Job

    @property
    def seconds(self) -> float:
        """How long it has worked, or had when it ended."""

    def poll(self) -> int | None:
        """Return the exit status, None while it works."""

    def stop(self) -> None:
        """End it at once; what it has saved stays."""


Start = Callable[[Job, int], Training]
"""Starts a job; the number says how many share the cores."""


class Worker:
    """A process on this machine that trains one job; it dies with this one.

    Attributes:
        job: what it trains.
    """

    def __init__(self, job: Job, jobs: int = 1) -> None:
        """Start the process; ``jobs`` share the cores."""
        self.job, self._started = job, time.monotonic()
        command = command_of(job)
        with job.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=_environment(jobs)
            )

    def poll(self) -> int | None:
        """Return the exit status, None while it works."""
        return self._process.poll()

    @property
    def seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started

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


def command_of(job: Job) -> list[str]:
    """Write the job's recipe beside its folder and return the command that trains it."""
    recipe = job.folder.with_name(f"{job.folder.name}.yaml")
    recipe.parent.mkdir(parents=True, exist_ok=True)
    write_whole(recipe, lambda part: part.write_text(job.recipe, encoding="utf-8"))
    command = [sys.executable, "-m", "toughen.compare.worker", str(job.folder), str(recipe)]
    return [*command, WITHOUT_TEST] if job.without_test else command


def last_words(job: Job) -> str:
    """Return the last line of a job's log."""
    text = job.log.read_text(encoding="utf-8", errors="replace") if job.log.exists() else ""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _environment(jobs: int) -> dict[str, str]:
    """Divide the cores among the processes, unless the user has said how many threads each gets."""
    return {_THREADS: str(max(1, cores() // jobs)), **os.environ}


def run_jobs(
    jobs: Sequence[Job],
    at_once: int,
    *,
    done: Callable[[Job, float], Any],
    until: float = math.inf,
    start: Start = Worker,
) -> dict[str, str]:
    """Train every job that has not finished.

    Args:
        jobs: in the order in which they are started.
        at_once: how many at a time.
        done: called with each job that finished and its seconds.
        until: when to stop, in seconds of ``time.monotonic``; what a training has saved by then stays.
        start: starts one.

    Returns:
        {name: last line of the log} of the jobs that failed; the others are not held up.

    Raises:
        InputError: if a training refuses its input; the others are stopped.
    """
    waiting = [job for job in jobs if not job.finished]
    failed: dict[str, str] = {}
    with _trainings() as working:
        while (waiting or working) and time.monotonic() < until:
            while waiting and len(working) < at_once:
                working.append(start(waiting.pop(0), min(at_once, len(jobs))))
            time.sleep(_POLL_S)
            for training in [one for one in working if one.poll() is not None]:
                _settle(training, failed, done)
                working.remove(training)
    return failed


def _settle(training: Training, failed: dict[str, str], done: Callable[[Job, float], Any]) -> None:
    job, status, seconds = training.job, training.poll(), training.seconds
    training.stop()
    if status == 2:
        raise InputError(f"{job.name}: {last_words(job)}")
    if status == 0 and job.finished:
        done(job, seconds)
    else:
        failed[job.name] = f"{last_words(job)} (exit status {status}; see {job.log})"


@contextmanager
def _trainings() -> Iterator[list[Training]]:
    working: list[Training] = []
    try:
        yield working
    finally:
        for training in working:
            training.stop()
