"""Ray: connect to the cluster that is there, or start one on this machine for as long as it is used."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal, cast, get_args

from toughen.errors import InputError

EngineName = Literal["local", "ray"]
"""Where the work is done: on this machine, or on a Ray cluster."""


def check_engine(name: str) -> EngineName:
    """Return the name of an engine.

    Raises:
        InputError: if it is none.
    """
    for known in get_args(EngineName):
        if name == known:
            return cast(EngineName, known)
    raise InputError(f"--engine must be one of {', '.join(get_args(EngineName))}, got {name!r}.")


@contextmanager
def ray_cluster(cpus: int | None = None) -> Iterator[int]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine inside the block.

    Args:
        cpus: of a cluster that is started here; None is as many as there are.

    Yields:
        How many CPUs the cluster has, at least 1.

    Raises:
        InputError: if Ray is not installed.
    """
    if find_spec("ray") is None:
        raise InputError("--engine ray needs Ray, which is not installed: pip install 'toughen[ray]'.")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # by default Ray reports to its makers
    import ray  # heavy, and an extra

    ours = not ray.is_initialized()
    if ours:
        alone = not os.environ.get("RAY_ADDRESS")
        count, dashboard = (cpus or cores(), False) if alone else (None, None)
        ray.init(log_to_driver=False, logging_level=logging.WARNING, num_cpus=count, include_dashboard=dashboard)
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield max(1, int(resources.get("CPU", 1)))
    finally:
        if ours:
            ray.shutdown()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
