"""Fit a run's temperature on its validation rows, and save it with the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toughen.assess.calibration import calibration, decisions
from toughen.classifier.classifier import Classifier
from toughen.classifier.temperature import LEAST, MOST, Temperature, fit_temperature, flat, log_loss
from toughen.data import load_labelled, load_splits
from toughen.data.divide.overlap import text_hashes
from toughen.errors import InputError
from toughen.files import read_json, write_json
from toughen.manifest import is_sealed, seal
from toughen.runs.folder import FOLDS, HASHES, MODEL
from toughen.runs.writer import sole_writer

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

CALIBRATION = "calibration.json"
_NEAR = 1.001


def calibrate(run: FinishedRun, data: object = None) -> dict[str, Any]:
    """Fit one temperature on validation rows and write it into the model's config, as ``toughen.temperature``.

    From then on every probability of this run is softened by it; no answer changes. Fitted anew each time.

    Args:
        run: a run with one model that predicts probabilities.
        data: labelled rows that the model did not learn from: any source, of divided data its validation split; None
            is the run's own validation split, read again as training read it.

    Returns:
        temperature, n, and log_loss, ece and brier {before, after} on these rows; also written to calibration.json.

    Raises:
        InputError: if the run is in folds or a regression, or its data have changed or were never in a file.
    """
    _check(run)
    model = run.path / MODEL
    loaded = Classifier.load(model, run.recipe.training.max_length)
    noted = read_json(model / "config.json").get("toughen") or {}
    raw = noted.get("thresholds")
    thresholds = None if raw is None else tuple(raw)
    classifier = replace(loaded, temperature=None, thresholds=thresholds)
    rows = _own_validation(run, classifier) if data is None else _labelled_rows(run, classifier, data)
    outputs = classifier.outputs(rows, batch_size=run.recipe.training.eval_batch_size)
    labels = rows["label"][:]
    fitted = Temperature(fit_temperature(classifier.task, outputs, labels), thresholds)
    found = {"temperature": fitted.value, "n": len(rows), "source": None if data is None else str(data)[:200]}
    found |= _compared(classifier, fitted, outputs, labels)
    if not LEAST * _NEAR < fitted.value < MOST / _NEAR:
        found["warning"] = f"the temperature stands at the edge of {LEAST} to {MOST}; these rows hardly determine it."
    config = read_json(model / "config.json")
    config["toughen"] = {**(config.get("toughen") or {}), "temperature": fitted.value}
    with sole_writer(run.path, "toughen calibrate"):
        write_json(model / "config.json", config)
        write_json(run.path / CALIBRATION, found)
        for folder in (model, run.path):
            if is_sealed(folder):
                seal(folder)
    run.__dict__.pop("classifier", None)  # the one loaded before has no temperature
    return found


def _check(run: FinishedRun) -> None:
    if run.folds is not None:
        raise InputError(
            f"the run in {run.path} is in folds: its probabilities are means over models, which no temperature of one "
            "of them can soften without changing answers; calibrate a run with one model."
        )
    if not (run.path / MODEL).exists():
        raise InputError(
            f"the run in {run.path} combines several models by their outputs, which no temperature of one of them can "
            "soften; calibrate its members before combining them, or distil them into one model (--how distil)."
        )
    if (run.path.parent / FOLDS).exists():
        raise InputError(
            f"{run.path} is one fold of the run in {run.path.parent}, whose mean a temperature of one fold would "
            "change; calibrate a run with one model."
        )
    task = (read_json(run.path / MODEL / "config.json").get("toughen") or {}).get("task")
    if task == "regression":
        raise InputError("regression predicts no probabilities, so there is nothing to calibrate.")


def _own_validation(run: FinishedRun, classifier: Classifier) -> Any:
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
    )


def _compared(classifier: Classifier, fitted: Temperature, outputs: Any, labels: Any) -> dict[str, Any]:
    """Score both kinds of probabilities on the same rows."""
    task = classifier.task
    p, y = flat(task, outputs, labels)
    softened = fitted.apply(task, p)
    # Words stand alone here, as rows of one class each.
    kind = "single-label" if task == "tokens" else task
    both = {"before": (p, classifier.thresholds), "after": (softened, fitted.softened)}
    told = {name: calibration(decisions(kind, q, y, cuts)) for name, (q, cuts) in both.items()}
    found: dict[str, Any] = {name: {when: told[when][name] for when in both} for name in ("ece", "brier")}
    found["log_loss"] = {name: log_loss(task, q, y) for name, (q, _) in both.items()}
    return found
