"""Processes and devices: which one speaks, which one writes, and several GPUs without a launcher."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console

from toughen.errors import InputError
from toughen.machine.runtime import best_device

T = TypeVar("T")


def one_device(args: Any) -> None:
    """Keep the Trainer from ``torch.nn.DataParallel``, which would not scatter perturbations; warn how to use all GPUs.

    Args:
        args: TrainingArguments; ``n_gpu`` becomes 1.

    Raises:
        InputError: if a launcher started several processes that the arguments know nothing of.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and args.world_size == 1:
        raise InputError(
            f"a launcher started {launched} processes, but TrainingArguments form no group of them, so each would "
            "train alone; on machines without a GPU pass use_cpu=True."
        )
    found = args.n_gpu
    if found <= 1:
        return
    args._n_gpu = 1
    command = " ".join(["torchrun", f"--nproc-per-node={found}", *_script()])
    warnings.warn(
        f"{found} GPUs are visible but the program was not started by a launcher: training on the first one. "
        f"To use them all, run: {command}   or, in a notebook: "
        f"accelerate.notebook_launcher(train_function, num_processes={found})",
        stacklevel=3,
    )


def _script() -> list[str]:
    program = sys.argv[0] or "train.py"
    if program.endswith(("/toughen", "toughen/__main__.py")) or program == "toughen":
        return ["-m", "toughen", *sys.argv[1:]]
    return [program, *sys.argv[1:]]


def main_process_console(quiet: bool) -> Console:
    """Return a console on stderr that only the main process writes to."""
    return Console(stderr=True, quiet=quiet or int(os.environ.get("RANK", "0")) > 0)


@contextmanager
def main_process_alone() -> Iterator[bool]:
    """Run a block that the main process alone acts in (it gets True), once all are here; the others wait for it."""
    from accelerate import PartialState

    state = PartialState(cpu=best_device().type == "cpu")  # as TrainingArguments(use_cpu=) will make it
    state.wait_for_everyone()
    try:
        yield state.is_main_process
    finally:
        state.wait_for_everyone()


def from_main_process(make: Callable[[], T]) -> T:
    """Return what ``make`` returns in the main process, in every process; what it raises there is raised in all."""
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    with main_process_alone() as is_main:
        if is_main:
            try:
                outcome[0] = make()
            except Exception as raised:
                outcome[1] = raised
    broadcast_object_list(outcome)
    made: T = outcome[0]
    if outcome[1] is not None:
        raise outcome[1]
    return made


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the libraries' own progress bars and reports; warnings of ours still show."""
    import datasets
    import transformers

    log: Any = transformers.logging
    level = log.get_verbosity()
    bars = datasets.are_progress_bars_disabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        log.set_verbosity(level)
        log.enable_progress_bar()
        if not bars:
            datasets.enable_progress_bars()


def draw_apart(process: int, seed: int) -> None:
    """Make a process draw dropout and random starts of its own: all of them have been seeded alike.

    The first one goes on as it is. What must be equal everywhere (new weights, the order of rows) is drawn before, or
    from generators of its own.
    """
    if process:
        torch.manual_seed(int(np.random.SeedSequence([seed, process]).generate_state(1)[0]))


def mean_over_processes(accelerator: Any, values: dict[str, float]) -> dict[str, float]:
    """Return the mean of each value; every process must ask, with the same names in the same order."""
    if accelerator.num_processes == 1 or not values:
        return values
    own = torch.tensor(list(values.values()), dtype=torch.float32, device=accelerator.device)
    return dict(zip(values, accelerator.reduce(own, reduction="mean").tolist(), strict=True))
