"""Hold a validation split out of the training rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from toughen.arrays import Ints
from toughen.data.divide.overlap import unit_ids
from toughen.data.divide.stratify import MOST_BINS, by_unit, deal, row_labels, strata
from toughen.data.read.chunks import select_rows
from toughen.data.read.raw import quote_names
from toughen.errors import InputError
from toughen.tasks import TaskName

HOW: dict[TaskName, str] = {
    "single-label": "stratified by label",
    "multi-label": "stratified by every label",
    "regression": "stratified by quantile of the label",
    "tokens": "at random",
}


def hold_out(
    table: pa.Table, share: float, seed: int, names: tuple[str, ...], where: str, task: TaskName
) -> tuple[pa.Table, pa.Table]:
    """Divide a table into (rest, held out), each like the whole; copies of a text, and groups, stay on one side.

    At least one text of every class goes to each side, whatever the share; of groups and of several labels per text
    where that can be.

    Raises:
        InputError: if a class has too few distinct texts, or if there are too few texts or groups.
    """
    units = unit_ids(table)
    grouped = "group" in table.column_names
    if int(units.max()) == 0 and (grouped or task != "single-label"):
        what = "one group only (those that share a text count as one)" if grouped else "1 distinct text only"
        raise InputError(f"{where} has {what}, too few to hold out a validation split; give a validation split.")
    if grouped or task == "multi-label":
        chosen = _deal_units(table, units, share, seed, task)
    else:
        first = np.unique(units, return_index=True)[1]
        chosen = _draw_texts(table.select(["label"]).take(first), share, seed, names, where, task)
    held = np.isin(units, chosen)
    rest, out = (select_rows(table, np.flatnonzero(side)) for side in (~held, held))
    if grouped:
        _refuse_lost_classes(table, rest, names, where, task)
    return rest, out


def _draw_texts(
    texts: pa.Table, share: float, seed: int, names: tuple[str, ...], where: str, task: TaskName
) -> npt.NDArray[np.int64]:
    """Return the distinct texts that are held out; a text's label is that of its first row."""
    from sklearn.model_selection import train_test_split

    count = texts.num_rows
    asked = round(share * count)
    classes = strata(texts, task, min(MOST_BINS, asked, count - asked, count // 2))
    if task == "single-label":
        _refuse_small_classes(classes, names, where)
    present = len(np.unique(classes))
    size = min(max(asked, present), count - present)
    held = np.zeros(count, bool)
    held[train_test_split(np.arange(count), test_size=size, stratify=classes, random_state=seed)[1]] = True
    if task == "single-label":
        _exchange(classes, held, np.random.default_rng(seed))
    return np.flatnonzero(held)


def _exchange(classes: Ints, held: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Give each side a text of every class that it has none of, for one of the class it has most of; sizes stay.

    Stratifying rounds: of 3 texts in 600 a tenth is 0.3, and so none. Every class has 2 texts at least and each side
    as many texts as there are classes, so there always is one to give.

    Args:
        classes: of the texts, [N].
        held: which texts are held out, [N]; changed in place.
        rng: chooses among the texts of a class.
    """
    for side in (True, False):
        for missing in np.setdiff1d(classes, classes[held == side]):
            most = np.bincount(classes[held == side]).argmax()
            wanted = rng.choice(np.flatnonzero((classes == missing) & (held != side)))
            given = rng.choice(np.flatnonzero((classes == most) & (held == side)))
            held[[wanted, given]] ^= True


def _refuse_small_classes(classes: Ints, names: tuple[str, ...], where: str) -> None:
    counts = np.bincount(classes, minlength=len(names))
    if counts[counts > 0].min() < 2:
        few = names[int(np.flatnonzero(counts == 1)[0])]
        raise InputError(
            f"Class {few!r} has 1 distinct text in {where}, too few to hold out a validation split; "
            "add rows of that class or give a validation split."
        )


def _deal_units(table: pa.Table, units: Ints, share: float, seed: int, task: TaskName) -> npt.NDArray[np.int64]:
    """Return the units that are held out: at least one, and not all of them."""
    counts = by_unit(row_labels(table, task), units)
    held = deal(counts, (1 - share, share), seed) == 1
    if held.all() or not held.any():
        # So few units that one side got none: move the one whose labels the rest has most of, a small one if several.
        left = np.where(counts > 0, counts.sum(0) - counts, np.inf).min(1)
        held[int(np.lexsort((counts.sum(1), -left))[0])] ^= True
    _complete(counts, held)
    return np.flatnonzero(held)


def _complete(counts: npt.NDArray[np.float64], held: npt.NDArray[np.bool_]) -> None:
    """Move to each side the smallest unit with a label that it has none of, where the other side loses none by it.

    Args:
        counts: rows of each unit with each label, [U, L].
        held: which units are held out, [U]; changed in place.
    """
    for side in (True, False):
        for label in np.argsort(counts.sum(0), kind="stable"):
            if counts[held == side, label].any():
                continue
            there = counts[held != side].sum(0)
            spared = (held != side) & (counts[:, label] > 0) & ((counts == 0) | (counts < there)).all(1)
            if spared.any():
                held[int(np.where(spared, counts.sum(1), np.inf).argmin())] ^= True


def _refuse_lost_classes(table: pa.Table, rest: pa.Table, names: tuple[str, ...], where: str, task: TaskName) -> None:
    if task != "single-label":
        return
    kept = set(rest["label"].unique().to_pylist())
    lost = [names[label] for label in table["label"].unique().to_pylist() if label not in kept]
    if lost:
        raise InputError(
            f"Class {quote_names(lost)} stands in so few groups of {where} that holding some out leaves none to learn "
            "from; give a validation split, or lower data.validation_share."
        )
