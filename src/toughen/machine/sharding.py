"""Weights that are divided among processes: FSDP and DeepSpeed, which neither the engine nor the Trainer trains."""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from toughen.errors import InputError

WHY = "a process would hold parts of the weights, and perturbations, averages and checkpoints are made of whole ones"
INSTEAD = "use DDP (torchrun)"
_FLAGS = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
_CLASSES = {"FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine"}  # by name: importing them takes long


def asks_for_shards(args: Any = None) -> bool:
    """Whether ``accelerate launch`` was told to shard the weights, or TrainingArguments are."""
    by_launcher = any(os.environ.get(flag, "").lower() in ("1", "true") for flag in _FLAGS)
    return by_launcher or any(bool(getattr(args, name, None)) for name in ("fsdp", "deepspeed"))


def is_sharded(model: nn.Module | None) -> bool:
    """Whether a model, or a part of it, is wrapped by FSDP or DeepSpeed, or was sharded while it was loaded."""
    if model is None:
        return False
    wrapped = any(kind.__name__ in _CLASSES for module in model.modules() for kind in type(module).__mro__)
    return wrapped or any(type(weight).__name__ == "DTensor" for weight in model.parameters())


def refuse_sharded(model: nn.Module) -> None:
    """Refuse a model whose weights are divided among processes.

    Raises:
        InputError: saying why, and what to use instead.
    """
    if is_sharded(model):
        raise InputError(f"FSDP or DeepSpeed and Engine cannot be combined: {WHY}; {INSTEAD}.")
