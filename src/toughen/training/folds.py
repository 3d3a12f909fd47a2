"""A run in folds: every row is scored by a model that never saw it, and all models answer together."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.errors import InputError
from toughen.files import read_json, write_whole
from toughen.machine.launch import main_process_alone
from toughen.runs.beginning import start_folder
from toughen.runs.folder import FOLDS, METRICS, RECIPE, is_complete
from toughen.training import build_trainer, pseudo_labels
from toughen.training.extras import Extras
from toughen.training.fold_plan import Plan, fold_name, make_plan, split_fold
from toughen.training.one import complete, complete_in_main_process, train_one
from toughen.training.out_of_fold import assemble

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.data import Splits
    from toughen.recipe.recipe import Recipe
    from toughen.training.pseudo_labels import Chosen


def train_folds(
    recipe: Recipe,
    splits: Splits,
    folder: Path,
    console: Console,
    *,
    resume: bool,
    extras: Extras,
    submit: Any,
    ids: Mapping[int, Any] | None = None,
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
        ids: what stands first in the submission by row number, under the name of ``extras.id_column``; None = the row.

    Raises:
        InputError: if something does not fit together; nothing has been written then.
    """
    plan = make_plan(recipe, splits, int(extras.folds or 0))
    going_on = resume and (folder / RECIPE).exists()
    if going_on:
        _refuse_other_rows(folder, plan)
    console.print(plan.line(), highlight=False, soft_wrap=True)
    work = _Work(plan, recipe, folder, extras, resume, _choose_texts(plan, recipe, folder, extras, going_on, console))
    work.check()
    for fold in range(plan.folds):
        work.train(fold, console)
        gc.collect()  # the trainer and its model hold each other
    with main_process_alone() as is_main:
        if is_main:
            named = None if ids is None else (str(extras.id_column), ids)
            assemble(plan, recipe, folder, submit, work.report, named)
            complete(folder, console)


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
        for fold in range(self.plan.folds):
            build_trainer.check(self.recipe, self.splits(fold))

    def splits(self, fold: int) -> Splits:
        """Return what a fold learns from, with the texts that were labelled for it."""
        splits = split_fold(self.plan, self.recipe, fold)
        return splits if self.chosen is None else pseudo_labels.add_pseudo_labels(splits, self.chosen[fold])

    def train(self, fold: int, console: Console) -> None:
        """Train one fold, unless it has finished."""
        target, of = self.folder / fold_name(fold + 1), f"fold {fold + 1} of {self.plan.folds}"
        if self.resume and (target / METRICS).exists():
            console.print(f"{of} has finished already", highlight=False)
            if not is_complete(target):
                complete_in_main_process(target, console)
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

    def _start(self, fold: int, target: Path, recipe: Recipe, probe: Mapping[str, Any]) -> None:
        start_folder(self.folder, self.recipe, keep=self.resume or fold > 0, before=self._note)
        start_folder(target, recipe, probe, keep=self.resume, before=partial(self._note_fold, fold))

    def _note(self, folder: Path) -> None:
        if self.chosen is not None:
            pseudo_labels.save(folder, self.chosen, self.plan.splits.label_names, self.report)
        submit = self.extras.submit
        content = {
            "folds": self.plan.folds,
            "seed": self.recipe.training.seed,
            "group": self.recipe.data.group,
            "id_column": self.extras.id_column,
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


def _choose_texts(
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
