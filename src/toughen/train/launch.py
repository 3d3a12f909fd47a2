"""Several GPUs without a launcher: take one, and say how to use them all."""

from __future__ import annotations

import sys
import warnings
from typing import Any


def one_device(args: Any) -> None:
    """Keep the Trainer from ``torch.nn.DataParallel``, which would not scatter perturbations; warn how to use all GPUs.

    Args:
        args: TrainingArguments; ``n_gpu`` becomes 1.
    """
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
