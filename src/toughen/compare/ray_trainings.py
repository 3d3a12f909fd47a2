"""Trainings on a Ray cluster: a task per job, which trains it in a process of its own on whatever machine is free.

The output folder, the data and the model must be there, under the same paths, on every machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from toughen.compare.pool import Job, Start, Worker, command_of
from toughen.errors import InputError
from toughen.machine.cluster import EngineName, ray_cluster

AGAIN = 3
"""How often a training that was killed, with its machine or alone, is started again; it goes on where it was."""


@contextmanager
def trainings_on(engine: EngineName, at_once: int) -> Iterator[Start]:
    """Yield what starts a training: a process here, or a task of a cluster.

    Args:
        engine: ``local``, or ``ray``: the cluster that RAY_ADDRESS names, else one of this machine's cores.
        at_once: trainings that share the cluster's CPUs.

    Raises:
        InputError: if Ray is not installed.
    """
    if engine == "local":
        yield Worker
        return
    with ray_cluster() as cpus:
        yield partial(RayTraining, cpus=max(1, cpus // at_once))


class KilledError(RuntimeError):
    """The process that trained was killed; Ray starts the task again."""


class RayTraining:
    """A Ray task that trains one job; it ends with the process that asked for it.

    Attributes:
        job: what it trains.
    """

    def __init__(self, job: Job, jobs: int = 1, *, cpus: int) -> None:
        """Hand the job to the cluster.

        Args:
            job: what to train.
            jobs: how many share this machine's cores; of no meaning on a cluster.
            cpus: of the cluster, for this training.
        """
        import ray  # heavy, and an extra

        self.job, self._asked = job, time.monotonic()
        self._ended: tuple[int, float] | None = None
        task = ray.remote(_train).options(num_cpus=cpus, max_retries=AGAIN, retry_exceptions=[KilledError])
        self._task = task.remote(command_of(job)[1:], str(job.log), str(Path.cwd()), cpus)

    @property
    def seconds(self) -> float:
        """How long the training that ended took; of one that has not, how long ago it was asked for."""
        return time.monotonic() - self._asked if self._ended is None else self._ended[1]

    def poll(self) -> int | None:
        """Return the exit status, None while it waits or works.

        Raises:
            InputError: if a machine of the cluster does not see the folder.
        """
        import ray  # heavy, and an extra

        if self._ended is None and ray.wait([self._task], timeout=0)[0]:
            self._ended = self._outcome()
        return None if self._ended is None else self._ended[0]

    def _outcome(self) -> tuple[int, float]:
        import ray  # heavy, and an extra

        try:
            found: tuple[int, float] | str = ray.get(self._task)
        except (ray.exceptions.RayError, KilledError) as error:
            with self.job.log.open("a", encoding="utf-8") as log:
                log.write(f"{' '.join(str(error).split())}\n")
            return 1, time.monotonic() - self._asked
        if isinstance(found, str):
            raise InputError(found)
        return found

    def stop(self) -> None:
        """End it at once; what it has saved stays."""
        import ray  # heavy, and an extra

        if self._ended is None:
            ray.cancel(self._task, force=True)


def _train(arguments: Sequence[str], log: str, folder: str, cpus: int) -> tuple[int, float] | str:
    """Train on a machine of the cluster: exit status and seconds, or why that machine cannot."""
    recipe = Path(folder, arguments[3])
    if not recipe.exists():
        return (
            f"{socket.gethostname()}, a machine of the cluster, has no {recipe}; with --engine ray the --output folder "
            "must be one that every machine sees under this path."
        )
    began = time.monotonic()
    environment: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": str(cpus)}
    with Path(folder, log).open("ab") as said:
        ran = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=said, stderr=said, cwd=folder, env=environment
        )
        status = ran.wait()
    if status < 0:
        raise KilledError(f"the training was killed by signal {-status}")
    return status, time.monotonic() - began
