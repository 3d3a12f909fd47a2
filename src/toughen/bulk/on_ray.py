"""The engine of a cluster: Ray Data reads the source in one task and has its chunks answered by actors with a model.

The source is read on the machine that starts the prediction, which also writes the output; the model's folder must be
there, under the same path, on every machine.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from toughen.bulk.local import Part, iter_missing_chunks
from toughen.bulk.source import Source
from toughen.bulk.work import Job, Known, Worker
from toughen.errors import InputError
from toughen.machine.cluster import ray_cluster

_BLOCK = 1 << 20  # bytes after which Ray hands on what the reading task has read
_REFUSED = -1
"""The index of a row that holds a sentence instead of a part."""


@contextmanager
def cluster(job: Job, workers: int | None) -> Iterator[Ray]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine for as long as it is used.

    Args:
        job: what the actors do.
        workers: how many actors, each with one CPU; None is as many as the cluster has.

    Raises:
        InputError: if Ray is not installed.
    """
    with ray_cluster(workers) as most:
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells every plan, and that there is no second bar
        # An actor that no CPU is left for would be waited for.
        yield Ray(job, min(workers or most, most))


class Ray:
    """Actors of a cluster; made by `cluster`."""

    def __init__(self, job: Job, workers: int) -> None:
        self._job, self._workers = job, workers

    def known(self) -> Known:
        """Return what the model is."""
        import ray

        found: Known | str = ray.get(ray.remote(_ask_known).remote(self._job))
        if isinstance(found, str):
            raise InputError(found)
        return found

    def parts(self, source: Source, finished: set[int]) -> Iterator[Part]:
        """Yield the parts that are not finished, as they come."""
        for row in self._dataset(source, finished).iter_rows():
            if row["index"] == _REFUSED:
                raise InputError(row["content"].decode())
            yield row["index"], row["content"]

    def _dataset(self, source: Source, finished: set[int]) -> Any:
        import ray

        context = ray.data.DataContext.get_current()
        context.target_max_block_size = _BLOCK
        context.enable_progress_bars = False
        begin = ray.data.from_arrow(pa.table({"read": pa.array([0])}))
        how: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        read = _Read(self._job, source, frozenset(finished), str(Path.cwd()))
        chunks = begin.map_batches(read, num_cpus=0, label_selector=here, **how)
        actors = ray.data.ActorPoolStrategy(size=self._workers)
        return chunks.map_batches(_Actor, compute=actors, num_cpus=1, **how)


def _ask_known(job: Job) -> Known | str:
    try:
        with job.opened() as worker:
            return worker.known()
    except InputError as error:
        return str(error)


class _Read:
    """The task that reads: from one row of nothing, a row per chunk."""

    def __init__(self, job: Job, source: Source, finished: frozenset[int], folder: str) -> None:
        self._job, self._source, self._finished, self._folder = job, source, finished, folder

    def __call__(self, _: pa.Table) -> Iterator[pa.Table]:
        os.chdir(self._folder)  # to which the source's name may be relative
        for chunk in iter_missing_chunks(self._source, set(self._finished)):
            yield _table(chunk.index, pickle.dumps((self._job, chunk)))


class _Actor:
    """A model; the actor lives as long as the prediction."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._worker: Worker | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        job, chunk = pickle.loads(row["content"])  # noqa: S301 (from our own reading task)
        try:
            if self._worker is None:
                self._worker = self._stack.enter_context(job.opened())
            return _table(chunk.index, self._worker.part(chunk))
        except InputError as error:
            return _table(_REFUSED, str(error).encode())


def _table(index: int, content: bytes) -> pa.Table:
    return pa.table({"index": pa.array([index], pa.int64()), "content": pa.array([content], pa.large_binary())})
