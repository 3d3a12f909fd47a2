"""Which rows belong to which fold, and what each fold trains and selects on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
from numpy.typing import NDArray

from toughen.data.divide.fold_assignment import fold_assignment
from toughen.data.divide.hold_out import hold_out
from toughen.data.divide.overlap import text_hashes
from toughen.data.read.chunks import as_dataset

if TYPE_CHECKING:
    from toughen.data import Splits
    from toughen.recipe.recipe import Recipe


def fold_name(fold: int) -> str:
    """Return the folder of a fold, counted from 1."""
    return f"fold-{fold}"


@dataclass(frozen=True)
class Plan:
    """Which rows belong to which fold, and what everything else is for.

    Attributes:
        pool: the labelled rows that are divided.
        fold: [N] fold of each row of the pool, from 0.
        folds: number of folds.
        splits: the data as it was read; its ``validation`` selects in every fold if ``given``.
        given: whether the source has a validation split of its own.
    """

    pool: Any
    fold: NDArray[np.int64]
    folds: int
    splits: Splits
    given: bool

    def held_out(self, fold: int) -> Any:
        """Return the rows that fold number ``fold`` (from 0) keeps for scoring."""
        return self.pool.select(np.flatnonzero(self.fold == fold))

    def rows(self) -> list[list[int]]:
        """Return the row numbers, in their source, of each fold."""
        rows = np.asarray(self.pool["row"][:])
        return [rows[self.fold == k].tolist() for k in range(self.folds)]

    def line(self) -> str:
        """Say what is divided and what selects."""
        how = (
            f"the {len(self.splits.validation):,} rows of the validation split"
            if self.given
            else "a part of the other folds' rows"
        )
        return f"folds: {len(self.pool):,} rows of train in {self.folds} folds; in each, {how} selects the weights"


def make_plan(recipe: Recipe, splits: Splits, folds: int) -> Plan:
    """Divide the labelled rows, those held out for validation among them, into folds.

    Rows with the same text, or of the same group, share a fold.

    Raises:
        InputError: if there are too few rows, texts or groups for so many folds.
    """
    pool = splits.train
    if splits.held_out:
        pool = datasets.concatenate_datasets([splits.train, splits.validation])
        pool = pool.select(np.argsort(np.asarray(pool["row"][:]), kind="stable"))
    fold = fold_assignment(pool, folds, seed=recipe.training.seed, task=splits.task, label_names=splits.label_names)
    return Plan(pool, fold, folds, splits, given=not splits.held_out)


def split_fold(plan: Plan, recipe: Recipe, fold: int) -> Splits:
    """Return what fold number ``fold`` (from 0) trains and selects on: nothing that it holds out, and no test."""
    rest = plan.pool.select(np.flatnonzero(plan.fold != fold))
    train, validation = (rest, plan.splits.validation) if plan.given else _divide(rest, plan, recipe, fold)
    unlabelled = plan.splits.unlabelled
    if unlabelled is not None:
        unlabelled = _without(unlabelled, plan.held_out(fold))
    return replace(plan.splits, train=train, validation=validation, test=None, unlabelled=unlabelled)


def _divide(rest: Any, plan: Plan, recipe: Recipe, fold: int) -> tuple[Any, Any]:
    """Hold out of the other folds' rows the part that selects."""
    table, share, where = rest.with_format("arrow")[:], recipe.data.validation_share, f"training of fold {fold + 1}"
    names, task = plan.splits.label_names, plan.splits.task
    train, validation = hold_out(table, share, recipe.training.seed, names, where, task)
    return as_dataset(train), as_dataset(validation)


def _without(texts: Any, others: Any) -> Any:
    """Return the texts that do not stand among others; None if there are none left."""
    kept = np.flatnonzero(~np.isin(text_hashes(texts), text_hashes(others)))
    return texts.select(kept) if len(kept) else None
