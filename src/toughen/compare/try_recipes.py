"""Does a trick help on these data? Plain fine-tuning, the default and others, in as much time as is given."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toughen.compare.ablation_plan import PLAIN, Arm, Contrast, power_of
from toughen.compare.conclusion import outcome
from toughen.compare.paired import RUNS, Paired, results
from toughen.compare.pool import Job, run_jobs
from toughen.compare.recipe_data import make_paths_absolute
from toughen.compare.tables import try_table
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole
from toughen.files.manifest import MANIFEST, seal
from toughen.recipe.recipe import Recipe, as_tree, load_recipe, paths_of
from toughen.recipe.shipped import DEFAULT
from toughen.runs.folder import METRICS, is_complete
from toughen.runs.writer import refuse_input_inside, sole_writer

RESULT, TABLE = "try.json", "table.md"
RECIPES = (PLAIN, DEFAULT, "ema", "rdrop")
"""What is tried unless others are named: the baseline, the default, and one that costs nothing and one that doubles."""
ALONE: Mapping[str, Mapping[str, object]] = {"rdrop": {"objective.label_smoothing": 0.0}}
"""What a shipped recipe has besides the technique that it is named for, switched off: a difference has one cause."""
MOST_SEEDS = 10
_GO_ON = "call it again with more --minutes: it goes on where it was left."
_SLACK = 1.1  # a round is begun if so many times what the last one took is left
Say = Callable[[str], Any]


@dataclass(frozen=True)
class RecipePlan:
    """Whole recipes against the first of them.

    Attributes:
        recipes: by the name under which each is compared; the data and the seed of all are those of the first.
        seeds: of the runs.
    """

    recipes: Mapping[str, Recipe]
    seeds: tuple[int, ...]

    @property
    def arms(self) -> list[Arm]:
        """One per recipe."""
        return [Arm((), name) for name in self.recipes]

    @property
    def contrasts(self) -> list[Contrast]:
        """Every other recipe minus the first."""
        first, *others = self.recipes
        return [Contrast("against plain", (name,), {name: 1.0, first: -1.0}) for name in others]

    def recipe_of(self, arm: Arm, seed: int) -> Recipe:
        """Return the recipe of one run."""
        recipe = self.recipes[arm.name]
        return replace(recipe, training=replace(recipe.training, seed=seed))


def try_recipes(
    data: str | Path,
    *,
    output: str | Path,
    minutes: float = 20.0,
    model: str | Path | None = None,
    recipes: Sequence[str] = RECIPES,
    seeds: int = MOST_SEEDS,
    metric: str | None = None,
    say: Say = print,
    **overrides: object,
) -> dict[str, Any]:
    """Train recipes with the same seeds for so many minutes, and say which helps on these data.

    A round is every recipe with one seed, the cheapest first; a round is begun while there is time for it. A call with
    the same settings goes on with what an earlier one left; the time of the runs that it finished counts.

    Args:
        data: hub id, file or folder of labelled texts.
        output: folder for the runs, ``try.json`` and ``table.md``.
        minutes: for all calls on this folder together; a run that is interrupted by their end is kept for the next.
        model: pretrained model, hub id or folder; default the recipes' own.
        recipes: shipped recipes or YAML files; the first is what the others are compared with.
        seeds: rounds at most.
        metric: score that is compared and, on validation, chooses; default f1, or pearson.
        say: shown the progress, line by line.
        overrides: changes to every recipe, as `toughen.train` takes them.

    Returns:
        What ``try.json`` holds; see ``docs/try.md``.

    Raises:
        InputError: if the settings are wrong, the folder holds something else, or a training refuses its input.
        RuntimeError: if a training failed for another reason; the table holds what the others say.
    """
    given = {"data.source": str(data), **({} if model is None else {"model": str(model)})}
    loaded = _load_recipes(recipes, {**overrides, **given})
    if minutes <= 0 or seeds < 1:
        raise InputError(f"--minutes and --seeds must be above 0, got {minutes:g} and {seeds}.")
    first = next(iter(loaded.values()))
    folder, start = Path(output), first.training.seed
    paired = Paired(RecipePlan(loaded, tuple(range(start, start + seeds))), folder, metric)
    refuse_input_inside(folder, paths_of(first))
    with sole_writer(folder, "toughen try"):
        _check_folder(folder, loaded)
        (folder / MANIFEST).unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        rounds = _Rounds(paired, minutes, say)
        result = rounds.write(rounds.run())
        seal(folder)
    if result["failed"]:
        names = "; ".join(f"{name}: {why}" for name, why in result["failed"].items())
        raise RuntimeError(f"{len(result['failed'])} of the runs failed: {names}")
    return result


def _load_recipes(recipes: Sequence[str], overrides: Mapping[str, object]) -> dict[str, Recipe]:
    loaded = {
        Path(name).stem if name.endswith((".yaml", ".yml")) else name: load_recipe(
            name, {**ALONE.get(name, {}), **overrides}
        )
        for name in recipes
    }
    if len(loaded) < max(2, len(recipes)):
        raise InputError(f"--recipes must name two recipes or more, each once, got {','.join(recipes)}.")
    bare = {name: replace(recipe, description="") for name, recipe in loaded.items()}
    for name, recipe in bare.items():
        same = next((other for other in bare if other != name and bare[other] == recipe), None)
        if same is not None:
            raise InputError(f"{name} and {same} are the same recipe with these settings; leave one of them out.")
    return loaded


def _settings(recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    """Return the recipes as ``try.json`` has them: with paths that any folder finds."""
    return {name: as_tree(replace(make_paths_absolute(recipe), description="")) for name, recipe in recipes.items()}


def _check_folder(folder: Path, recipes: Mapping[str, Recipe]) -> None:
    if not folder.exists():
        return
    before = read_json(folder / RESULT)
    if not before and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise InputError(f"{folder} exists and holds no toughen try; choose another --output.")
    if before and before["recipes"] != _settings(recipes):
        raise InputError(
            f"{folder} holds a toughen try of other recipes or settings; continue it with the same or choose another "
            "--output."
        )


class _Rounds:
    """The rounds of one call: how long each may take, and what is written after every run."""

    def __init__(self, paired: Paired, minutes: float, say: Say) -> None:
        self._paired, self._minutes, self._say = paired, minutes, say
        self._began = time.monotonic()
        before = read_json(paired.folder / RESULT).get("wall_seconds") or {}
        done = paired.finished()
        # A run that ended just before its process was killed is known by its own account alone.
        self._wall: dict[str, float] = {
            self._key(name, seed): before.get(self._key(name, seed), _count_seconds(run))
            for name, runs in done.items()
            for seed, run in runs.items()
        }
        for name in self._wall:  # a kill may have come in between
            _drop_checkpoints(paired.folder / RUNS / name)
        self._until = self._began + 60 * minutes - sum(self._wall.values())

    def run(self) -> dict[str, str]:
        """Make rounds until the time is up; return the runs that failed."""
        failed: dict[str, str] = {}
        self.write(failed)
        for at, seed in enumerate(self._paired.plan.seeds):
            jobs = [self._paired.job(arm, seed) for arm in self._by_cost()]
            missing = [job for job in jobs if not job.finished]
            left = self._until - time.monotonic()
            if missing and (left <= 0 or (at > 0 and _SLACK * self._expect_seconds(missing) > left)):
                break
            failed |= run_jobs(missing, 1, done=self._log_finished, until=self._until)
        return failed

    def write(self, failed: Mapping[str, str]) -> dict[str, Any]:
        """Write what is known so far, and return it."""
        result = _summary(self._paired, self._minutes, self._wall) | {"failed": dict(failed)}
        write_json(self._paired.folder / RESULT, result)
        table = try_table(result)
        write_whole(self._paired.folder / TABLE, lambda part: part.write_text(table, encoding="utf-8"))
        return result

    def _by_cost(self) -> list[Arm]:
        cost = self._paired.cost()
        return sorted(self._paired.plan.arms, key=lambda arm: cost[arm.name]["units_per_step"])

    def _expect_seconds(self, jobs: Sequence[Job]) -> float:
        """Return how long runs will take, by the mean of the same recipe's or, of none, of all earlier ones."""
        total = 0.0
        for job in jobs:
            alike = [s for key, s in self._wall.items() if key.startswith(f"{job.folder.parent.name}/")]
            known = alike or list(self._wall.values())
            total += sum(known) / len(known) if known else 0.0
        return total

    def _log_finished(self, job: Job, seconds: float) -> None:
        self._wall[self._key(job.folder.parent.name, int(job.folder.name.removeprefix("seed-")))] = seconds
        _drop_checkpoints(job.folder)
        result = self.write({})
        verdict = read_json(job.folder / METRICS).get("verdict", "")
        left = max(0.0, self._until - time.monotonic())
        self._say(f"{job.name}: {verdict} {seconds:.0f} s; {left / 60:.1f} of {result['minutes']:g} minutes left")

    def _key(self, name: str, seed: int) -> str:
        return f"{name}/seed-{seed}"


def _drop_checkpoints(run: Path) -> None:
    """Delete the checkpoints of a run in which nothing is missing: nobody goes on from them."""
    if is_complete(run):
        shutil.rmtree(run / "checkpoints", ignore_errors=True)


def _count_seconds(run: Mapping[str, Any]) -> float:
    return float(run["train"]["seconds"] + run.get("probe", {}).get("seconds", 0.0))


def _summary(paired: Paired, minutes: float, wall: Mapping[str, float]) -> dict[str, Any]:
    plan, done = paired.plan, paired.finished()
    assert isinstance(plan, RecipePlan)
    begun = tuple(seed for seed in plan.seeds if any(seed in runs for runs in done.values()))
    found = results(paired)
    head = {
        "kind": "try",
        "minutes": minutes,
        "recipes": _settings(plan.recipes),
        "seeds": list(begun),
        "wall_seconds": dict(wall),
    }
    power = None
    if len(begun) > 1:
        power = power_of(replace(plan, seeds=begun), *paired.spread(done))
    return head | found | {"power": power} | outcome(paired, done, found, power, _GO_ON)
