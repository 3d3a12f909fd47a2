"""A run in folds: every row is scored by a model that never saw it, and all models answer together."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toughen.errors import InputError
from toughen.files import read_json, write_whole
from toughen.runs.folder import FOLDS, METRICS, RECIPE, start_folder
from toughen.training import pseudo_labels
from toughen.training.extras import Extras
from toughen.training.one import train_one

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.data import Splits
    from toughen.recipe.recipe import Recipe
    from toughen.training.pseudo_labels import Chosen


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
    import datasets

    from toughen.data.divide.fold_assignment import fold_assignment

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
    from toughen.data.divide.hold_out import hold_out
    from toughen.data.read.chunks import as_dataset

    table, share, where = rest.with_format("arrow")[:], recipe.data.validation_share, f"training of fold {fold + 1}"
    names, task = plan.splits.label_names, plan.splits.task
    train, validation = hold_out(table, share, recipe.training.seed, names, where, task)
    return as_dataset(train), as_dataset(validation)


def _without(texts: Any, others: Any) -> Any:
    """Return the texts that do not stand among others; None if there are none left."""
    from toughen.data.divide.overlap import text_hashes

    kept = np.flatnonzero(~np.isin(text_hashes(texts), text_hashes(others)))
    return texts.select(kept) if len(kept) else None


def train_folds(
    recipe: Recipe, splits: Splits, folder: Path, console: Console, *, resume: bool, extras: Extras, submit: Any
) -> None:
    """Train one model per fold, then score every row by the model that never saw it.

    Args:
        recipe: what every fold does, with one seed.
        splits: checked data.
        folder: of the whole run; each fold has a run folder of its own inside.
        console: where progress is shown.
        resume: whether to go on at the first fold that has not finished.
        extras: number of folds, source of the submission, teacher.
        submit: dataset of the texts of the submission, or None.

    Raises:
        InputError: if something does not fit together; nothing has been written then.
    """
    from toughen.machine.launch import main_process_alone
    from toughen.training.out_of_fold import assemble

    plan = make_plan(recipe, splits, int(extras.folds or 0))
    going_on = resume and (folder / RECIPE).exists()
    if going_on:
        _refuse_other_rows(folder, plan)
    console.print(plan.line(), highlight=False, soft_wrap=True)
    work = _Work(plan, recipe, folder, extras, resume, _chosen(plan, recipe, folder, extras, going_on, console))
    work.check()
    for fold in range(plan.folds):
        work.train(fold, console)
        gc.collect()  # the trainer and its model hold each other
    with main_process_alone() as is_main:
        if is_main:
            assemble(plan, recipe, folder, submit, work.report)


@dataclass(frozen=True)
class _Work:
    """The trainings of a run in folds."""

    plan: Plan
    recipe: Recipe
    folder: Path
    extras: Extras
    resume: bool
    chosen: Sequence[Chosen] | None

    def check(self) -> None:
        """Refuse what does not fit together in any fold."""
        from toughen.training import build_trainer

        for fold in range(self.plan.folds):
            build_trainer.check(self.recipe, self.splits(fold))

    def splits(self, fold: int) -> Splits:
        """Return what a fold learns from, with the texts that were labelled for it."""
        splits = split_fold(self.plan, self.recipe, fold)
        return splits if self.chosen is None else pseudo_labels.joined(splits, self.chosen[fold])

    def train(self, fold: int, console: Console) -> None:
        """Train one fold, unless it has finished."""
        target, of = self.folder / fold_name(fold + 1), f"fold {fold + 1} of {self.plan.folds}"
        if self.resume and (target / METRICS).exists():
            console.print(f"{of} has finished already", highlight=False)
            return
        splits = self.splits(fold)
        held = int((self.plan.fold == fold).sum())
        counts = f"{len(splits.train):,} rows train, {len(splits.validation):,} select, {held:,} are held out"
        console.print(f"{of}: {counts}", highlight=False)
        extra = (
            None if self.chosen is None else {"pseudo_labels": pseudo_labels.account(self.extras, self.chosen[fold])}
        )
        start = partial(self._start, fold, target)
        train_one(self.recipe, splits, target, console, resume=self.resume, start=start, extra=extra)

    def _start(self, fold: int, target: Path) -> None:
        start_folder(self.folder, self.recipe, keep=self.resume or fold > 0, before=self._note)
        start_folder(target, self.recipe, keep=self.resume, before=partial(self._note_fold, fold))

    def _note(self, folder: Path) -> None:
        if self.chosen is not None:
            pseudo_labels.save(folder, self.chosen, self.plan.splits.label_names, self.report)
        submit = self.extras.submit
        content = {
            "folds": self.plan.folds,
            "seed": self.recipe.training.seed,
            "group": self.recipe.data.group,
            "submit": str(submit) if isinstance(submit, (str, Path)) else None,
            "rows": self.plan.rows(),
        }
        write_whole(folder / FOLDS, lambda part: part.write_text(json.dumps(content)))

    def _note_fold(self, fold: int, folder: Path) -> None:
        if self.chosen is not None:
            names, chosen = self.plan.splits.label_names, self.chosen[fold]
            pseudo_labels.save(folder, [chosen], names, pseudo_labels.account(self.extras, chosen))

    @property
    def report(self) -> dict[str, Any]:
        """What the teacher's labels came to, for ``metrics.json``; empty without a teacher."""
        if self.chosen is None:
            return {}
        teacher = {"teacher": self.extras.pseudo_label, "min_confidence": self.extras.confidence}
        return {**teacher, "folds": [part.report for part in self.chosen]}


def _chosen(
    plan: Plan, recipe: Recipe, folder: Path, extras: Extras, going_on: bool, console: Console
) -> list[Chosen] | None:
    """Return the texts that the teacher's members label for each fold: asked now, or when the run was started."""
    if extras.pseudo_label is None:
        return None
    if going_on:
        return pseudo_labels.read(folder, plan.splits.label_names)
    lessons = []
    for fold in range(plan.folds):
        scored = {f"rows of fold {fold + 1}": plan.held_out(fold), "test split": plan.splits.test}
        scored = {name: rows for name, rows in scored.items() if rows is not None}
        lessons.append(pseudo_labels.Lesson(split_fold(plan, recipe, fold), scored))
    chosen = pseudo_labels.choose(extras, lessons, batch_size=recipe.training.eval_batch_size)
    for fold, part in enumerate(chosen, 1):
        console.print(f"pseudo labels for fold {fold}: {part.line()}", highlight=False, markup=False, soft_wrap=True)
    return chosen


def _refuse_other_rows(folder: Path, plan: Plan) -> None:
    if read_json(folder / FOLDS).get("rows") != plan.rows():
        raise InputError(
            f"the data is not what the folds in {folder} were made of; resume with the same data, or start again with "
            "--overwrite."
        )
