"""Look through training rows by the out-of-fold answers of a run in folds: labels, copies, outliers, overlap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import toughen
from toughen.arrays import Floats
from toughen.assess.audit.correction_tables import AUDITS, RESULT, save
from toughen.assess.audit.findings import Findings, Pool, examine
from toughen.assess.audit.label_errors import LabelErrors
from toughen.assess.evaluation_files import output_folder, source_name
from toughen.assess.held_out import task_of_run
from toughen.classifier.classifier import Classifier
from toughen.data import load_splits
from toughen.errors import InputError
from toughen.runs.folder import FOLDS, MODEL, OUT_OF_FOLD
from toughen.runs.writer import refuse_input_inside, sole_writer

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun

FORMAT = 1


def audit(run: FinishedRun, data: object = None, *, output: str | Path | None = None) -> dict[str, Any]:
    """Find the training rows that are worth a look, and write them where they can be corrected.

    Args:
        run: in folds, of one class per text.
        data: the rows that it was trained on; default the source in its recipe.
        output: folder to write; default RUN/audits/NAME after the data.

    Returns:
        The content of audit.json (docs/audit.md) and ``output``, the folder.

    Raises:
        InputError: if the run is not in folds, does another task or has learnt nothing, or the data are not those that
            it learnt from.
    """
    _require_folds(run)
    source = run.recipe.data.source if data is None else data
    folder = output_folder(run.path / AUDITS, source, output, result=RESULT)
    refuse_input_inside(folder, {"RUN": run.path, "--data": data})
    with sole_writer(folder, "toughen audit", keep=True):
        pool = _pool(run, data)
        features = _features(run, pool)
        found = examine(pool, features)
        content = _content(run, source, pool, found)
        save(folder, content, pool, found)
    return content | {"output": str(folder)}


def _require_folds(run: FinishedRun) -> None:
    if (run.path.parent / FOLDS).exists():
        raise InputError(f"{run.path} is one fold of the run in {run.path.parent}; audit that one.")
    if run.folds is None or not (run.path / OUT_OF_FOLD).exists():
        raise InputError(
            f"the run in {run.path} is not in folds: its model learnt the rows that an audit asks about; train with "
            "--folds 5, and audit that run."
        )
    if (task := task_of_run(run.members[0])) not in (None, "single-label"):
        raise InputError(f"the run in {run.path} is {task}; an audit is of one class per text.")
    if run.metrics.get("collapsed"):
        raise InputError(
            f"the run in {run.path} has folds that have learnt nothing, so their answers say nothing of the labels; "
            "train again at another rate or longer, and audit that run."
        )


def _pool(run: FinishedRun, data: object) -> Pool:
    """Read the rows again, and check that they are those of the run."""
    import datasets
    import pyarrow.parquet as pq

    if data is None and not run.recipe.data.source:
        raise InputError(
            f"the run in {run.path} learnt from data in memory, which are gone; give the same rows with --data."
        )
    splits = load_splits(run.recipe.data, seed=run.recipe.training.seed, data=data)
    rows = datasets.concatenate_datasets([splits.train, splits.validation]) if splits.held_out else splits.train
    if splits.held_out:
        rows = rows.select(np.argsort(np.asarray(rows["row"][:]), kind="stable"))
    names = splits.label_names
    table = pq.read_table(run.path / OUT_OF_FOLD)
    labels = [names[label] for label in rows["label"][:]]
    columns = [f"probability_{name}" for name in names]
    known = set(columns) <= set(table.column_names)
    if not known or table["row"].to_pylist() != rows["row"][:] or table["label"].to_pylist() != labels:
        where = run.recipe.data.source if data is None else "--data"
        raise InputError(
            f"the rows of {where} are not those that the run in {run.path} was trained on: the data have changed; give "
            "the same rows, or train again."
        )
    probabilities = np.stack([np.asarray(table[name]) for name in columns], axis=1)
    return Pool(rows, np.asarray(rows["label"][:]), np.asarray(table["fold"]), probabilities, names)


def _features(run: FinishedRun, pool: Pool) -> Floats | None:
    """Ask each fold's model for the vectors of the rows that it did not learn."""
    found: Floats | None = None
    for number, member in enumerate(run.members, 1):
        places = np.flatnonzero(pool.fold == number)
        classifier = Classifier.load(member.path / MODEL, run.recipe.training.max_length)
        vectors = classifier.features(pool.rows.select(places), batch_size=run.recipe.training.eval_batch_size)
        if vectors is None:
            return None
        found = np.zeros((len(pool.fold), vectors.shape[1])) if found is None else found
        found[places] = vectors
    return found


def _content(run: FinishedRun, source: object, pool: Pool, found: Findings) -> dict[str, Any]:
    sizes = np.bincount(found.group, minlength=len(found.group))
    return {
        "format": FORMAT,
        "toughen": toughen.__version__,
        "run": str(run.path.resolve()),
        "sources": {"data": source_name(source)},
        "n": len(pool.labels),
        "label_names": list(pool.names),
        "labels": {
            "likely_wrong": len(found.errors.rows),
            "estimated_share": found.errors.share,
            "out_of_fold_accuracy": float((pool.probabilities.argmax(axis=1) == pool.labels).mean()),
            "classes": _classes(pool, found.errors),
        },
        "overlap": _overlap(pool, found.errors),
        "copies": {
            "groups": int((sizes > 1).sum()),
            "rows": int(sizes[sizes > 1].sum()),
            "later": len(found.copies),
            "contradicting_groups": len(np.unique(found.group[found.contradictions])),
        },
        "outliers": None if found.distance is None else len(found.outliers),
    }


def _classes(pool: Pool, errors: LabelErrors) -> list[Mapping[str, Any]]:
    counts = np.bincount(pool.labels, minlength=len(pool.names))
    named = np.bincount(pool.labels[errors.rows], minlength=len(pool.names))
    return [
        {
            "label": name,
            "rows": int(counts[i]),
            "likely_wrong": int(named[i]),
            "threshold": float(errors.thresholds[i]),
            "estimated_share": float(1 - errors.joint[i, i] / counts[i]),
        }
        for i, name in enumerate(pool.names)
    ]


def _overlap(pool: Pool, errors: LabelErrors) -> list[Mapping[str, Any]]:
    """Return pairs of classes by the estimated rows of one that are labelled the other, the most first."""
    joint, names = errors.joint, pool.names
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names)) if joint[i, j] + joint[j, i] > 0]
    pairs.sort(key=lambda pair: -(joint[pair] + joint[pair[::-1]]))
    return [
        {
            "labels": [names[i], names[j]],
            "rows": float(joint[i, j] + joint[j, i]),
            "share": float((joint[i, j] + joint[j, i]) / (joint[i].sum() + joint[j].sum())),
        }
        for i, j in pairs
    ]
