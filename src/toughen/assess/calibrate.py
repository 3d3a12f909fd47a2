"""Fit a run's temperature on its validation rows, and save it with the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toughen.assess.calibration import calibration, decisions
from toughen.assess.held_out import held_out_rows, note_in_model, require_one_model, task_of_run
from toughen.classifier.classifier import Classifier
from toughen.classifier.temperature import LEAST, MOST, Temperature, fit_temperature, flat, log_loss
from toughen.errors import InputError
from toughen.files import read_json
from toughen.runs.folder import MODEL

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

CALIBRATION = "calibration.json"
_NEAR = 1.001
_FIGURES = ("log_loss", "ece", "brier")


def calibrate(run: FinishedRun, data: object = None) -> dict[str, Any]:
    """Fit one temperature on validation rows and write it into the model's config, as ``toughen.temperature``.

    From then on every probability of this run is softened by it; no answer changes. Fitted anew each time.

    Args:
        run: a run with one model that predicts probabilities.
        data: labelled rows that the model did not learn from: any source, of divided data its validation split; None
            is the run's own validation split, read again as training read it.

    Returns:
        temperature, n, and log_loss, ece and brier {before, after} on these rows; ``worse``, a sentence, where one of
        them is higher after; also written to calibration.json.

    Raises:
        InputError: if the run is in folds or a regression, or its data have changed or were never in a file.
    """
    require_one_model(run, "calibrate", "temperature")
    if task_of_run(run) == "regression":
        raise InputError("regression predicts no probabilities, so there is nothing to calibrate.")
    model = run.path / MODEL
    loaded = Classifier.load(model, run.recipe.training.max_length)
    noted = read_json(model / "config.json").get("toughen") or {}
    raw = noted.get("thresholds")
    thresholds = None if raw is None else tuple(raw)
    classifier = replace(loaded, temperature=None, thresholds=thresholds)
    rows = held_out_rows(run, classifier, data)
    outputs = classifier.outputs(rows, batch_size=run.recipe.training.eval_batch_size)
    labels = rows["label"][:]
    fitted = Temperature(fit_temperature(classifier.task, outputs, labels), thresholds)
    found: dict[str, Any] = {
        "temperature": fitted.value,
        "n": len(rows),
        "source": None if data is None else str(data)[:200],
    }
    found |= _compare_scores(classifier, fitted, outputs, labels)
    if not LEAST * _NEAR < fitted.value < MOST / _NEAR:
        found["warning"] = f"the temperature stands at the edge of {LEAST} to {MOST}; these rows hardly determine it."
    worse = [name for name in _FIGURES if found[name]["after"] > found[name]["before"]]
    if worse:
        what = " and ".join(f"{name} ({found[name]['before']:.4f} to {found[name]['after']:.4f})" for name in worse)
        found["worse"] = f"{what}: a temperature minimises the log loss of these {len(rows):,} rows and nothing else."
    if "abstention" in noted:
        found["note"] = "what toughen abstain fitted was for the probabilities before, and is gone; fit it again."
    note_in_model(run, "calibrate", {"temperature": fitted.value, "abstention": None}, CALIBRATION, found)
    return found


def _compare_scores(classifier: Classifier, fitted: Temperature, outputs: Any, labels: Any) -> dict[str, Any]:
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
