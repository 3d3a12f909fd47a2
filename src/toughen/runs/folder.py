"""A run folder as files: what it holds, whether it may be made, and how it is begun."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.errors import InputError

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe

RECIPE, METRICS, MODEL, HASHES = "recipe.yaml", "metrics.json", "model", "train_hashes.npy"
FOLDS, PSEUDO, CHOSEN = "folds.json", "pseudo.json", "pseudo.parquet"
OUT_OF_FOLD, SUBMISSION = "oof.parquet", "submission.csv"
BEFORE_RECIPE = (FOLDS, PSEUDO, CHOSEN)
"""What may be written before the recipe, with which a run begins."""

DEFAULT_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Extras:
    """What was asked of a run beside its recipe.

    Attributes:
        folds: number of folds; None for an ordinary run.
        submit: texts to answer with all folds' models, a path, hub id or object.
        pseudo_label: run folder of the teacher that labels the texts without labels.
        min_confidence: least probability with which its label counts, above 1 / labels and at most 1.
    """

    folds: int | None = None
    submit: object = None
    pseudo_label: str | None = None
    min_confidence: float | None = None

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise InputError(f"--folds must be at least 2, got {self.folds}; leave it out for a single model.")
        if self.submit is not None and self.folds is None:
            raise InputError("--submit is for --folds; label texts with one model by toughen predict.")
        if self.min_confidence is not None and self.pseudo_label is None:
            raise InputError("--min-confidence is for --pseudo-label RUN, the run that labels the texts.")
        if self.min_confidence is not None and not 0 < self.min_confidence <= 1:
            raise InputError(
                f"--min-confidence must be a probability above 1 / number of labels, got {self.min_confidence}."
            )

    @property
    def confidence(self) -> float:
        """The least probability that counts, where none was named too."""
        return DEFAULT_CONFIDENCE if self.min_confidence is None else self.min_confidence


def extras_of(folder: Path, *, resume: bool, **given: Any) -> Extras:
    """Return what was asked, or with ``resume`` what the run was started with, which nothing given may contradict.

    Raises:
        InputError: if something given makes no sense, or differs from what the run was started with.
    """
    if not (resume and (folder / RECIPE).exists()):
        return Extras(**given)
    stored = _stored(folder)
    for name, value in given.items():
        before = stored[name]
        if value is not None and name != "submit" and not _same(name, value, before):
            flag = f"--{name.replace('_', '-')}"
            with_before = "without it" if before is None else f"with {before}"
            raise InputError(
                f"{flag} is {value}, but the run in {folder} was started {with_before}; resume it with the same "
                "settings or choose another --output."
            )
    submit = given.get("submit")
    return Extras(**{**stored, "submit": stored["submit"] if submit is None else submit})


def _stored(folder: Path) -> dict[str, Any]:
    folds, pseudo = read_json(folder / FOLDS), read_json(folder / PSEUDO)
    return {
        "folds": folds.get("folds"),
        "submit": folds.get("submit"),
        "pseudo_label": pseudo.get("teacher"),
        "min_confidence": pseudo.get("min_confidence"),
    }


def _same(name: str, value: Any, before: Any) -> bool:
    if name == "pseudo_label" and before is not None:
        return Path(value).absolute() == Path(before).absolute()
    return bool(value == before)


def is_finished(folder: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> bool:
    """Check that a run may be made in this folder; say whether there is nothing left to do.

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
    return path.name not in BEFORE_RECIPE


def _refuse_other_recipe(folder: Path, recipe: Recipe) -> None:
    from toughen.recipe.recipe import dump

    before, now = (folder / RECIPE).read_text().splitlines(), dump(recipe).splitlines()
    changed = [line.strip() for line in now if line not in before]
    if before != now:
        raise InputError(
            f"{folder} was started with another recipe (now {'; '.join(changed[:3]) or 'shorter'}); resume with the "
            f"same settings ({folder / RECIPE}) or choose another --output."
        )


def start_folder(folder: Path, recipe: Recipe, *, keep: bool, before: Callable[[Path], None] | None = None) -> None:
    """Make the folder, replacing what stood there unless it is to be kept.

    Args:
        folder: to make.
        recipe: written last, so that a folder with a recipe has everything that ``before`` writes.
        keep: whether to go on with the run there, if one was begun.
        before: writes the other files that a run begins with.
    """
    from toughen.recipe.recipe import dump

    if keep and (folder / RECIPE).exists():
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if before is not None:
        before(folder)
    (folder / RECIPE).write_text(dump(recipe))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if there is no file."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object to a JSON file that appears whole or not at all."""
    write_whole(path, lambda part: part.write_text(json.dumps(content, indent=2)))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside the path, then give it that name: readers see a whole file or none."""
    part = path.with_name(f"{path.name}.part")
    write(part)
    part.replace(path)
