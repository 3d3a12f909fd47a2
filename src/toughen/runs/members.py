"""The runs that are combined: whether they go together, and which texts they have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toughen.data.divide.overlap import text_hashes
from toughen.errors import InputError
from toughen.files import read_json
from toughen.runs.finished import FinishedRun
from toughen.runs.folder import FOLDS, HASHES

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

OUTPUTS = ("mean-probabilities", "mean-logits", "vote", "weights", "stack")
SOUPS = ("uniform-soup", "greedy-soup")
INTERPOLATION = "wise-ft"
DISTIL = "distil"
HOWS = (*OUTPUTS, *SOUPS, INTERPOLATION, DISTIL)


@dataclass(frozen=True)
class Members:
    """Runs of one task with the same labels.

    Attributes:
        runs: at least one.
    """

    runs: tuple[FinishedRun, ...]

    @classmethod
    def open(cls, paths: Sequence[str | Path], how: str) -> Members:
        """Open runs and check that they go together.

        Raises:
            InputError: if there are too few, one is no finished run, or they do different things.
        """
        if how not in HOWS:
            raise InputError(f"--how must be one of {', '.join(HOWS)}, got {how!r}.")
        least = 1 if how in (DISTIL, INTERPOLATION) else 2
        if len(paths) < least:
            what = f"{least} run{'s' if least > 1 else ''}"
            raise InputError(f"--how {how} needs at least {what}, got {len(paths)}; name more of them.")
        if how == INTERPOLATION and len(paths) > 1:
            raise InputError(f"--how {how} draws one run back towards its start, got {len(paths)} runs; name one.")
        resolved = [Path(path).resolve() for path in paths]
        twice = next((path for path, whole in zip(paths, resolved, strict=True) if resolved.count(whole) > 1), None)
        if twice is not None:
            raise InputError(f"{twice} is named twice; name every run once.")
        found = cls(tuple(FinishedRun.open(path) for path in paths))
        found._check_alike()
        found._check_task(how)
        return found

    @property
    def first(self) -> Any:
        """The first run's classifier, which says what all do."""
        return self.runs[0].classifier

    def _check_alike(self) -> None:
        first = self.first
        for run in self.runs[1:]:
            other = run.classifier
            asked = {"task": "task", "label_names": "labels", "pairs": "kind of input (pairs of texts or not)"}
            for name, what in asked.items():
                mine, theirs = getattr(first, name), getattr(other, name)
                if mine != theirs and None not in (mine, theirs):
                    raise InputError(
                        f"{self.runs[0].path} and {run.path} cannot be combined: their {what} differ "
                        f"({_value_text(mine)} and {_value_text(theirs)}); give runs trained for the same answers."
                    )

    def _check_task(self, how: str) -> None:
        task = self.first.task
        if how == "vote" and task == "regression":
            raise InputError("--how vote is for labels; numbers cannot be voted on: use mean-probabilities.")
        if how == "stack" and task != "single-label":
            raise InputError(f"--how stack is for texts with one label each, and these runs do {task}; use weights.")
        if how == DISTIL and task == "tokens":
            raise InputError("--how distil is for labels of whole texts; of tokens, combine by weights or a soup.")

    def same_folds(self) -> bool:
        """Whether all are runs in folds, over the same folds of the same rows."""
        if any(run.folds is None for run in self.runs):
            return False
        rows = [read_json(run.path / FOLDS).get("rows") for run in self.runs]
        return all(one == rows[0] for one in rows)

    def train_cost(self) -> dict[str, float]:
        """Return what training them all cost: seconds and steps added up, units and passes per step on average."""
        parts = [part.metrics.get("train", {}) for run in self.runs for part in run.members]
        total = {name: float(sum(part.get(name, 0.0) for part in parts)) for name in ("seconds", "steps")}
        steps = max(total["steps"], 1.0)
        for name in ("units_per_step", "passes_per_step"):
            total[name] = sum(part.get(name, 0.0) * part.get("steps", 0.0) for part in parts) / steps
        return total

    def passes(self) -> int:
        """Return how many models read a text when all answer."""
        return sum(len(leaves(run.classifier)) for run in self.runs)


def leaves(classifier: Any) -> list[Any]:
    """Return the single models that a classifier asks."""
    parts = getattr(classifier, "members", ())
    return [leaf for part in parts for leaf in leaves(part)] if parts else [classifier]


def _value_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def find_trained_rows(run: FinishedRun, rows: Any, own_validation: Any) -> NDArray[np.bool_]:
    """Return [N], whether the run was trained on a text: one that it has seen, and not merely to select by.

    Args:
        run: whose record is read.
        rows: dataset of N texts.
        own_validation: the rows that the run was selected on; None where they cannot be read again.
    """
    hashes = text_hashes(rows)
    seen = np.isin(hashes, seen_hashes(run))
    if own_validation is None or not seen.any():
        return seen
    return np.asarray(seen & ~np.isin(hashes, text_hashes(own_validation)))


def refuse_seen_test(members: Members, rows: Any) -> None:
    """Refuse to score on texts that a member has learnt from or was selected by.

    Raises:
        InputError: naming the run.
    """
    hashes = text_hashes(rows)
    for run in members.runs:
        shared = int(np.isin(hashes, seen_hashes(run)).sum())
        if shared:
            raise InputError(
                f"{run.path} was trained or selected on {shared:,} of the {len(rows):,} texts of the test split, so a "
                "score on it would flatter; name other labelled texts with --test."
            )


def seen_hashes(run: FinishedRun) -> NDArray[np.uint64]:
    """Return the hashes of all texts that a run (any of its members) was trained or selected on, uint64 [M].

    Raises:
        InputError: if the run was made before they were kept.
    """
    hashes = []
    for member in run.members:
        path = member.path / HASHES
        if not path.exists():
            raise InputError(
                f"the run in {member.path} does not say which texts it has seen (no {HASHES}: an older version made "
                "it), so its labels cannot be trusted; make it again with toughen train --recipe "
                f"{member.path / 'recipe.yaml'} --output NEW and give that one."
            )
        hashes.append(np.load(path))
    return np.unique(np.concatenate(hashes))
