"""What the models of all folds say: rows scored by the model that never saw them, and the mean of all on new texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toughen.assess.definition import NO_NUMBERS
from toughen.assess.metrics import soft_metrics, task_metrics, weights_of
from toughen.assess.mistakes import describe_mistakes
from toughen.assess.slices import Scorable
from toughen.assess.verdict import verdict_of_folds
from toughen.classifier.answers import answers
from toughen.classifier.classifier import Classifier
from toughen.files import write_json, write_whole
from toughen.recipe.recipe import load_recipe
from toughen.runs.ensemble import mean_outputs, mean_thresholds
from toughen.runs.folder import METRICS, MISTAKES, MODEL, OUT_OF_FOLD, RECIPE, SUBMISSION
from toughen.training.fold_baselines import fold_baselines
from toughen.training.fold_plan import fold_name

if TYPE_CHECKING:
    from toughen.assess.definition import Metrics
    from toughen.recipe.recipe import Recipe
    from toughen.tasks import TaskName
    from toughen.training.fold_plan import Plan

RANKED = ("roc_auc", "average_precision", "log_loss")
"""Metrics that read probabilities, which no threshold moves."""
Ids = tuple[str, Mapping[int, Any]]
"""A column's name, and its value by row number."""
BETWEEN_LABELS = "|"
"""Stands between the labels of a row in ``submission.csv``; between the tags of words stands a space."""


@dataclass
class Answers:
    """What the models of all folds answered, in the folds' order.

    Attributes:
        held_out: outputs of each fold's model on the rows that it never saw.
        others: by name of a dataset, every model's outputs on all of it.
        thresholds: of each model.
    """

    held_out: list[Any] = field(default_factory=list)
    others: dict[str, list[Any]] = field(default_factory=dict)
    thresholds: list[tuple[float, ...] | None] = field(default_factory=list)


def assemble(
    plan: Plan, recipe: Recipe, folder: Path, submit: Any, taught: Mapping[str, Any], ids: Ids | None = None
) -> None:
    """Score every fold's rows, test and the submission, each text once per model; write the files of the whole run.

    Args:
        plan: the folds.
        recipe: of the run.
        folder: of the run, in which every fold has finished.
        submit: dataset of the texts of the submission; None for those of the test split, if there is one.
        taught: what a teacher's labels came to, empty without one.
        ids: name and values of the first column of the submission; None = the row numbers.
    """
    asked = {"test": plan.splits.test, "submit": submit}
    asked = {name: rows for name, rows in asked.items() if rows is not None}
    answers = ask(plan, recipe, folder, asked)
    _write_out_of_fold(folder / OUT_OF_FOLD, plan, answers.held_out)
    if asked:
        last = list(asked)[-1]  # what is submitted, if anything is, or else test
        _write_submission(folder / SUBMISSION, plan, asked[last], answers.others[last], answers.thresholds, ids)
    write_json(folder / MISTAKES, _mistakes(plan, answers))
    write_json(folder / METRICS, _metrics(plan, folder, answers, taught))


def ask(plan: Plan, recipe: Recipe, folder: Path, others: Mapping[str, Any]) -> Answers:
    """Load one fold's model after another and ask it about the rows it never saw, and about other datasets."""
    found = Answers(others={name: [] for name in others})
    size = recipe.training.eval_batch_size
    for fold in range(plan.folds):
        classifier = Classifier.load(folder / fold_name(fold + 1) / MODEL, recipe.training.max_length)
        found.held_out.append(classifier.outputs(plan.held_out(fold), batch_size=size))
        found.thresholds.append(classifier.thresholds)
        for name, rows in others.items():
            found.others[name].append(classifier.outputs(rows, batch_size=size))
    return found


def _mistakes(plan: Plan, answers: Answers) -> dict[str, Any]:
    """Describe the mistakes on test, or else on all rows, each decided by its own fold's model."""
    task, names, test = plan.splits.task, plan.splits.label_names, plan.splits.test
    if test is not None:
        mean = mean_outputs(answers.others["test"])
        return describe_mistakes("test", [Scorable.of(task, names, mean_thresholds(answers.thresholds), test, mean)])
    parts = [
        Scorable.of(task, names, answers.thresholds[fold], plan.held_out(fold), outputs)
        for fold, outputs in enumerate(answers.held_out)
    ]
    return describe_mistakes("out_of_fold", parts)


def _metrics(plan: Plan, folder: Path, answers: Answers, taught: Mapping[str, Any]) -> dict[str, Any]:
    task, names, test = plan.splits.task, plan.splits.label_names, plan.splits.test
    per_fold = []
    for fold, outputs in enumerate(answers.held_out):
        rows = plan.held_out(fold)
        given = (task, outputs, rows["label"][:], names, answers.thresholds[fold])
        weights = weights_of(rows)
        per_fold.append(task_metrics(*given, weights=weights) | soft_metrics(outputs, rows, weights))
    content: dict[str, Any] = {
        "out_of_fold": pooled_metrics(plan, answers),
        "folds": per_fold,
        "mean_sd": mean_and_sd(per_fold),
    }
    if test is not None:
        mean = mean_outputs(answers.others["test"])
        given = (task, mean, test["label"][:], names, mean_thresholds(answers.thresholds))
        weights = weights_of(test)
        content["test"] = task_metrics(*given, weights=weights) | soft_metrics(mean, test, weights)
    if taught:
        content["pseudo_labels"] = taught
    recipe = load_recipe(folder / fold_name(1) / RECIPE)
    baselines = fold_baselines(plan, recipe)
    content |= {"baselines": baselines} if baselines else {}
    members = [json.loads((folder / fold_name(fold + 1) / METRICS).read_text()) for fold in range(plan.folds)]
    lost = [fold for fold, member in enumerate(members, 1) if member.get("collapsed")]
    told = verdict_of_folds(content, folder, lost, adversary=recipe.adversary is not None)
    return content | {"environment": members[0]["environment"]} | told


