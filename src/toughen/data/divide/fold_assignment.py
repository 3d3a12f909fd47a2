"""Cross-validation: which rows are scored by a model that never saw them."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from toughen.arrays import Ints
from toughen.data.divide.overlap import unit_ids
from toughen.data.divide.stratify import MOST_BINS, by_unit, deal, row_labels, strata
from toughen.data.read.chunks import table_of_dataset
from toughen.errors import InputError
from toughen.tasks import TaskName


def fold_assignment(
    dataset: datasets.Dataset,
    folds: int,
    *,
    seed: int,
    task: TaskName,
    group: str | None = None,
    label_names: Sequence[str] | None = None,
) -> npt.NDArray[np.int64]:
    """Return the fold of every row, int64 [N], 0 to ``folds`` - 1: a function of the arguments alone.

    Copies of a text stay in one fold, and so do groups. Folds are stratified by class, by quantile bins for
    regression, by iterative stratification for multi-label, and drawn at random for tokens.

    Args:
        dataset: labelled rows, as in ``Splits.train``.
        folds: how many, at least 2.
        seed: fixes the draw.
        task: what a label is.
        group: column whose equal values stay in one fold; None = ``group``, where the dataset has it.
        label_names: for the sentences of errors; None = ids.

    Raises:
        InputError: if there are too few texts, groups, or rows of a class for so many folds.
    """
    if folds < 2:
        raise InputError(f"The number of folds must be at least 2, got {folds}.")
    table = _table(dataset, group)
    units = unit_ids(table)
    grouped = "group" in table.column_names
    count, what = int(units.max(initial=-1)) + 1, "groups without a common text" if grouped else "distinct texts"
    if count < folds:
        raise InputError(f"{count} {what} are too few for {folds} folds; lower the number of folds or add rows.")
    found = _assign(table, units, folds, seed, task, label_names)
    if len(np.unique(found)) < folds:
        raise InputError(f"The {what} are too uneven in size for {folds} folds; lower the number of folds.")
    if task in ("single-label", "multi-label"):
        _refuse_unlearnable(table, found, task, label_names)
    return found


def _table(dataset: datasets.Dataset, group: str | None) -> pa.Table:
    columns = [name for name in ("text", "text_pair", "label") if name in dataset.column_names]
    table = table_of_dataset(dataset.select_columns(columns))
    group = group or ("group" if "group" in dataset.column_names else None)
    if group is None:
        return table
    if group not in dataset.column_names:
        raise InputError(f"The training rows have no column {group!r} to group by; name it as data.group.")
    return table.append_column("group", table_of_dataset(dataset.select_columns([group]))[group])


def _assign(
    table: pa.Table, units: Ints, folds: int, seed: int, task: TaskName, label_names: Sequence[str] | None
) -> Ints:
    if task == "multi-label":
        return deal(by_unit(row_labels(table, task), units), [1 / folds] * folds, seed)[units]
    if "group" in table.column_names:
        classes = strata(table, task, min(MOST_BINS, table.num_rows // folds))
        _refuse_small_classes(classes, folds, task, label_names)
        return _assign_grouped(classes, units, folds, seed)
    first = np.unique(units, return_index=True)[1]
    classes = strata(table.select(["label"]).take(first), task, min(MOST_BINS, len(first) // folds))
    _refuse_small_classes(classes, folds, task, label_names)
    return _assign_stratified(classes, folds, seed)[units]


def _assign_stratified(classes: Ints, folds: int, seed: int) -> Ints:
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = StratifiedKFold if classes.any() else KFold
    return _number_parts(kind(folds, shuffle=True, random_state=seed).split(classes, classes), len(classes))


def _assign_grouped(classes: Ints, units: Ints, folds: int, seed: int) -> Ints:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    kind = StratifiedGroupKFold if classes.any() else GroupKFold
    return _number_parts(kind(folds, shuffle=True, random_state=seed).split(classes, classes, units), len(classes))


def _number_parts(parts: Sequence[tuple[Ints, Ints]], count: int) -> Ints:
    found = np.empty(count, np.int64)
    for fold, (_, held) in enumerate(parts):
        found[held] = fold
    return found


def _refuse_small_classes(classes: Ints, folds: int, task: TaskName, label_names: Sequence[str] | None) -> None:
    counts = np.bincount(classes)
    small = np.flatnonzero((counts > 0) & (counts < folds))
    if task == "single-label" and len(small):
        name = label_names[small[0]] if label_names else str(small[0])
        raise InputError(
            f"Class {name!r} has {counts[small[0]]} distinct texts, too few for {folds} folds; lower the number of "
            "folds or add rows of that class."
        )


def _refuse_unlearnable(table: pa.Table, found: Ints, task: TaskName, label_names: Sequence[str] | None) -> None:
    """Refuse folds of which one holds every row of a label, so that its model could not learn it."""
    counts = row_labels(table, task)
    counts = counts[:, :-1] if task == "multi-label" else counts
    inside = by_unit(counts, found)
    alone = np.flatnonzero(((inside == counts.sum(0)) & (counts.sum(0) > 0)).any(0))
    if len(alone):
        name = label_names[alone[0]] if label_names else str(alone[0])
        raise InputError(
            f"All rows of label {name!r} fall into one fold, whose model could then not learn it; add rows of that "
            "label in other texts or groups."
        )
