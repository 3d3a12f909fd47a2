"""Switch parts of a recipe on and off, over several seeds, and say what each of them bought and cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from toughen.compare.ablation_plan import Plan, power_of
from toughen.compare.conclusion import outcome
from toughen.compare.paired import Paired, choose_measure, results
from toughen.compare.pool import Job, run_jobs
from toughen.compare.ray_trainings import trainings_on
from toughen.compare.recipe_data import make_paths_absolute
from toughen.compare.tables import ablation_table
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole
from toughen.files.manifest import MANIFEST, seal
from toughen.machine.cluster import EngineName
from toughen.recipe.recipe import as_tree, paths_of
from toughen.runs.folder import METRICS
from toughen.runs.writer import refuse_input_inside, sole_writer

PLAN, RESULT, TABLE = "plan.json", "ablation.json", "table.md"
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Ablation(Paired):
    """A planned ablation and the folder that holds it.

    Attributes:
        plan: which runs.
        folder: ``plan.json``, ``runs/ARM/seed-N/``, and in the end ``ablation.json`` and ``table.md``.
    """

    plan: Plan

    def jobs(self) -> list[Job]:
        """Return the runs, all arms of the first seed first, so that an early end leaves whole comparisons."""
        return [self.job(arm, seed) for seed in self.plan.seeds for arm in self.plan.arms]

    def describe(self) -> dict[str, Any]:
        """Return the plan as ``plan.json`` has it: arms, cost, power, what is done already."""
        done, cost = self.finished(), self.cost()
        recipe = make_paths_absolute(self.plan.recipe)
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
            "power": power_of(self.plan, *self.spread(done)),
        }

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
    ablation: Ablation,
    *,
    jobs: int = 1,
    say: Say = print,
    planned: Callable[[], object] | None = None,
    engine: EngineName = "local",
) -> dict[str, Any]:
    """Make the runs that are missing and write the table.

    A run that has finished is not touched; one that was interrupted goes on from its last checkpoint.

    Args:
        ablation: what to do, and where.
        jobs: trainings at a time.
        say: shown the progress, line by line.
        planned: called when plan.json is written, before the first run.
        engine: where runs are trained: here, or by Ray on a cluster.

    Returns:
        What ``ablation.json`` holds.

    Raises:
        InputError: if the folder holds something else, is being worked on, or a training refuses its input.
        RuntimeError: if a training failed for another reason; the table holds what the others say.
    """
    refuse_input_inside(ablation.folder, paths_of(ablation.plan.recipe))
    with sole_writer(ablation.folder, "toughen ablate"):
        ablation.check_folder()
        (ablation.folder / MANIFEST).unlink(missing_ok=True)
        ablation.folder.mkdir(exist_ok=True)
        described = ablation.describe()
        write_json(ablation.folder / PLAN, described)
        if planned is not None:
            planned()
        with trainings_on(engine, jobs) as start:
            progress = _Progress(ablation, described, jobs, say)
            failed = run_jobs(ablation.jobs(), jobs, done=progress, start=start)
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
        split, metric = choose_measure(done, self._ablation.metric)
        run = read_json(job.folder / METRICS)
        score = run[split].get(metric)
        self._spent[0] += seconds
        self._spent[1] += self._units[job.folder.parent.name]
        count, runs = sum(map(len, done.values())), len(self._ablation.plan.seeds)
        left = sum(units * (runs - len(done[name])) for name, units in self._units.items())
        rest = left * self._spent[0] / self._spent[1] / self._jobs
        shown = f"{split} {metric} " + ("undefined" if score is None else f"{score:.4f}")
        shown = run["verdict"].rstrip(".") if run.get("collapsed") else shown
        self._say(
            f"{count} of {runs * len(done)} runs done: {job.name}: {shown}, {seconds:.0f} s; "
            f"the rest takes about {rest:.0f} s"
        )


# ---------------------------------------------------------------- reading it


def summarise(ablation: Ablation) -> dict[str, Any]:
    """Read the finished runs into what ``ablation.json`` holds (see ``docs/ablate.md``), without its ``failed``."""
    described = ablation.describe()
    base = {"kind": "ablation"} | {k: described[k] for k in ("recipe", "over", "design", "seeds", "power")}
    found = results(ablation)
    return base | found | outcome(ablation, ablation.finished(), found, described["power"])
