"""Where the data of a recipe lie: found from any folder, and read without their test split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets

from toughen.data.config import FRESH, NOISE
from toughen.data.read.chunks import as_dataset
from toughen.data.read.in_memory import WHOLE, split_of
from toughen.data.read.plain import inner, kind_of
from toughen.data.read.readers import READERS
from toughen.data.read.sources import read_source

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe


def splits_without_test(source: str) -> Any:
    """Return the splits of a source that is no test split, in a form that `toughen.train` takes.

    Of a folder of split files the test file is not even opened. Data that are not divided are returned as they came,
    for they have no test split.

    Args:
        source: hub id, file or folder.

    Raises:
        InputError: if there is nothing to read.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        files = [entry for entry in sorted(path.iterdir()) if entry.is_file() and kind_of(entry) in READERS]
        named = {split: str(entry) for entry in files if (split := split_of(inner(entry).stem)) and split != "test"}
        if "train" in named:
            return named
    splits = read_source(source)
    if WHOLE in splits:
        return source
    return {name: _dataset(raw) for name, raw in splits.items() if name != "test"}


def _dataset(raw: Any) -> Any:
    """Put a split's table into a Dataset, whose names of classes go with it."""
    made = as_dataset(raw.table)
    for column, names in raw.class_names.items():
        made = made.cast_column(column, datasets.ClassLabel(names=list(names)))
    return made


def make_paths_absolute(recipe: Recipe) -> Recipe:
    """Make the paths in a recipe absolute, so that work can be continued from any folder."""
    data = recipe.data
    names = ("source", "unlabelled", *(("augment",) if data.augment not in (FRESH, NOISE) else ()))
    found = {name: _absolute(getattr(data, name)) for name in names}
    augment = replace(recipe.augment, neighbours=_absolute(recipe.augment.neighbours))
    return replace(recipe, model=_absolute(recipe.model), data=replace(data, **found), augment=augment)


def _absolute(source: str | None) -> Any:
    path = Path(source).expanduser() if source else None
    return source if path is None or not path.exists() else str(path.resolve())
