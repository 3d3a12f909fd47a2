"""Several recipes with the same seeds: their run folders, their scores, and the differences within each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toughen.assess.definition import NO_NUMBERS, POSITIVE_CLASS
from toughen.assess.selection import chosen_metric
from toughen.compare.ablation_plan import ASSUMED_SD, Arm, Contrast, PairedPlan, step_cost
from toughen.compare.pool import Job
from toughen.compare.recipe_data import make_paths_absolute
from toughen.files import read_json
from toughen.recipe.recipe import dump
from toughen.runs.folder import METRICS
from toughen.statistics.seeds import holm, over_seeds, pooled_sd

RUNS = "runs"
_NOT_SCORES = ("n", *NO_NUMBERS, "seconds", "samples_per_second")


@dataclass(frozen=True)
class Paired:
    """Planned runs and the folder that holds them.

    Attributes:
        plan: which runs.
        folder: holds ``runs/ARM/seed-N/``.
        metric: the score that is compared; None is the task's own.
        sd: standard deviation of that score over seeds, if the user knows it.
    """

    plan: PairedPlan
    folder: Path
    metric: str | None = None
    sd: float | None = None

    def run_folder(self, arm: Arm, seed: int) -> Path:
        """Return the folder of one run."""
        return self.folder / RUNS / arm.name / f"seed-{seed}"

    def job(self, arm: Arm, seed: int) -> Job:
        """Return what makes one run."""
        recipe = dump(make_paths_absolute(self.plan.recipe_of(arm, seed)))
        return Job(f"{arm.name}, seed {seed}", self.run_folder(arm, seed), recipe)

    def finished(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Return ``metrics.json`` of the runs that are done: {arm: {seed: content}}."""
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for arm in self.plan.arms:
            paths = {seed: self.run_folder(arm, seed) / METRICS for seed in self.plan.seeds}
            found[arm.name] = {seed: read_json(path) for seed, path in paths.items() if path.exists()}
        return found

    def cost(self) -> dict[str, dict[str, float]]:
        """Return what a step of each arm costs, and that relative to the first."""
        seed = self.plan.seeds[0]
        counted = {arm.name: step_cost(self.plan.recipe_of(arm, seed)) for arm in self.plan.arms}
        base = counted[self.plan.arms[0].name]["units_per_step"]
        return {name: cost | {"relative_cost": cost["units_per_step"] / base} for name, cost in counted.items()}

    def scores(
        self, done: Mapping[str, Mapping[int, Mapping[str, Any]]], split: str, metric: str
    ) -> dict[str, dict[int, float]]:
        """Return {arm: {seed: score}}; a run that has learnt nothing, or whose score is undefined, has none."""
        return {
            name: {
                seed: run[split][metric]
                for seed, run in runs.items()
                if run[split].get(metric) is not None and not run.get("collapsed")
            }
            for name, runs in done.items()
        }

    def spread(self, done: Mapping[str, Mapping[int, dict[str, Any]]]) -> tuple[float, str]:
        """Return the standard deviation of a score over seeds and where it comes from: given, measured or assumed."""
        if self.sd is not None:
            return self.sd, "given"
        if not any(done.values()):
            return ASSUMED_SD, "assumed"
        split, metric = choose_measure(done, self.metric)
        measured = pooled_sd([list(scores.values()) for scores in self.scores(done, split, metric).values()])
        return (ASSUMED_SD, "assumed") if measured is None else (measured, "measured")


def results(paired: Paired) -> dict[str, Any]:
    """Read the finished runs: ``split``, ``metric``, ``arms`` and ``effects``, as ``docs/ablate.md`` has them."""
    done, cost = paired.finished(), paired.cost()
    if not any(done.values()):
        return {"split": None, "metric": None, POSITIVE_CLASS: None, "arms": [], "effects": []}
    split, metric = choose_measure(done, paired.metric)
    scores = paired.scores(done, split, metric)
    arms = [_arm(paired, arm, done[arm.name], scores[arm.name], cost[arm.name]) for arm in paired.plan.arms]
    head = {"split": split, "metric": metric, POSITIVE_CLASS: _first(done)[split].get(POSITIVE_CLASS)}
    return head | {"arms": arms, "effects": _effects(paired.plan.contrasts, scores, cost)}


