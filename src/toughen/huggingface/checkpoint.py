"""What a checkpoint of ours holds beside the Trainer's own files, and which checkpoint can be resumed from.

``model.safetensors`` holds the scored weights (the average, where there is one), so a checkpoint loads like any model;
the raw weights that the optimiser goes on with stand beside it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from toughen import __version__
from toughen.engine.averages import Average, CheckpointSoup
from toughen.engine.weight_average import WeightAverage
from toughen.errors import InputError
from toughen.files.manifest import fault, is_sealed, newer_writer

STATE, RAW, AVERAGE = "toughen_state.json", "toughen_raw.safetensors", "toughen_average.safetensors"
ANY = "ema or swa"
_NEEDED = ("optimizer.pt", "scheduler.pt", "rng_state*.pth", "*.safetensors")
"""What a checkpoint without a manifest must hold: an older version wrote it, or the Trainer alone."""

_WRITER = {"toughen": __version__}


def save_beside(folder: Path, model: nn.Module, average: WeightAverage | None, state: dict[str, Any]) -> None:
    """Write the raw weights, the average and the counters into a checkpoint's folder."""
    if average is not None:
        raw = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(raw, folder / RAW, metadata=_WRITER)
        save_file(average.state_dict(), folder / AVERAGE, metadata=_WRITER)
    (folder / STATE).write_text(json.dumps(_WRITER | state, indent=2))


def load_raw(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's raw weights into the model, over the average that the Trainer has loaded."""
    if (folder / RAW).exists():
        model.load_state_dict(load_file(folder / RAW), strict=False)


def load_average(folder: Path, average: WeightAverage) -> None:
    """Continue a checkpoint's average."""
    if (folder / AVERAGE).exists():
        average.load_state_dict(load_file(folder / AVERAGE))


def refuse_other_average(folder: Path, average: Average | None) -> None:
    """Refuse to go on from a checkpoint with another average of the weights than it was made with.

    Its ``model.safetensors`` holds that average, which would be taken for the raw weights, and chosen as the best; and
    an average that begins in the middle is another one.

    Raises:
        InputError: naming both.
    """
    state = read_state(folder) or {}
    before = state.get("average", ANY if (folder / AVERAGE).exists() else None)  # an older version names none
    now = average.name if average is not None else None
    alike = before == now or (before == ANY and average is not None and not isinstance(average, CheckpointSoup))
    if not alike:
        was, wanted = ("no average" if one is None else f"average {one}" for one in (before, now))
        raise InputError(
            f"{folder} was written with {was} of the weights, and the recipe has {wanted}: resume with the recipe that "
            f"it was made with, or start a new training from its weights (model: {folder})."
        )


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


def last_complete(folder: Path, say: Callable[[str], object] = warnings.warn) -> str | None:
    """Return the newest checkpoint that is whole, as is the best one that it names; half-written ones are passed over.

    Going on from a checkpoint whose best weights are lost would end at other weights than an undisturbed run.

    Args:
        folder: of the checkpoints.
        say: told which newer checkpoints are damaged, and how.

    Raises:
        InputError: if a newer version of toughen wrote one that comes before it.
    """
    steps = {path.name.rpartition("-")[2]: path for path in folder.glob("checkpoint-*")}
    newest_first = [steps[str(step)] for step in sorted((int(s) for s in steps if s.isdecimal()), reverse=True)]
    sealed = any(map(is_sealed, newest_first))
    for checkpoint in newest_first:
        newer = newer_writer(checkpoint)
        if newer is not None:  # not damaged: going on before it would throw it away
            raise InputError(newer)
        wrong = _fault(checkpoint, sealed=sealed)
        wrong = _fault_of_best(checkpoint, sealed=sealed) if wrong is None else wrong
        if wrong is None:
            return str(checkpoint)
        if wrong:
            say(f"{checkpoint} is not used: {wrong}")
    return None


def _fault(checkpoint: Path, *, sealed: bool) -> str | None:
    """Return what is wrong with a checkpoint: None nothing, "" that it was never finished.

    Where one of the checkpoints beside it is sealed, so was every one that was finished.
    """
    if is_sealed(checkpoint):
        return fault(checkpoint)
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return ""
    if sealed:
        return ""
    empty = [pattern for pattern in _NEEDED if not any(path.stat().st_size for path in checkpoint.glob(pattern))]
    return f"{checkpoint / empty[0]} is missing or empty." if empty else None


def _fault_of_best(checkpoint: Path, *, sealed: bool) -> str | None:
    """Return what is wrong with the checkpoint of the best weights so far; one that was moved is not looked for."""
    named = json.loads((checkpoint / "trainer_state.json").read_text()).get("best_model_checkpoint")
    best = None if named is None else checkpoint.with_name(Path(named).name)
    if best is None or best == checkpoint:
        return None
    if not best.exists():
        return f"the best weights so far, {best}, are gone."
    wrong = _fault(best, sealed=sealed)
    return wrong if wrong is None else f"the best weights so far are in {best}: {wrong or 'it was never finished.'}"
