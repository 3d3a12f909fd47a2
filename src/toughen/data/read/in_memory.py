"""Turn data that is already in memory into splits: DataFrame, Dataset, lists, and dicts of those."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from toughen.data.read.chunks import table_of_dataset
from toughen.data.read.layouts import read_object, table_of_records
from toughen.data.read.raw import Raw, refuse_duplicate_columns, table_of
from toughen.data.read.readers import read_file
from toughen.errors import InputError

if TYPE_CHECKING:
    import datasets
    import pandas as pd

WHOLE = "whole"  # the key of data that is not divided into splits
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "test_labelled", "test_labeled"),
    "unlabelled": ("unsupervised", "unlabelled", "unlabeled", "unsup"),
}
ACCEPTED = "a DataFrame, a Dataset, a list of (text, label) or of dicts, or a dict of splits of those"


class How(TypedDict, total=False):
    """How files are read: arguments of :func:`toughen.data.read.readers.read_file`."""

    encoding: str | None
    drop: bool


def split_of(name: str) -> str | None:
    """Return the split that a file or key is named after, or None."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def read_memory(data: object, how: How | None = None) -> dict[str, Raw]:
    """Return the splits of an in-memory object; undivided data under ``WHOLE``.

    Raises:
        InputError: if the object is of another kind, or a row does not fit.
    """
    if isinstance(data, Mapping) and any(split_of(str(key)) for key in data):
        return read_mapping(data, "of the data", how or How())
    return {WHOLE: read_rows(data, "the data")}


def read_mapping(data: Mapping[Any, object], owner: str, how: How) -> dict[str, Raw]:
    """Return the splits of a dict of splits, each an object or a file; keys that name no split are left out."""
    named = [(split_of(str(key)), str(key), value) for key, value in data.items()]
    splits: dict[str, Raw] = {}
    for split, key, value in named:
        if split in splits:
            raise InputError(f"Several keys {owner} name the {split} split; keep one.")
        if split:
            path = isinstance(value, str | Path)
            splits[split] = read_file(Path(str(value)), **how) if path else read_rows(value, f"split {key!r} {owner}")
    return splits


def read_rows(data: Any, name: str) -> Raw:
    """Return one undivided object as a split."""
    if _is_a(data, "datasets", "Dataset"):
        return _from_dataset(data, name)
    if _is_a(data, "pandas", "DataFrame"):
        return _from_frame(data, name)
    if isinstance(data, Mapping):
        return read_object(data, name)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _from_list(data, name)
    raise InputError(f"Cannot read data of type {type(data).__name__}: give {ACCEPTED}.")


def _is_a(data: Any, library: str, kind: str) -> bool:
    """Tell an object of a library that need not be there: where nobody imported it there is none."""
    module = sys.modules.get(library)
    return module is not None and isinstance(data, getattr(module, kind))


def _from_dataset(data: datasets.Dataset, name: str) -> Raw:
    features = data.features.items()
    classes = {key: tuple(names) for key, feature in features if (names := _class_names(feature))}
    return Raw(table_of_dataset(data), name, class_names=classes)


def _class_names(feature: Any) -> list[str] | None:
    """Return the class names of a column of ids, or of lists of ids."""
    import datasets

    inner = getattr(feature, "feature", feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None


def _from_frame(data: pd.DataFrame, name: str) -> Raw:
    refuse_duplicate_columns([str(column) for column in data.columns], name)
    return table_of({str(column): data[column].array for column in data.columns}, name)


def _from_list(data: Sequence[Any], name: str) -> Raw:
    if not data:
        raise InputError(f"{name} is empty: it has no rows, so give a source with texts in it.")
    if isinstance(data[0], str):
        return table_of({"text": data}, name)
    if isinstance(data[0], Mapping):
        _require_all(data, name, Mapping, "a dict like row 1")
        return table_of_records(data, name)
    _require_all(data, name, tuple | list, "a (text, label) pair")
    names = ("text", "text_pair", "label") if len(data[0]) == 3 else ("text", "label")
    wrong = next((row for row, values in enumerate(data) if len(values) != len(names)), None)
    if wrong is not None:
        raise InputError(f"{name}, row {wrong + 1} has {len(data[wrong])} values; give ({', '.join(names)}).")
    return table_of({key: [values[i] for values in data] for i, key in enumerate(names)}, name)


def _require_all(data: Sequence[Any], name: str, kind: Any, what: str) -> None:
    wrong = next((row for row, value in enumerate(data) if not isinstance(value, kind)), None)
    if wrong is not None:
        raise InputError(f"{name}, row {wrong + 1} is a {type(data[wrong]).__name__}, not {what}; use one form.")
