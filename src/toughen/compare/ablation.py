"""Switch parts of a recipe on and off, over several seeds, and say what each of them bought and cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toughen.assess.choice import chosen_metric
from toughen.assess.definition import NO_NUMBERS
from toughen.compare.ablation_plan import ASSUMED_SD, Arm, Contrast, Plan, power_of, step_cost
from toughen.compare.pool import Job, run_jobs
from toughen.compare.sources import located
from toughen.compare.tables import ablation_table
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole
from toughen.manifest import MANIFEST, seal
from toughen.recipe.recipe import as_tree, dump, paths_of
from toughen.runs.folder import METRICS
from toughen.runs.writer import refuse_input_inside, sole_writer
from toughen.statistics.seeds import holm, over_seeds, pooled_sd

PLAN, RESULT, TABLE, RUNS = "plan.json", "ablation.json", "table.md", "runs"
Say = Callable[[str], Any]
_NOT_SCORES = ("n", *NO_NUMBERS, "seconds", "samples_per_second")


@dataclass(frozen=True)
class Ablation:
    """A planned ablation and the folder that holds it.

    Attributes:
        plan: which runs.
        folder: ``plan.json``, ``runs/ARM/seed-N/``, and in the end ``ablation.json`` and ``table.md``.
        metric: the score that is compared; None is the task's own.
        sd: standard deviation of that score over seeds, if the user knows it.
    """

    plan: Plan
    folder: Path
    metric: str | None = None
    sd: float | None = None

    def run_folder(self, arm: Arm, seed: int) -> Path:
        """Return the folder of one run."""
        return self.folder / RUNS / arm.name / f"seed-{seed}"

    def jobs(self) -> list[Job]:
        """Return the runs, all arms of the first seed first, so that an early end leaves whole comparisons."""
        return [
            Job(f"{arm.name}, seed {seed}", self.run_folder(arm, seed), dump(located(self.plan.recipe_of(arm, seed))))
            for seed in self.plan.seeds
            for arm in self.plan.arms
        ]

    def finished(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Return ``metrics.json`` of the runs that are done: {arm: {seed: content}}."""
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for arm in self.plan.arms:
            paths = {seed: self.run_folder(arm, seed) / METRICS for seed in self.plan.seeds}
            found[arm.name] = {seed: read_json(path) for seed, path in paths.items() if path.exists()}
        return found

    def cost(self) -> dict[str, dict[str, float]]:
        """Return what a step of each arm costs, and that relative to plain."""
        seed = self.plan.seeds[0]
        counted = {arm.name: step_cost(self.plan.recipe_of(arm, seed)) for arm in self.plan.arms}
        base = counted[self.plan.arms[0].name]["units_per_step"]
        return {name: cost | {"relative_cost": cost["units_per_step"] / base} for name, cost in counted.items()}

    def describe(self) -> dict[str, Any]:
        """Return the plan as ``plan.json`` has it: arms, cost, power, what is done already."""
        done, cost = self.finished(), self.cost()
        recipe = located(self.plan.recipe)
        return {
            "kind": "ablation plan",
            "recipe": as_tree(replace(recipe, description="", training=replace(recipe.training, seed=0))),
            "over": list(self.plan.over),
            "design": self.plan.design,
            "seeds": list(self.plan.seeds),
            "arms": [
                {"name": a.name, "slots": list(a.slots), "finished": sorted(done[a.name]), **cost[a.name]}
                for a in self.plan.arms
            ],
            "runs": len(self.plan.arms) * len(self.plan.seeds),
            "power": power_of(self.plan, *self._sd(done)),
        }

    def _sd(self, done: Mapping[str, Mapping[int, dict[str, Any]]]) -> tuple[float, str]:
        """Return the standard deviation over seeds and where it comes from."""
        if self.sd is not None:
            return self.sd, "given"
        if not any(done.values()):
            return ASSUMED_SD, "assumed"
        split, metric = measured_by(done, self.metric)
        measured = pooled_sd([[run[split][metric] for run in runs.values()] for runs in done.values()])
        return (ASSUMED_SD, "assumed") if measured is None else (measured, "measured")

    def check_folder(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            InputError: saying what it holds.
        """
        if not self.folder.exists():
            return
        before = read_json(self.folder / PLAN)
        if not before and any(not path.name.startswith(".") for path in self.folder.iterdir()):
            raise InputError(f"{self.folder} exists and holds no ablation; choose another --output.")
        now = self.describe() if before else {}
        changed = [key for key in ("recipe", "over") if before and before[key] != now[key]]
        if changed:
            raise InputError(
                f"{self.folder} holds an ablation of another {' and '.join(map(_setting_name, changed))}; continue it "
                "with the same settings or choose another --output."
            )


def _setting_name(key: str) -> str:
    return "set of slots (--over)" if key == "over" else key


# ---------------------------------------------------------------- doing it


def ablate(
    ablation: Ablation, *, jobs: int = 1, say: Say = print, planned: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Make the runs that are missing and write the table.

    A run that has finished is not touched; one that was interrupted goes on from its last checkpoint.

    Args:
        ablation: what to do, and where.
        jobs: processes at a time.
        say: shown the progress, line by line.
        planned: called when plan.json is written, before the first run.

    Returns:
        What ``ablation.json`` holds.

    Raises:
        InputError: if the folder holds something else, is being worked on, or a training refuses its input.
        RuntimeError: if a training failed for another reason; the table holds what the others say.
    """
    ablation.check_folder()
    refuse_input_inside(ablation.folder, paths_of(ablation.plan.recipe))
    with sole_writer(ablation.folder, "toughen ablate"):
        (ablation.folder / MANIFEST).unlink(missing_ok=True)
        ablation.folder.mkdir(exist_ok=True)
        described = ablation.describe()
        write_json(ablation.folder / PLAN, described)
        if planned is not None:
            planned()
        failed = run_jobs(ablation.jobs(), jobs, done=_Progress(ablation, described, jobs, say))
        result = summarise(ablation) | {"failed": failed}
        write_json(ablation.folder / RESULT, result)

        write_whole(ablation.folder / TABLE, lambda part: part.write_text(ablation_table(result), encoding="utf-8"))
        seal(ablation.folder)
    if failed:
        names = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise RuntimeError(f"{len(failed)} of the runs failed: {names}")
    return result


class _Progress:
    """Says after each run what it scored and how long the rest will take."""

    def __init__(self, ablation: Ablation, described: Mapping[str, Any], jobs: int, say: Say) -> None:
        self._ablation, self._jobs, self._say = ablation, jobs, say
        self._units = {arm["name"]: arm["units_per_step"] for arm in described["arms"]}
        self._spent = [0.0, 0.0]  # seconds, units per step, of the runs that this process made
        self._began = time.monotonic()

    def __call__(self, job: Job, seconds: float) -> None:
        done = self._ablation.finished()
        split, metric = measured_by(done, self._ablation.metric)
        run = read_json(job.folder / METRICS)
        score = run[split].get(metric)
        self._spent[0] += seconds
        self._spent[1] += self._units[job.folder.parent.name]
        count, runs = sum(map(len, done.values())), len(self._ablation.plan.seeds)
        left = sum(units * (runs - len(done[name])) for name, units in self._units.items())
        rest = left * self._spent[0] / self._spent[1] / self._jobs
        shown = "undefined" if score is None else f"{score:.4f}"
        lost = f" ({run['verdict'].rstrip('.')})" if run.get("collapsed") else ""
        self._say(
            f"{count} of {runs * len(done)} runs done: {job.name}: {split} {metric} {shown}{lost}, {seconds:.0f} s; "
            f"the rest takes about {rest:.0f} s"
        )


# ---------------------------------------------------------------- reading it


def measured_by(done: Mapping[str, Mapping[int, Mapping[str, Any]]], metric: str | None) -> tuple[str, str]:
    """Return the split that is compared (test where there is one) and the metric.

    Raises:
        InputError: if the runs have no such metric.
    """
    first = next(run for runs in done.values() for run in runs.values())
    split = "test" if first.get("test") else "validation"
    known = [name for name, value in first[split].items() if name not in _NOT_SCORES and _may_be_score(value)]
    return split, chosen_metric(metric, known)


def _may_be_score(value: object) -> bool:
    return not isinstance(value, (str, dict))


def summarise(ablation: Ablation) -> dict[str, Any]:
    """Read the finished runs into what ``ablation.json`` holds (see ``docs/ablate.md``), without its ``failed``."""
    plan, done, cost = ablation.plan, ablation.finished(), ablation.cost()
    described = ablation.describe()
    base = {"kind": "ablation"} | {k: described[k] for k in ("recipe", "over", "design", "seeds", "power")}
    if not any(done.values()):
        return base | {"split": None, "metric": None, "arms": [], "effects": []}
    split, metric = measured_by(done, ablation.metric)
    scores = {
        name: {seed: run[split][metric] for seed, run in runs.items() if run[split].get(metric) is not None}
        for name, runs in done.items()
    }
    arms = [_arm(ablation, arm, done[arm.name], scores[arm.name], cost[arm.name]) for arm in plan.arms]
    return base | {"split": split, "metric": metric, "arms": arms, "effects": _effects(plan.contrasts, scores, cost)}


def _arm(
    ablation: Ablation,
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
        **cost,
        "measured_units_per_step": sum(measured) / len(measured) if measured else None,
        "seconds": sum(seconds) / len(seconds) if seconds else None,
        "collapsed": [seed for seed, run in runs.items() if run.get("collapsed")],
        "runs": [
            {
                "seed": seed,
                "folder": str(ablation.run_folder(arm, seed).relative_to(ablation.folder)),
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
    contrasts: list[Contrast], scores: Mapping[str, Mapping[int, float]], cost: Mapping[str, Mapping[str, float]]
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
