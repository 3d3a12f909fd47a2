"""What several trainings came to: the recipe to take, a sentence beside the simple models, and what to do now."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toughen.assess.headline import BASELINES
from toughen.assess.selection import LESS_IS_BETTER
from toughen.assess.verdict import after_one_model
from toughen.compare.paired import Paired
from toughen.compare.tables import gain, is_shown
from toughen.statistics.wording import power_sentence

GO_ON = "call it again: it goes on where it was left."
AFTER_COLLAPSE = (
    "check the labels, then call it again with another --output, and with another rate (toughen train --find-lr "
    "measures one) or more epochs (--training.epochs)."
)
Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""``metrics.json`` of finished runs by arm and seed."""


def outcome(
    paired: Paired, done: Runs, found: Mapping[str, Any], power: Mapping[str, Any] | None, go_on: str = GO_ON
) -> dict[str, Any]:
    """Say what paired runs came to.

    Args:
        paired: the runs.
        done: those that have finished.
        found: what `toughen.compare.paired.results` read from them.
        power: what so many seeds can show; None with one seed.
        go_on: what to do where nothing can be chosen yet.

    Returns:
        ``baselines`` (score by simple model), ``winner`` (chosen on validation; None where nothing can be chosen),
        ``verdict`` and ``next`` (a line each), and ``collapsed``: whether a run has learnt nothing.
    """
    simple = _baselines(done, found)
    chosen = _winner(paired, found)
    content = {**found, "baselines": simple, "winner": chosen, "power": power}
    return {
        "baselines": simple,
        "winner": chosen,
        "verdict": _verdict(content),
        "next": _next(paired, content, go_on),
        "collapsed": any(arm["collapsed"] for arm in found["arms"]),
    }


def _baselines(done: Runs, found: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean score of each simple model over the seeds of the first recipe that is done."""
    runs = next((list(runs.values()) for runs in done.values() if runs), [])
    scored = [run.get("baselines", {}).get(found["split"], {}) for run in runs]
    names = dict.fromkeys(name for one in scored for name in one)
    values = {name: [one[name].get(found["metric"]) for one in scored if name in one] for name in names}
    return {name: sum(v) / len(v) for name, v in values.items() if v and None not in v}


def _winner(paired: Paired, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Choose by the mean validation score over the seeds that all have; of equals the one that costs least.

    The run kept is that of the first seed: where each seed holds out rows of its own, their scores do not compare.
    """
    arms = [arm for arm in found["arms"] if arm["n"] and not arm["collapsed"]]
    if not arms:
        return None
    common = set.intersection(*({run["seed"] for run in arm["runs"]} for arm in arms))
    metric = found["metric"]
    scores = {
        arm["name"]: [run["validation"].get(metric) for run in arm["runs"] if run["seed"] in common]
        for arm in sorted(arms, key=lambda arm: arm["units_per_step"])
    }
    means = {name: sum(values) / len(values) for name, values in scores.items() if values and None not in values}
    if not means:
        return None
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0
    name = max(means, key=lambda name: sign * means[name])
    folder = next(a for a in paired.plan.arms if a.name == name)
    return {
        "name": name,
        "validation": means[name],
        "seeds": sorted(common),
        "run": str(paired.run_folder(folder, min(common)).relative_to(paired.folder)),
    }


def _verdict(result: Mapping[str, Any]) -> str:
    """Say which recipe is chosen, what it gains with the interval, and what could not be shown."""
    if result["winner"] is None:
        finished = [arm for arm in result["arms"] if arm["runs"]]
        if finished and all(len(arm["collapsed"]) == len(arm["runs"]) for arm in finished):
            return "Every run that has finished has learnt nothing, so nothing can be compared."
        return (
            "Nothing can be compared yet: no two recipes have finished a run with the same seed and learnt something."
        )
    metric, winner, first = result["metric"], result["winner"], result["arms"][0]["name"]
    said = f"{winner['name']} has the best validation {metric} ({winner['validation']:.4f}){_beside(result)}"
    effects = {effect["name"]: effect for effect in result["effects"] if effect["kind"] == "against plain"}
    against = []
    if winner["name"] in effects:
        mine = effects.pop(winner["name"])
        verb = "better" if is_shown(mine) else "not shown to be better"
        against.append(f"on {result['split']} it is {verb} than {first}, {gain(mine)}")
    hidden = [e["name"] for e in effects.values() if e["mean"] is not None and not is_shown(e)]
    against += [f"no difference from {first} could be shown of {', '.join(hidden)}"] if hidden else []
    told = "; ".join(against)
    said += f" {told[:1].upper()}{told[1:]}." if told else ""
    if result["power"] is None:
        return f"{said} One seed each says nothing about other seeds; give it more --minutes."
    return f"{said} {power_sentence(result['power'], remedy='')}"


def _beside(result: Mapping[str, Any]) -> str:
    """Set the winner's mean beside the best simple model on the same rows; empty where none was fitted."""
    mean = next(arm["mean"] for arm in result["arms"] if arm["name"] == result["winner"]["name"])
    simple, metric = result["baselines"], result["metric"]
    if not simple or mean is None:
        return "."
    pick = min if metric in LESS_IS_BETTER else max
    best = pick(simple, key=simple.__getitem__)
    beaten = mean < simple[best] if metric in LESS_IS_BETTER else mean > simple[best]
    told = (
        f"; its mean {result['split']} {metric} is {mean:.4f}, a simple model on the same rows ({BASELINES[best]}) gets"
    )
    return f"{told} {simple[best]:.4f}" + ("." if beaten else ": fine-tuning has bought nothing over it.")


def _next(paired: Paired, content: Mapping[str, Any], go_on: str) -> str:
    if content["winner"] is not None:
        return after_one_model(paired.folder / content["winner"]["run"])
    if any(arm["collapsed"] for arm in content["arms"]):
        return AFTER_COLLAPSE
    return go_on


def search_outcome(result: Mapping[str, Any], best: Path, baselines: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a search came to.

    Args:
        result: what ``search.json`` holds: ``metric``, ``trials`` and ``best``.
        best: the recipe that it wrote.
        baselines: metrics by simple model on the validation rows.

    Returns:
        ``verdict``, ``next`` and ``collapsed``: whether trials have learnt nothing, and none has learnt anything.
    """
    lost = [str(trial["number"]) for trial in result["trials"] if trial["collapsed"]]
    if result["best"] is None:
        told = "no trial has finished with a score" + (f"; learnt nothing: trial {', '.join(lost)}." if lost else ".")
        return {"verdict": told, "next": AFTER_COLLAPSE, "collapsed": bool(lost)}
    metric, chosen = result["metric"], result["best"]
    told = f"trial {chosen['number']} has the best validation {metric}, {chosen['value']:.4f}"
    found = {kind: value[metric] for kind, value in baselines.items() if value.get(metric) is not None}
    if found:
        kind = (min if metric in LESS_IS_BETTER else max)(found, key=found.__getitem__)
        told += f"; a simple model on the same rows ({BASELINES[kind]}) gets {found[kind]:.4f}"
    told += "; the best of several trials flatters, the test score of a training with its recipe does not."
    if lost:
        told += f" Learnt nothing, so without a score: trial {', '.join(lost)}."
    return {"verdict": told, "next": f"toughen train {shlex.quote(str(best))} --output RUN", "collapsed": False}
