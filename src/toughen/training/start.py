"""From a recipe and a source of data to a finished run folder: of one model, or of one for each fold."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from toughen.data import Splits, augment, load_splits, load_texts
from toughen.data.config import FRESH, NOISE
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.raw import quote_names
from toughen.data.read.sources import read_source
from toughen.errors import InputError
from toughen.recipe.recipe import Recipe
from toughen.runs.beginning import start_folder
from toughen.runs.folder import RECIPE
from toughen.training import pseudo_labels
from toughen.training.extras import Extras
from toughen.training.folds import train_folds
from toughen.training.one import train_one


def start_training(recipe: Recipe, data: object, folder: Path, resume: bool, console: Console, extras: Extras) -> None:
    """Read the data and train one model or those of all folds, in a folder that was found free or to be resumed.

    Args:
        recipe: resolved.
        data: instead of the recipe's source.
        folder: the run folder.
        resume: go on with what was begun there.
        console: where progress is shown.
        extras: what else was asked.

    Raises:
        InputError: if something given is wrong.
    """
    splits = load_splits(recipe.data, seed=recipe.training.seed, data=data)
    for line in splits.summary.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if extras.folds is None:
        _train_alone(recipe, splits, folder, resume, console, extras)
        return
    if recipe.data.augment not in (None, FRESH, NOISE):
        raise InputError("--augment is not for --folds: what was found on one fold's rows would teach the others'.")

    submit = None if extras.submit is None else _texts_of(extras.submit, recipe, splits)
    ids = None if extras.id_column is None else _ids(extras, recipe, data)
    train_folds(recipe, splits, folder, console, resume=resume, extras=extras, submit=submit, ids=ids)


def _ids(extras: Extras, recipe: Recipe, data: object) -> dict[int, Any]:
    """Return what stands in the id column of the texts to be submitted, by row number.

    Raises:
        InputError: if there are no such texts, or they have no such column.
    """
    own = extras.submit is None
    source = extras.submit if not own else recipe.data.source if data is None else data
    raws = read_source(source, lines=True, encoding=recipe.data.encoding, drop=own and recipe.data.bad_rows == "drop")
    raw = raws.get("test") or (None if own else raws.get(WHOLE))
    if raw is None:
        raise InputError("--id-column needs texts to submit: a test split, or those of --submit SOURCE.")
    if extras.id_column not in raw.columns:
        raise InputError(
            f"{raw.name} has no column {extras.id_column!r} for --id-column; it has {quote_names(raw.columns)}."
        )
    return dict(zip(raw.numbers().tolist(), raw.column(extras.id_column).to_pylist(), strict=True))


def _train_alone(recipe: Recipe, splits: Splits, folder: Path, resume: bool, console: Console, extras: Extras) -> None:
    extra: dict[str, Any] = {}
    before = None
    if recipe.data.augment not in (None, FRESH, NOISE):
        splits, extra["augment"] = augment.augment_train(splits, recipe.data.augment)
        console.print(augment.line(extra["augment"]), highlight=False, markup=False, soft_wrap=True)
    if extras.pseudo_label is not None:
        if resume and (folder / RECIPE).exists():
            (chosen,) = pseudo_labels.read(folder, splits.label_names)
        else:
            scored = {"validation split": splits.validation, "test split": splits.test}
            lesson = pseudo_labels.Lesson(splits, {name: rows for name, rows in scored.items() if rows is not None})
            (chosen,) = pseudo_labels.choose(extras, [lesson], batch_size=recipe.training.eval_batch_size)
        console.print(f"pseudo labels: {chosen.line()}", highlight=False, markup=False, soft_wrap=True)
        splits = pseudo_labels.add_pseudo_labels(splits, chosen)
        extra["pseudo_labels"] = pseudo_labels.account(extras, chosen)
        before = partial(pseudo_labels.save, chosen=[chosen], names=splits.label_names, content=extra["pseudo_labels"])
    start = partial(start_folder, folder, keep=resume, before=before)
    train_one(recipe, splits, folder, console, resume=resume, start=start, extra=extra)


def _texts_of(source: object, recipe: Recipe, splits: Splits) -> Any:
    """Read the texts of a submission: all of undivided data, of divided data its test split."""
    split = None if WHOLE in read_source(source, lines=True) else "test"
    pairs = "text_pair" in splits.train.column_names
    named = {"text": recipe.data.text, "text_pair": recipe.data.text_pair}
    return load_texts(source, split=split, pairs=pairs, task=splits.task, known=splits.columns, **named)
