"""How a run folder is begun, or gone on with: whether it may be made, and its recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toughen.errors import InputError
from toughen.files import write_json, write_whole
from toughen.recipe.auto import as_begun
from toughen.recipe.recipe import Recipe, dump, load_recipe
from toughen.runs.folder import BEFORE_RECIPE, FOLDS, METRICS, PROBE, RECIPE
from toughen.runs.writer import cleared, is_about_writing


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
        _refuse_other_recipe(folder, recipe)
        return (folder / METRICS).exists()
    if started and not overwrite:
        raise InputError(
            f"{folder} already holds a run; continue it with --resume, replace it with --overwrite, or choose another "
            "--output."
        )
    return False


def _foreign(path: Path) -> bool:
    return path.name not in BEFORE_RECIPE and path.suffix != ".part" and not is_about_writing(path)


def _refuse_other_recipe(folder: Path, recipe: Recipe) -> None:
    begun = load_recipe(folder / RECIPE)
    asked = as_begun(recipe, begun)
    before, now = dump(begun).splitlines(), dump(asked).splitlines()
    changed = [line.strip() for line in now if line not in before]
    if begun != asked:
        raise InputError(
            f"{folder} was started with another recipe (now {'; '.join(changed[:3]) or 'shorter'}); resume with the "
            f"same settings ({folder / RECIPE}) or choose another --output."
        )


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
        return
    folder = cleared(folder)
    if before is not None:
        before(folder)
    if probe:
        write_json(folder / PROBE, probe)
    write_whole(folder / RECIPE, lambda part: part.write_text(dump(recipe), encoding="utf-8"))
