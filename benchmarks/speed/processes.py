"""(p) Two gloo processes against one on a batch of the same size each: 1 would be free, 2 is no gain."""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

import models
import torch
from measure import Bench
from sides import Backward

from toughen.machine.full_speed import full_speed

TECHNIQUES = ("plain", "tough-stack")
STEP, STOP = 1, 0


def run(bench: Bench, options: Any) -> None:
    """Measure on a CPU, one thread a process."""
    if options.device != "cpu":
        return
    for size in options.sizes:
        rows, length = options.shapes(size, (4, 128))
        for precision in options.precisions:
            for name in filter(options.wants, TECHNIQUES):
                setting = {"size": size, "batch": rows, "length": length, "precision": precision}
                if bench.missing("p", name, setting):
                    _spawn(bench, name, setting)


def _spawn(bench: Bench, name: str, setting: dict[str, Any]) -> None:
    context = multiprocessing.get_context("spawn")
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        args = [(rank, folder, bench, name, setting) for rank in range(2)]
        started = [context.Process(target=_work, args=arg) for arg in args]
        try:
            for process in started:
                process.start()
            # If one fails, the other would wait for ever.
            while any(process.is_alive() for process in started) and not any(p.exitcode for p in started):
                started[0].join(0.2)
                started[1].join(0.2)
        finally:
            for process in started:
                process.kill()
        if any(process.exitcode for process in started):
            raise RuntimeError(f"a process ended with {[process.exitcode for process in started]}")


def _work(rank: int, folder: str, bench: Bench, name: str, setting: dict[str, Any]) -> None:
    """Be one of the two."""
    from torch import distributed

    torch.set_num_threads(1)
    store = f"file://{Path(folder) / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    _measure(rank, bench, name, setting)
    # Nobody leaves before the other is done, and no wrapper outlives the group.
    gc.collect()
    distributed.barrier()
    distributed.destroy_process_group()


@full_speed()
def _measure(rank: int, bench: Bench, name: str, setting: dict[str, Any]) -> None:
    """Rank 1 waits, asleep, while rank 0 computes alone."""
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    size, precision = setting["size"], setting["precision"]
    batches = models.full_batches(size, setting["batch"], setting["length"])
    together = Backward(DistributedDataParallel(models.make_model(size)), name, batches, precision)
    order = torch.zeros(1, dtype=torch.int64)

    def both(i: int) -> None:
        distributed.broadcast(order.fill_(STEP), 0)
        together(i)

    if rank == 0:
        alone = Backward(models.make_model(size), name, batches, precision)
        bench.compare("p", name, setting, both, alone, processes=2)
        distributed.broadcast(order.fill_(STOP), 0)
    while rank == 1:
        distributed.broadcast(order, 0)
        if order.item() == STOP:
            break
        together(0)
