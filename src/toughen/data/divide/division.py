"""Divide labelled rows: drop from train what is scored later, hold a validation split out, and sum up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from toughen.data.config import Data
from toughen.data.divide.hold_out import HOW, hold_out
from toughen.data.divide.overlap import count_repeats, count_shared, count_shared_groups, without
from toughen.data.divide.summary import Summary, count_bare, count_labels, measure, spread_of
from toughen.data.read.raw import quote_names
from toughen.errors import InputError, count
from toughen.tasks import TaskName

ORDER = ("train", "validation", "test")
PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


@dataclass(frozen=True)
class Facts:
    """What every step has to know.

    Attributes:
        task: what a label is.
        names: names of the labels by id.
        where: what the user calls the training rows.
    """

    task: TaskName
    names: tuple[str, ...]
    where: str


def divide(
    tables: Mapping[str, pa.Table], facts: Facts, config: Data, seed: int
) -> tuple[dict[str, pa.Table], Summary]:
    """Drop what recurs, hold out a validation split where none is given, and sum up.

    Args:
        tables: what :func:`toughen.data.divide.overlap.sketch` makes of every split.
        facts: what every step has to know.
        config: the `data` part of a recipe.
        seed: fixes which rows are held out.

    Returns:
        The divided sketches, whose ``row`` is a position in the split they are from (validation in train where none
        was given), and the account.

    Raises:
        InputError: if nothing is left of train or of one of its classes, or if there is too little to hold out.
    """
    kept = _drop_shared(tables, facts) if config.drop_shared else dict(tables)
    repeated, conflicting = count_repeats(kept["train"], facts.task)
    divided = _with_validation(kept, facts, config.validation_share, seed)
    regression, multi = facts.task == "regression", facts.task == "multi-label"
    summary = Summary(
        counts={split: count_labels(table, facts.names, facts.task) for split, table in divided.items()},
        lengths={split: measure(table) for split, table in divided.items()},
        shared=_count_pairs(divided) | _count_pairs(tables),  # as they were before rows were dropped
        dropped=tables["train"].num_rows - kept["train"].num_rows,
        repeated=repeated,
        conflicting=conflicting,
        notes=_notes(tables, divided, facts, seed),
        task=facts.task,
        rows={split: table.num_rows for split, table in divided.items()},
        bare={split: count_bare(table) for split, table in divided.items() if multi},
        spread={split: spread_of(table) for split, table in divided.items() if regression},
    )
    return divided, summary


def _count_pairs(tables: Mapping[str, pa.Table]) -> dict[tuple[str, str], int]:
    return {(a, b): count_shared(tables[a], tables[b]) for a, b in PAIRS if a in tables and b in tables}


def _drop_shared(tables: Mapping[str, pa.Table], facts: Facts) -> dict[str, pa.Table]:
    train = without(tables["train"], *select_scored_tables(tables))
    before, after = (count_labels(table, facts.names, facts.task) for table in (tables["train"], train))
    lost = [name for name in before if before[name] and not after[name]]
    if lost or train.num_rows == 0:
        of_class = f" of class {quote_names(lost)}" if lost else ""
        raise InputError(
            f"Every row{of_class} in {facts.where} also stands in validation or test and was dropped; "
            "give splits that differ, or set data.drop_shared to false."
        )
    return {**tables, "train": train}


def select_scored_tables(tables: Mapping[str, pa.Table]) -> list[pa.Table]:
    """Return the tables that a model is scored on."""
    return [tables[split] for split in ("validation", "test") if split in tables]


def _with_validation(tables: Mapping[str, pa.Table], facts: Facts, share: float, seed: int) -> dict[str, pa.Table]:
    found = dict(tables)
    if "validation" not in found:
        held = hold_out(found["train"], share, seed, facts.names, facts.where, facts.task)
        found["train"], found["validation"] = held
    return {split: found[split] for split in ORDER if split in found}


def _not_held_out(divided: Mapping[str, pa.Table], facts: Facts) -> list[str]:
    """Name the classes that train has and the split that was taken from it has not."""
    left, held = (count_labels(divided[split], facts.names, facts.task) for split in ("train", "validation"))
    absent = [name for name in left if left[name] and not held[name]]
    return [f"validation has no text with label {quote_names(absent)}: too few could be moved apart"] if absent else []


def _notes(tables: Mapping[str, pa.Table], divided: Mapping[str, pa.Table], facts: Facts, seed: int) -> tuple[str, ...]:
    notes = []
    if "validation" not in tables:
        rows, whole = (
            divided["validation"].num_rows,
            ", groups whole" if "group" in tables["train"].column_names else "",
        )
        notes.append(f"validation: {count(rows, 'row')} held out of train, {HOW[facts.task]}{whole}, seed {seed}")
        notes += _not_held_out(divided, facts)
    if "test" not in tables:
        notes.append("no labelled test split: nothing will be scored as test")
    for a, b in PAIRS:
        shared = count_shared_groups(divided[a], divided[b]) if a in divided and b in divided else 0
        if shared:
            groups = count(shared, "group stands", "groups stand")
            notes.append(f"{groups} in both {a} and {b} (kept): scores may flatter")
    return tuple(notes)
