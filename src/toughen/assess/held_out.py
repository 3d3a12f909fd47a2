"""What is fitted after training on rows that the model did not learn from, and saved with the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toughen.data import load_labelled, load_splits
from toughen.data.divide.overlap import text_hashes
from toughen.errors import InputError
from toughen.files import read_json, write_json
from toughen.files.manifest import is_sealed, seal
from toughen.runs.folder import ABSTENTION, FOLDS, HASHES, MODEL
from toughen.runs.writer import sole_writer

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier
    from toughen.runs.finished import FinishedRun


def require_one_model(run: FinishedRun, verb: str, what: str) -> None:
    """Refuse a run whose outputs are not those of one model.

    Args:
        run: the run.
        verb: of the command, such as calibrate.
        what: would be fitted, such as "temperature".

    Raises:
        InputError: if it is in folds, one of them, or a combination.
    """
    if run.folds is not None:
        raise InputError(
            f"the run in {run.path} is in folds: its probabilities are means over models, for which no {what} of one "
            f"of them stands; {verb} a run with one model."
        )
    if not (run.path / MODEL).exists():
        raise InputError(
            f"the run in {run.path} combines several models by their outputs, for which no {what} of one of them "
            f"stands; {verb} its members before combining them, or distil them into one model (--how distil)."
        )
    if (run.path.parent / FOLDS).exists():
        raise InputError(
            f"{run.path} is one fold of the run in {run.path.parent}, whose answers a {what} of one fold would "
            f"change; {verb} a run with one model."
        )


def task_of_run(run: FinishedRun) -> str | None:
    """Return the task that the model's config names."""
    found: str | None = (read_json(run.path / MODEL / "config.json").get("toughen") or {}).get("task")
    return found


def held_out_rows(run: FinishedRun, classifier: Classifier, data: object) -> Any:
    """Return labelled rows that the model did not learn from.

    Args:
        run: the run.
        classifier: its model.
        data: any source, of divided data its validation split; None is the run's own validation split.

    Raises:
        InputError: if the source is wrong, or the run's own have changed or were never in a file.
    """
    return _own_validation(run) if data is None else _labelled_rows(run, classifier, data)


def _own_validation(run: FinishedRun) -> Any:
    """Read the run's data again, and check that its validation split is the one that training saw."""
    if not run.recipe.data.source:
        raise InputError(
            f"the run in {run.path} learnt from data in memory, which are gone; give labelled rows that it did not "
            "learn from with --data."
        )
    rows = load_splits(run.recipe.data, seed=run.recipe.training.seed).validation
    hashes: Path = run.path / HASHES
    known = not hashes.exists() or bool(np.isin(text_hashes(rows), np.load(hashes)).all())
    if not known or len(rows) != run.metrics["validation"]["n"]:
        raise InputError(
            f"the validation rows of {run.recipe.data.source} are not those that the run in {run.path} saw; the data "
            "have changed: give labelled rows that it did not learn from with --data."
        )
    return rows


def _labelled_rows(run: FinishedRun, classifier: Classifier, data: object) -> Any:
    return load_labelled(
        data,
        text=run.recipe.data.text,
        text_pair=run.recipe.data.text_pair,
        label=run.recipe.data.label,
        label_names=classifier.label_names,
        split="validation",
        task=classifier.task,
        pairs=classifier.pairs,
        known=classifier.columns,
    )


def note_in_model(run: FinishedRun, verb: str, noted: dict[str, Any], file: str, found: dict[str, Any]) -> None:
    """Write what was fitted into the model's config, and the account of it into the run.

    Args:
        run: the run; its model is loaded anew when it is next asked.
        verb: of the command.
        noted: changes to ``config.toughen``; a None takes an entry out.
        file: of the account, in the run folder.
        found: the account.
    """
    path = run.path / MODEL / "config.json"
    config = read_json(path)
    changed = {**(config.get("toughen") or {}), **noted}
    config["toughen"] = {name: value for name, value in changed.items() if name not in noted or value is not None}
    with sole_writer(run.path, f"toughen {verb}"):
        write_json(path, config)
        write_json(run.path / file, found)
        if config["toughen"].get("abstention") is None:
            (run.path / ABSTENTION).unlink(missing_ok=True)
        for folder in (run.path / MODEL, run.path):
            if is_sealed(folder):
                seal(folder)
    run.__dict__.pop("classifier", None)  # the one loaded before does not know
