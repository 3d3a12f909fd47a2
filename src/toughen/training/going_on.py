"""A run that goes on otherwise than it was begun: for more epochs, or with other batches that make up a step."""

from __future__ import annotations

import os
from pathlib import Path

from toughen.engine.averages import Swa
from toughen.errors import InputError
from toughen.huggingface.checkpoint import last_complete, read_state
from toughen.recipe.recipe import Recipe, load_recipe
from toughen.recipe.training import Training
from toughen.runs.beginning import is_divided_otherwise, is_longer
from toughen.runs.folder import METRICS, RECIPE


def check_going_on(recipe: Recipe, folder: Path) -> str | None:
    """Say how a run goes on otherwise than it was begun; None where it goes on as it was.

    Args:
        recipe: as it is to be now.
        folder: of the run.

    Raises:
        InputError: if there is nothing to go on from, if more epochs would change nothing or mean something else, or if
            steps would have another number of rows.
    """
    begun = load_recipe(folder / RECIPE)
    if is_divided_otherwise(begun, recipe):
        return _check_rows(recipe.training, folder)
    if not is_longer(begun, recipe):
        return None
    last = last_complete(folder / "checkpoints")
    if last is None:
        if (folder / METRICS).exists():
            raise InputError(f"the run in {folder} has kept no whole checkpoint to go on from; train a new one.")
        return None
    if (read_state(Path(last)) or {}).get("stopped"):
        raise InputError(
            f"the run in {folder} ended early, since its score had not improved for {begun.training.early_stopping} "
            "evaluations (training.early_stopping), so more epochs would add none; train a new one."
        )
    if isinstance(recipe.average, Swa):
        raise InputError(
            f"the run in {folder} has average swa, a mean over the end of the training, which would then lie in the "
            "middle of it; train a new one."
        )
    return _how(begun.training, recipe.training)


def _check_rows(training: Training, folder: Path) -> str | None:
    last = last_complete(folder / "checkpoints")
    if last is None:  # it begins again
        return None
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    now = training.batch_size * training.accumulation * processes
    before = (read_state(Path(last)) or {}).get("rows_per_step")
    divided = f"{training.batch_size} x {training.accumulation} x {processes} (batch size x accumulation x processes)"
    if now != before:
        known = "an unknown number of" if before is None else before
        raise InputError(
            f"the run in {folder} makes steps of {known} rows, and {divided} would make {now}; let them be as many, or "
            "choose another --output."
        )
    return f"the run goes on with its steps of {now} rows as {divided}; in this epoch some rows may come twice."


def _how(begun: Training, now: Training) -> str:
    unit = "epochs" if now.max_steps is None else "steps"
    before, after = (part.max_steps or f"{part.epochs:g}" for part in (begun, now))
    said = f"the run goes on from {before} to {after} {unit}"
    if now.schedule == "constant" and (now.warmup == 0 or now.warmup >= 1):
        return f"{said} at the same learning rate."
    return (
        f"{said}. The learning rate is from now on that of the {now.schedule} schedule over {after} {unit}, which is "
        f"higher at {before} than where the run ended: the result is not that of {after} {unit} from the start."
    )
