"""What a training came to, in one line beside simple models, and what to do next; decided here for whoever says it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toughen.assess.headline import BASELINES, HEADLINE
from toughen.statistics.bootstrap import Interval
from toughen.statistics.shares import clopper_pearson
from toughen.tasks import TaskName

CONSTANT = "constant"
"""In a split's metrics the one answer that the model gives to everything, where the true ones differ; else absent."""
_SPLITS = ("test", "out_of_fold", "held_out", "validation")


def after_collapse(*, adversary: bool) -> str:
    """Return what comes after a run that has learnt nothing, of a training with an adversary or without."""
    changes = ["another rate (toughen train --find-lr measures one)", "more epochs (--training.epochs)"]
    changes += ["no adversary (--adversary none)"] * adversary
    return f"check the labels, then train again with {', '.join(changes[:-1])} and {changes[-1]}."


def constant_answer(
    task: TaskName, outputs: Any, labels: Any, names: Sequence[str], thresholds: Sequence[float] | None = None
) -> str | None:
    """Return the answer that a model gives to every text; None if answers differ, or the truth has one label too.

    Arguments are those of `task_metrics`.
    """
    if len(labels) < 2:
        return None
    if task == "regression":
        said = np.asarray(outputs, np.float64)
        return f"{said.mean():.3g}" if np.ptp(said) <= 1e-6 * max(1.0, float(np.abs(said).max())) else None
    if task == "tokens":
        tags, truth = np.concatenate([np.asarray(row).argmax(-1) for row in outputs]), np.concatenate(labels)
        return names[int(tags[0])] if _alike(tags) and not _alike(truth) else None
    p = np.asarray(outputs)
    if task == "multi-label":
        on_labels = p >= np.asarray(thresholds if thresholds is not None else 0.5)
        everywhere = [name for name, on in zip(names, on_labels[0], strict=True) if on]
        return (", ".join(everywhere) or "no label") if _alike(on_labels) and not _alike(np.asarray(labels)) else None
    ids = p.argmax(-1) if thresholds is None else (p[:, 1] >= thresholds[0]).astype(int)
    return names[int(ids[0])] if _alike(ids) and not _alike(np.asarray(labels)) else None


def _alike(rows: np.ndarray[Any, Any]) -> bool:
    return bool((rows == rows[:1]).all())


def verdict(metrics: Mapping[str, Any], run: Path, *, adversary: bool = False) -> dict[str, Any]:
    """Decide what a run has learnt.

    Args:
        metrics: what its ``metrics.json`` holds: scores by split, and ``baselines`` where there was a probe.
        run: its folder, for the commands.
        adversary: whether it was trained with one.

    Returns:
        ``verdict`` and ``next``, a line each, and ``collapsed``: whether the model gives one answer to everything, or
        is right no more often than the most frequent label with answers that do not go with the truth (MCC at most 0).
    """
    split = next((name for name in _SPLITS if metrics.get(name)), None)
    if split is None:
        return {"verdict": "nothing was scored.", "next": after_one_model(run), "collapsed": False}
    scored, simple = metrics[split], (metrics.get("baselines") or {}).get(split) or {}
    lost = _collapse(scored, simple)
    if lost is not None:
        return {
            "verdict": f"it has learnt nothing: {lost}",
            "next": after_collapse(adversary=adversary),
            "collapsed": True,
        }
    return {
        "verdict": _beside(split.replace("_", " "), scored, simple),
        "next": after_one_model(run),
        "collapsed": False,
    }


def verdict_of_folds(
    metrics: Mapping[str, Any], run: Path, lost: Sequence[int], *, adversary: bool = False
) -> dict[str, Any]:
    """Decide what a run in folds has learnt, of which the folds ``lost`` (numbered from 1) have collapsed."""
    found = verdict(metrics, run, adversary=adversary)
    if not lost:
        return found if found["collapsed"] else found | {"next": _after_folds(run)}
    which = ", ".join(map(str, lost))
    told = f"{len(lost)} of {len(metrics['folds'])} folds (number {which}) have learnt nothing; {found['verdict']}"
    return {"verdict": told, "next": after_collapse(adversary=adversary), "collapsed": True}


def verdict_of_combination(
    metrics: Mapping[str, Any], run: Path, members: Sequence[Mapping[str, Any]], *, whole: bool
) -> dict[str, Any]:
    """Decide what runs have learnt together, beside what each scores alone.

    Args:
        metrics: what the combination's ``metrics.json`` holds.
        run: its folder, for the commands.
        members: ``metrics.json`` of each run; a split is told where all have it with as many rows.
        whole: whether the combination is one model, which can be exported as any other.
    """
    found = verdict(metrics, run)
    if not whole and not found["collapsed"]:
        found["next"] = _after_folds(run)
    split = next((name for name in _SPLITS if metrics.get(name)), "")
    metric = next((name for name in HEADLINE if metrics.get(split, {}).get(name) is not None), "")
    alone = [member.get(split) or {} for member in members]
    values = [one[metric] for one in alone if one.get(metric) is not None and one.get("n") == metrics[split].get("n")]
    if values and len(values) == len(members):
        found["verdict"] += f" Its members alone get {_range(values)}."
    lost = [str(number) for number, member in enumerate(members, 1) if member.get("collapsed")]
    if lost:
        found["verdict"] += f" Number {', '.join(lost)} of its {len(members)} members has learnt nothing by itself."
    return found


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"


def _collapse(scored: Mapping[str, Any], simple: Mapping[str, Any]) -> str | None:
    if scored.get(CONSTANT) is not None:
        return f"it answers {scored[CONSTANT]} to everything."
    rate, mcc = simple.get("majority", {}).get("accuracy"), scored.get("mcc")
    if rate is not None and mcc is not None and scored["accuracy"] <= rate and mcc <= 0:
        return f"it is right on {scored['accuracy']:.3f} of the texts, the most frequent label alone on {rate:.3f}."
    return None


def _beside(split: str, scored: Mapping[str, Any], simple: Mapping[str, Any]) -> str:
    metric = next((name for name in HEADLINE if scored.get(name) is not None), None)
    if metric is None:
        return f"no headline metric is defined on {split}."
    between = accuracy_interval(scored) if metric == "accuracy" else None
    told = f"{split} {metric} {scored[metric]:.3f}" + (f" [{between[0]:.3f}, {between[1]:.3f}]" if between else "")
    found = {kind: value[metric] for kind, value in simple.items() if value.get(metric) is not None}
    if not found:
        return f"{told}."
    best = max(found, key=found.__getitem__)
    told += f"; a simple model on the same rows ({BASELINES[best]}) gets {found[best]:.3f}"
    return told + ("." if scored[metric] > found[best] else ": fine-tuning has bought nothing over it.")


def accuracy_interval(scored: Mapping[str, Any]) -> Interval | None:
    """Return the exact interval of an accuracy counted over texts; None where it is not such a share."""
    accuracy, n = scored.get("accuracy"), scored.get("n")
    if accuracy is None or not n or abs(accuracy * n - round(accuracy * n)) > 1e-6:
        return None
    return clopper_pearson(round(accuracy * n), n)


def after_one_model(run: Path) -> str:
    """Return the commands that come after a run with one model."""
    folder = shlex.quote(str(run))
    return f"toughen evaluate {folder} --data SOURCE, then toughen export {folder} --to DIR"


def _after_folds(run: Path) -> str:
    folder = shlex.quote(str(run))
    return f"toughen evaluate {folder} --data SOURCE, then toughen predict {folder} --input TEXTS --output FILE"
