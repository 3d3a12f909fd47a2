"""How a run folder is begun, or gone on with: whether it may be made, and its recipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toughen.errors import InputError
from toughen.files import write_json, write_whole
from toughen.files.manifest import MANIFEST
from toughen.recipe.auto import as_begun
from toughen.recipe.recipe import Recipe, dump, load_recipe
from toughen.runs.folder import ABSTENTION, BEFORE_RECIPE, COMBINATION, FOLDS, METRICS, MODEL, PROBE, RECIPE
from toughen.runs.writer import clear_folder, is_about_writing

_NOT_PROLONGED = {FOLDS: "a run in folds", COMBINATION: "a combination"}


def is_finished(folder: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> bool:
    """Check that a run may be made in this folder; say whether its training and scoring is done (see `is_complete`).

    Raises:
        InputError: if the folder is taken, or holds another run than the one to be continued.
    """
    started = (folder / RECIPE).exists()
    if folder.exists() and not started and (not folder.is_dir() or any(map(_foreign, folder.iterdir()))):
        raise InputError(f"{folder} exists and is not a run folder; choose another --output.")
    if started and folder.name.startswith("fold-") and (folder.parent / FOLDS).exists():
        raise InputError(
            f"{folder} is one fold of the run in {folder.parent}; resume or replace that one, or choose another "
            "--output."
        )
    if started and resume:
        longer = _is_prolonged(folder, recipe)
        return (folder / METRICS).exists() and not longer
    if started and not overwrite:
        raise InputError(
            f"{folder} already holds a run; continue it with --resume, replace it with --overwrite, or choose another "
            "--output."
        )
    return False


def _foreign(path: Path) -> bool:
    return path.name not in BEFORE_RECIPE and path.suffix != ".part" and not is_about_writing(path)


def is_longer(begun: Recipe, asked: Recipe) -> bool:
    """Whether a recipe is the one a run was begun with, but for more epochs or, where it counts those, more steps."""
    before, now = begun.training, asked.training
    if replace(asked, training=replace(now, epochs=before.epochs, max_steps=before.max_steps)) != begun:
        return False
    if before.max_steps is None or now.max_steps is None:
        return before.max_steps is now.max_steps and now.epochs > before.epochs
    return now.epochs == before.epochs and now.max_steps > before.max_steps


def is_divided_otherwise(begun: Recipe, asked: Recipe) -> bool:
    """Whether a recipe differs from another in the size and the number of a step's micro-batches alone."""
    before, now = begun.training, asked.training
    alike = replace(now, batch_size=before.batch_size, accumulation=before.accumulation)
    return asked != begun and replace(asked, training=alike) == begun


def _is_prolonged(folder: Path, recipe: Recipe) -> bool:
    """Say whether the run there is to go on for longer than it was begun for.

    Raises:
        InputError: if anything else is to be different.
    """
    begun = load_recipe(folder / RECIPE)
    asked = as_begun(recipe, begun)
    if is_longer(begun, asked):
        what = next((what for name, what in _NOT_PROLONGED.items() if (folder / name).exists()), None)
        if what is not None:
            raise InputError(f"{folder} is {what}, which cannot be prolonged; train a new one in another --output.")
        return True
    if is_divided_otherwise(begun, asked) and not (folder / METRICS).exists():
        return False  # its checkpoint says whether the steps keep their rows
    before, now = dump(begun).splitlines(), dump(asked).splitlines()
    changed = [line.strip() for line in now if line not in before]
    if begun != asked:
        raise InputError(
            f"{folder} was started with another recipe (now {'; '.join(changed[:3]) or 'shorter'}); resume with the "
            f"same settings ({folder / RECIPE}) or choose another --output."
        )
    return False


def start_folder(
    folder: Path,
    recipe: Recipe,
    probe: Mapping[str, Any] | None = None,
    *,
    keep: bool,
    before: Callable[[Path], None] | None = None,
) -> None:
    """Make the folder, replacing what stood there unless it is to be kept.

    Args:
        folder: to make.
        recipe: written last, so that a folder with a recipe has everything that ``before`` writes, and the probe's.
        probe: what the probe found, for a run that goes on; None or empty where there was none.
        keep: whether to go on with the run there, if one was begun.
        before: writes the other files that a run begins with.
    """
    if keep and (folder / RECIPE).exists():
        begun = load_recipe(folder / RECIPE)
        if is_longer(begun, recipe):
            _reopen(folder, recipe)
        elif is_divided_otherwise(begun, recipe):
            _write_recipe(folder, recipe)
        return
    folder = clear_folder(folder)
    if before is not None:
        before(folder)
    if probe:
        write_json(folder / PROBE, probe)
    _write_recipe(folder, recipe)


def _write_recipe(folder: Path, recipe: Recipe) -> None:
    write_whole(folder / RECIPE, lambda part: part.write_text(dump(recipe), encoding="utf-8"))


def _reopen(folder: Path, recipe: Recipe) -> None:
    """Make a finished run an unfinished one that goes on: what speaks of its model goes, its checkpoints stay."""
    for name in (MANIFEST, METRICS, ABSTENTION):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    _write_recipe(folder, recipe)