def choose_measure(done: Mapping[str, Mapping[int, Mapping[str, Any]]], metric: str | None) -> tuple[str, str]:
    """Return the split that is compared (test where there is one) and the metric.

    Raises:
        InputError: if the runs have no such metric.
    """
    first = _first(done)
    split = "test" if first.get("test") else "validation"
    known = [name for name, value in first[split].items() if name not in _NOT_SCORES and _may_be_score(value)]
    return split, chosen_metric(metric, known)


def _first(done: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> Mapping[str, Any]:
    return next(run for runs in done.values() for run in runs.values())


def _may_be_score(value: object) -> bool:
    return not isinstance(value, (str, dict))


def _arm(
    paired: Paired,
    arm: Arm,
    runs: Mapping[int, Mapping[str, Any]],
    scores: Mapping[int, float],
    cost: Mapping[str, float],
) -> dict[str, Any]:
    seconds = [run["train"]["seconds"] for run in runs.values()]
    measured = [run["train"]["units_per_step"] for run in runs.values()]
    return {
        "name": arm.name,
        "slots": list(arm.slots),
        **_estimate(list(scores.values())),
        "collapsed": [seed for seed, run in runs.items() if run.get("collapsed")],
        **cost,
        "measured_units_per_step": sum(measured) / len(measured) if measured else None,
        "seconds": sum(seconds) / len(seconds) if seconds else None,
        "runs": [
            {
                "seed": seed,
                "folder": str(paired.run_folder(arm, seed).relative_to(paired.folder)),
                "score": scores.get(seed),
                "validation": _numbers(run["validation"]),
                "test": _numbers(run["test"]) if run.get("test") else None,
                "train": run["train"],
            }
            for seed, run in runs.items()
        ],
    }


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in NO_NUMBERS}


def _estimate(values: list[float]) -> dict[str, Any]:
    """Return mean, interval, p, sd and n of scores; all None without any."""
    if not values:
        return {"mean": None, "low": None, "high": None, "sd": None, "n": 0}
    return {name: value for name, value in asdict(over_seeds(values)).items() if name != "p"}


def _effects(
    contrasts: Sequence[Contrast], scores: Mapping[str, Mapping[int, float]], cost: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Return every difference over the seeds in which all its arms are done; Holm's correction within each question."""
    effects = []
    for contrast in contrasts:
        seeds = sorted(set.intersection(*(set(scores[arm]) for arm in contrast.weights)))
        values = [sum(w * scores[arm][seed] for arm, w in contrast.weights.items()) for seed in seeds]
        effects.append(
            {
                "name": contrast.name,
                "kind": contrast.kind,
                "slots": list(contrast.slots),
                "weights": dict(contrast.weights),
                "seeds": seeds,
                "values": values,
                **(asdict(over_seeds(values)) if values else _estimate([]) | {"p": None}),
                "relative_cost": _cost_of(contrast, cost),
            }
        )
    questions = {"against plain": 0, "on top of the others": 1, "main effect": 1, "interaction": 1}
    for question in set(questions.values()):
        asked = [effect for effect in effects if questions[effect["kind"]] == question]
        for effect, p in zip(asked, holm([effect["p"] for effect in asked]), strict=True):
            effect["p_holm"] = p
    return effects


def _cost_of(contrast: Contrast, cost: Mapping[str, Mapping[str, float]]) -> float | None:
    """Return units per step with the slots over those without: the mean of the arms on either side.

    An interaction has no cost of its own: None.
    """
    if contrast.kind == "interaction":
        return None
    sides: dict[bool, list[float]] = {True: [], False: []}
    for arm, weight in contrast.weights.items():
        sides[weight > 0].append(cost[arm]["units_per_step"])
    more, less = (sum(sides[side]) / len(sides[side]) for side in (True, False))
    return more / less