def pooled_metrics(plan: Plan, answers: Answers) -> Metrics:
    """Score all rows together, each by its own fold's model and with that model's thresholds."""
    task, names, labels = plan.splits.task, plan.splits.label_names, plan.pool["label"][:]
    weights = weights_of(plan.pool)
    outputs = pool(plan, answers.held_out)
    pooled = task_metrics(task, outputs, labels, names, weights=weights) | soft_metrics(outputs, plan.pool, weights)
    if answers.thresholds[0] is None:
        return pooled
    pairs = zip(answers.held_out, answers.thresholds, strict=True)
    decided = pool(plan, [_decisions(task, outputs, thresholds) for outputs, thresholds in pairs])
    # Decisions as outputs of 0 and 1 give every metric that counts decisions; the others read probabilities.
    return pooled | _take_ranking_metrics(task_metrics(task, decided, labels, names, weights=weights), pooled)


def _decisions(task: TaskName, outputs: Any, thresholds: Any) -> Any:
    if task == "multi-label":
        return (outputs >= np.asarray(thresholds)).astype(np.float64)
    positive = (outputs[:, 1] >= thresholds[0]).astype(np.float64)
    return np.stack([1 - positive, positive], axis=1)


def _take_ranking_metrics(decided: Metrics, pooled: Metrics) -> Metrics:
    """Return the metrics of decisions, and of probabilities those that read them."""
    metrics = {name: pooled[name] if name in RANKED else value for name, value in decided.items()}
    why = {name: (pooled if name in RANKED else decided)["undefined"] for name in metrics}
    reasons = {name: texts[name] for name, texts in why.items() if isinstance(texts, dict) and name in texts}
    return metrics | {"undefined": reasons}


def pool(plan: Plan, per_fold: Sequence[Any]) -> Any:
    """Put what the folds say about their own rows into the pool's order: an array, or a list for tokens."""
    placed: list[Any] = [None] * len(plan.fold)
    for fold, outputs in enumerate(per_fold):
        for row, output in zip(np.flatnonzero(plan.fold == fold), outputs, strict=True):
            placed[row] = output
    return placed if plan.splits.task == "tokens" else np.stack(placed)


def mean_and_sd(per_fold: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return mean and sample standard deviation of each metric over the folds; None where a fold has none."""
    found: dict[str, dict[str, float | None]] = {}
    for name in per_fold[0]:
        if name in ("n", *NO_NUMBERS):
            continue
        values = [metrics.get(name) for metrics in per_fold]
        known = [value for value in values if isinstance(value, (int, float))]
        whole = len(known) == len(values)
        found[name] = {
            "mean": float(np.mean(known)) if whole else None,
            "sd": float(np.std(known, ddof=1)) if whole else None,
        }
    return found


def _write_out_of_fold(path: Path, plan: Plan, held_out: Sequence[Any]) -> None:
    """Write row, fold, label (the true one) and outputs of every row of the pool."""
    splits = plan.splits
    columns: dict[str, Any] = {
        "row": pa.array(plan.pool["row"][:]),
        "fold": pa.array(plan.fold + 1),
        "label": pa.array(name_labels(splits.task, plan.pool["label"][:], splits.label_names)),
    }
    columns |= output_columns(splits.task, pool(plan, held_out), splits.label_names)
    write_whole(path, lambda part: pq.write_table(pa.table(columns), part))


def name_labels(task: TaskName, labels: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Return labels (as in ``Splits``) as names: one per row, several, one per word; regression keeps its numbers."""
    if task == "regression":
        return [float(label) for label in labels]
    if task == "single-label":
        return [names[label] for label in labels]
    if task == "tokens":
        return [[names[label] for label in row] for row in labels]
    return [[name for name, marked in zip(names, row, strict=True) if marked] for row in labels]


def output_columns(task: TaskName, outputs: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return outputs as columns: ``probability_<label>`` each (of tokens a list per row), or ``prediction``."""
    if task == "regression":
        return {"prediction": pa.array(np.asarray(outputs))}
    if task == "tokens":
        return {
            f"probability_{name}": pa.array([row[:, i].tolist() for row in outputs]) for i, name in enumerate(names)
        }
    return {f"probability_{name}": pa.array(outputs[:, i]) for i, name in enumerate(names)}


def _write_submission(
    path: Path,
    plan: Plan,
    rows: Any,
    outputs: Sequence[Any],
    thresholds: Sequence[tuple[float, ...] | None],
    ids: Ids | None,
) -> None:
    """Write row, label and probabilities, or row and prediction, of texts whose labels nobody need know."""
    task, names, mean = plan.splits.task, plan.splits.label_names, mean_outputs(outputs)
    columns: dict[str, Any] = {"row": rows["row"][:]}
    if ids is not None:
        columns = {ids[0]: [ids[1][row] for row in columns["row"]]}
    if task != "regression":
        told = answers(task, rows, mean, names, mean_thresholds(thresholds))
        columns["label"] = [_in_one_field(answer) for answer in told]
    if task != "tokens":
        columns |= {name: column.to_pylist() for name, column in output_columns(task, mean, names).items()}
    write_whole(path, lambda part: pd.DataFrame(columns).to_csv(part, index=False, lineterminator="\n"))


def _in_one_field(answer: Mapping[str, Any]) -> str:
    if "tags" in answer:
        return " ".join(answer["tags"])
    return str(answer["label"]) if "label" in answer else BETWEEN_LABELS.join(answer["labels"])
