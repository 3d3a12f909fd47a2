"""Runs that may be compared, and which of them are seeds of one recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.errors import InputError
from toughen.files import read_json
from toughen.recipe.recipe import as_tree
from toughen.runs.finished import FinishedRun
from toughen.runs.folder import COMBINATION, PSEUDO

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun


@dataclass(frozen=True)
class Group:
    """Runs whose recipes differ in nothing but the seed.

    Attributes:
        name: the folder that holds them all, or the run's own.
        runs: sorted by seed.
        seeds: of the runs.
    """

    name: str
    runs: tuple[FinishedRun, ...]
    seeds: tuple[int, ...]

    @property
    def cost(self) -> dict[str, float | None]:
        """The mean over runs: ``units_per_step``, ``passes_per_step``, ``steps`` and training ``seconds``."""
        costs = [_cost_of(run) for run in self.runs]
        names = ("units_per_step", "passes_per_step", "steps", "seconds")
        return {name: _mean([cost.get(name) for cost in costs]) for name in names}


def open_runs(paths: Sequence[str | Path]) -> list[FinishedRun]:
    """Open runs that can be scored on the same texts.

    Raises:
        InputError: if there are fewer than two, one is named twice, or their tasks or labels differ.
    """
    if len(paths) < 2:
        raise InputError("a comparison takes at least two runs; name another one.")
    where = [Path(path).resolve() for path in paths]
    twice = next((path for i, path in enumerate(paths) if where[i] in where[:i]), None)
    if twice is not None:
        raise InputError(f"{twice} is named twice; name each run once.")
    return [FinishedRun.open(path) for path in paths]


def check_alike(first: Any, run: Path, other: Any) -> None:
    """Refuse a classifier that answers another question than the first.

    Args:
        first: (path, task, label names) of the first run.
        run: folder of the other one.
        other: its classifier.

    Raises:
        InputError: naming both and what differs.
    """
    path, task, names = first
    if other.task != task:
        raise InputError(f"{run} is {other.task}, but {path} is {task}; compare runs of one task.")
    if tuple(other.label_names) != tuple(names):
        raise InputError(
            f"{run} has the labels {', '.join(other.label_names)}, but {path} has {', '.join(names)}; compare runs "
            "with the same labels in the same order."
        )


def group_by_recipe(runs: Sequence[FinishedRun]) -> list[Group]:
    """Put the seeds of one recipe together, in the order in which the runs were named.

    Runs of one recipe and one seed are not repetitions of each other (their data must differ, which a recipe does not
    say of data in memory): they stay apart.
    """
    found: dict[str, list[FinishedRun]] = {}
    for run in runs:
        found.setdefault(_without_seed(run), []).append(run)
    parts: list[list[FinishedRun]] = []
    for alike in found.values():
        seeds = [run.recipe.training.seed for run in alike]
        parts += [alike] if len(set(seeds)) == len(seeds) else [[run] for run in alike]
    names = _names(parts)
    return [_group(name, part) for name, part in zip(names, parts, strict=True)]


def _group(name: str, runs: Sequence[FinishedRun]) -> Group:
    ordered = tuple(sorted(runs, key=lambda run: run.recipe.training.seed))
    return Group(name, ordered, tuple(run.recipe.training.seed for run in ordered))


def _without_seed(run: FinishedRun) -> str:
    """Return what two runs have in common if they differ in nothing but the seed."""
    tree = as_tree(run.recipe)
    tree["training"] = {**tree["training"], "seed": None}
    tree["description"] = ""
    teacher = {k: v for k, v in read_json(run.path / PSEUDO).items() if k in ("teacher", "min_confidence")}
    # A combination carries the recipe of its first member.
    joined = {k: v for k, v in read_json(run.path / COMBINATION).items() if k in ("how", "members")}
    return json.dumps([tree, run.folds, teacher, joined], sort_keys=True, default=str)


def _names(parts: Sequence[Sequence[FinishedRun]]) -> list[str]:
    """Name each group by its common folder where several runs have one of their own, else by the first run."""
    short, full = [], []
    for runs in parts:
        parents = {run.path.resolve().parent for run in runs}
        common = next(iter(parents)) if len(runs) > 1 and len(parents) == 1 else None
        short.append(common.name if common else runs[0].path.resolve().name)
        full.append(str(common or runs[0].path))
    names = short if len(set(short)) == len(short) else full
    return names if len(set(names)) == len(names) else [str(runs[0].path) for runs in parts]


def baseline_of(groups: Sequence[Group], asked: str | Path | None) -> Group:
    """Return the group that the others are compared with: the one of the run asked for, or the first.

    Raises:
        InputError: if the run asked for is not among them.
    """
    if asked is None:
        return groups[0]
    path = Path(asked).resolve()
    for group in groups:
        if any(run.path.resolve() == path for run in group.runs) or group.name == str(asked):
            return group
    raise InputError(f"--baseline {asked} is none of the runs compared; name one of them.")


def _cost_of(run: FinishedRun) -> Mapping[str, float]:
    """Return what a run's training cost; of a run in folds the sum of their seconds and steps."""
    parts = [member.metrics.get("train", {}) for member in run.members]
    summed = {name: sum(part.get(name, 0.0) for part in parts) for name in ("seconds", "steps")}
    means = {name: _mean([part.get(name) for part in parts]) for name in ("units_per_step", "passes_per_step")}
    return summed | {name: value for name, value in means.items() if value is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
