"""What runs in a fresh process, to see how much memory it takes at most: `python children.py JOB JSON` prints JSON."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

MMAP = str(1 << 20)
"""Blocks above 1 MiB go back to the system when they are freed, so that resident memory is what is alive."""


def spawn(job: str, *, fixed: bool = True, **arguments: Any) -> dict[str, Any]:
    """Run a job in a fresh process and return what it found; ``fixed``: freed blocks go back to the system."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false"} | ({"MALLOC_MMAP_THRESHOLD_": MMAP} if fixed else {})
    command = [sys.executable, __file__, job, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes(kind: str = "VmRSS") -> int:
    """Return this process's resident memory now; ``RssAnon`` is the part of it that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def step(
    size: str, recipe: str, batch: int, length: int, precision: str, memory: str, threads: int, device: str
) -> dict[str, Any]:
    """Take two whole steps; bytes at most, above those of a process that has only imported its libraries."""
    import models
    import sides
    import torch

    from toughen.machine.full_speed import half_attention
    from toughen.machine.kernels import quick_kernels
    from toughen.recipe.recipe import load_recipe

    torch.set_num_threads(threads)
    chosen = load_recipe(recipe)
    teaches = chosen.adversary is not None and chosen.adversary.name == "smart"
    if not teaches:
        chosen = replace(chosen, average=None)
    chosen = replace(chosen, training=replace(chosen.training, memory=memory))
    # What a first computation loads counts as library.
    torch.nn.Linear(8, 8)(torch.ones(8, 8)).sum().backward()
    before = resident_bytes()
    model = models.make_model(size, device)
    batches = models.full_batches(size, batch, length, device)[:1]
    whole = sides.WholeStep(model, chosen, batches, precision)
    with half_attention(), quick_kernels(device == "cpu"):
        for i in range(2):
            whole(i)
    shadow = 4 * sum(p.numel() for p in model.parameters()) if teaches else 0
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes() - before
    return {"bytes": peak - shadow, "shadow_bytes_left_out": shadow, "units": whole.units()}


def loop(
    size: str,
    recipe: str,
    batch: int,
    longest: int,
    precision: str,
    count: int,
    threads: int,
    keep: bool = False,
    half: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """Take whole steps over batches of IMDb's lengths, after one on the widest; bytes at most, above the imports'."""
    import models
    import sides
    import torch

    from toughen.machine.allocator import freed_memory_kept
    from toughen.machine.full_speed import half_attention
    from toughen.machine.kernels import quick_kernels

    torch.set_num_threads(threads)
    before = resident_bytes()
    batches = models.bucketed_batches(size, batch, count, longest, "cpu")
    whole = sides.WholeStep(models.make_model(size), recipe, batches, precision)
    with freed_memory_kept(keep), half_attention(half), quick_kernels(quick):
        whole(max(range(count), key=lambda i: batches[i]["input_ids"].numel()))
        start = time.perf_counter()
        for i in range(count):
            whole(i)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak_bytes() - before}


def first_step(csv: str, validation: str, model: str, folder: str, threads: int) -> dict[str, Any]:
    """Train one step from a CSV; seconds from the call of ``toughen.train`` to the first step."""
    import torch

    import toughen
    from toughen.training import build_trainer

    torch.set_num_threads(threads)
    reached: list[float] = []
    inner = build_trainer.ToughTrainer.training_step

    def noted(*args: Any, **kwargs: Any) -> Any:
        reached.append(time.perf_counter())
        return inner(*args, **kwargs)

    build_trainer.ToughTrainer.training_step = noted
    with AnonymousPeak() as anonymous:
        start = time.perf_counter()
        toughen.train(
            {"train": csv, "validation": validation},
            model=model,
            recipe="plain",
            output=Path(folder) / "run",
            training={"max_steps": 1, "max_length": 128},
        )
    return {"seconds": reached[0] - start, "resident_bytes": peak_bytes(), "anonymous_bytes": anonymous.bytes}


def tokenise(csv: str, model: str, threads: int) -> dict[str, Any]:
    """Tokenise the texts of a CSV with transformers and datasets alone; seconds of the ``map``, not of the reading."""
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = datasets.Dataset.from_csv(csv, cache_dir=str(Path(csv).parent / "cache"))
    with AnonymousPeak() as anonymous:
        start = time.perf_counter()
        rows.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "resident_bytes": peak_bytes(), "anonymous_bytes": anonymous.bytes}


class AnonymousPeak:
    """The most memory that no file stands behind, sampled 20 times a second: mapped tables are not in it."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, resident_bytes("RssAnon"))
            if self._over.wait(0.05):
                return


if __name__ == "__main__":
    jobs = {"step": step, "loop": loop, "first_step": first_step, "tokenise": tokenise}
    print("\n" + json.dumps(jobs[sys.argv[1]](**json.loads(sys.argv[2]))))
