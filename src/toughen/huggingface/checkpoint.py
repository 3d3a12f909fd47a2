"""What a checkpoint of ours holds beside the Trainer's own files, and which checkpoint can be resumed from.

``model.safetensors`` holds the scored weights (the average, where there is one), so a checkpoint loads like any model;
the raw weights that the optimiser goes on with stand beside it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from toughen.engine.weight_average import WeightAverage

STATE, RAW, AVERAGE = "toughen_state.json", "toughen_raw.safetensors", "toughen_average.safetensors"


def save_beside(folder: Path, model: nn.Module, average: WeightAverage | None, state: dict[str, Any]) -> None:
    """Write the raw weights, the average and the counters into a checkpoint's folder."""
    if average is not None:
        raw = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(raw, folder / RAW)
        save_file(average.state_dict(), folder / AVERAGE)
    (folder / STATE).write_text(json.dumps(state, indent=2))


def load_raw(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's raw weights into the model, over the average that the Trainer has loaded."""
    if (folder / RAW).exists():
        model.load_state_dict(load_file(folder / RAW), strict=False)


def load_average(folder: Path, average: WeightAverage) -> None:
    """Continue a checkpoint's average."""
    if (folder / AVERAGE).exists():
        average.load_state_dict(load_file(folder / AVERAGE))


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return a checkpoint's counters, or None if plain ``Trainer`` wrote it."""
    if not (folder / STATE).exists():
        return None
    state: dict[str, Any] = json.loads((folder / STATE).read_text())
    return state


def step_of(folder: str | None) -> int:
    """Return the optimiser step at which a checkpoint was written, 0 for none."""
    if folder is None:
        return 0
    return int(json.loads((Path(folder) / "trainer_state.json").read_text())["global_step"])


def last_complete(folder: Path) -> str | None:
    """Return the newest checkpoint whose last-written file is whole; half-written folders are passed over."""
    steps = {path.name.rpartition("-")[2]: path for path in folder.glob("checkpoint-*")}
    for step in sorted((int(step) for step in steps if step.isdecimal()), reverse=True):
        checkpoint = steps[str(step)]
        with contextlib.suppress(OSError, ValueError):
            json.loads((checkpoint / "trainer_state.json").read_text())
            return str(checkpoint)
    return None
