"""What a run was computed with."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import accelerate
import torch
import transformers

import toughen


def environment(args: transformers.TrainingArguments) -> dict[str, Any]:
    """Describe what the run was computed with."""
    device = args.device
    return {
        "toughen": toughen.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "threads": torch.get_num_threads(),
        "processes": args.world_size,
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "platform": platform.platform(),
    }


def _cpu() -> str:
    with_name = [line for line in _cpuinfo() if line.startswith("model name")]
    return with_name[0].partition(":")[2].strip() if with_name else platform.processor() or platform.machine()


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
