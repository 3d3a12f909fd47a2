"""Look for the settings that score best on validation: Optuna proposes, training tries, the test stays unread."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toughen.assess.definition import POSITIVE_CLASS, positive_class
from toughen.assess.selection import LESS_IS_BETTER, selecting_metric
from toughen.compare.conclusion import search_outcome
from toughen.compare.pool import Job, Start, last_words
from toughen.compare.ray_trainings import trainings_on
from toughen.compare.recipe_data import make_paths_absolute, splits_without_test
from toughen.compare.search_space import Space
from toughen.data import load_splits
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole
from toughen.files.manifest import MANIFEST, seal
from toughen.machine.cluster import EngineName
from toughen.recipe.recipe import as_tree, dump, load_recipe, paths_of
from toughen.runs.folder import METRICS
from toughen.runs.writer import refuse_input_inside, sole_writer

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe

RESULT, BEST, TRIALS, STORAGE = "search.json", "best.yaml", "trials", "study.db"
_NOTE = "toughen"  # the study's attribute that says what it searches
_FOLDER = "folder"  # a trial's attribute that says where it is made
_POLL_S = 0.5
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Search:
    """What to search and where.

    Attributes:
        recipe: what is changed.
        space: the settings and their values.
        folder: ``trials/``, ``best.yaml``, ``search.json`` and, unless another storage is named, ``study.db``.
        storage: URL of Optuna's storage; None is SQLite in the folder.
        name: of the study.
    """

    recipe: Recipe
    space: Space
    folder: Path
    storage: str | None = None
    name: str = "toughen"

    @property
    def url(self) -> str:
        """The storage's URL."""
        return self.storage or f"sqlite:///{(self.folder / STORAGE).resolve()}"

    def trial_folder(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.folder / TRIALS / f"trial-{number}"


def search(wanted: Search, *, trials: int, say: Say = print, engine: EngineName = "local") -> dict[str, Any]:
    """Try settings until the study has so many finished trials, and write the best recipe.

    Trials that an earlier process left unfinished in this folder go on from their last checkpoint. Several processes
    may share a storage, each with a folder of its own.

    Args:
        wanted: what to search.
        trials: finished ones in all, those pruned and those that failed among them.
        say: shown the progress, line by line.
        engine: where trials are trained: here, or by Ray on a cluster.

    Returns:
        What ``search.json`` holds; see ``docs/ablate.md``.

    Raises:
        InputError: if Optuna or Ray is missing, another process writes the folder, the study searches something else,
            or no trial could be finished.
    """
    optuna = _optuna()
    if trials < 1:
        raise InputError(f"--trials must be at least 1, got {trials}.")
    metric, positive = _metric(wanted.recipe)
    refuse_input_inside(wanted.folder, paths_of(wanted.recipe))
    with sole_writer(wanted.folder, "toughen search"):
        wanted.folder.mkdir(exist_ok=True)
        study = _study(optuna, wanted, metric)
        (wanted.folder / MANIFEST).unlink(missing_ok=True)
        with trainings_on(engine, 1) as start:
            _Trials(optuna, study, wanted, metric, say, start).run(trials)
        result = _summary(optuna, study, wanted, metric) | {POSITIVE_CLASS: positive}
        result |= search_outcome(result, wanted.folder / BEST, _baselines(wanted, result["best"]))
        write_json(wanted.folder / RESULT, result)
        seal(wanted.folder)
    if result["best"] is None and not result["collapsed"]:
        reasons = {t["failed"] for t in result["trials"] if t["failed"]}
        raise InputError(
            f"no trial could be finished: {'; '.join(sorted(reasons)) or 'other processes have had them all'}."
        )
    return result


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise InputError("toughen search needs Optuna: pip install 'toughen[search]'.") from None
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _metric(recipe: Recipe) -> tuple[str, str | None]:
    """Read the data as the trials will, without test; return the score that chooses, and the class that it speaks of.

    The class is None where no score speaks of one alone.
    """
    splits = load_splits(recipe.data, seed=recipe.training.seed, data=splits_without_test(recipe.data.source))
    return selecting_metric(recipe.training.metric, splits.task), positive_class(splits.task, splits.label_names)


def _study(optuna: Any, wanted: Search, metric: str) -> Any:
    try:
        study = optuna.create_study(
            study_name=wanted.name,
            storage=wanted.url,
            direction="minimize" if metric in LESS_IS_BETTER else "maximize",
            pruner=optuna.pruners.MedianPruner(),
            load_if_exists=True,
        )
    except (ImportError, ValueError) as error:
        raise InputError(f"--storage {_without_password(wanted.url)}: {str(error).splitlines()[0]}") from None
    except Exception as error:  # each database has its own way to say no
        if "sqlalchemy" not in type(error).__module__:
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"--storage {_without_password(wanted.url)}: cannot be opened ({reason}).") from None
    note = json.loads(
        json.dumps({"recipe": as_tree(make_paths_absolute(wanted.recipe)), "space": wanted.space.as_json()})
    )
    before = study.user_attrs.get(_NOTE)
    if before is not None and before != note:
        changed = " and ".join(key for key in note if before.get(key) != note[key])
        raise InputError(
            f"the study {wanted.name!r} in {_without_password(wanted.url)} searches another {changed}; go on with the "
            "same settings, or choose another --study or --output."
        )
    study.set_user_attr(_NOTE, note)
    return study


class _Trials:
    """The trials of one study that this process makes."""

    def __init__(self, optuna: Any, study: Any, wanted: Search, metric: str, say: Say, start: Start) -> None:
        self._optuna, self._study, self._wanted, self._metric, self._say = optuna, study, wanted, metric, say
        self._start_training = start
        self._states = optuna.trial.TrialState
        self._here = str(wanted.folder.resolve())

    def finished(self) -> int:
        """Count the trials that ended, in all processes."""
        return sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))

    def unfinished(self) -> list[Any]:
        """Return the trials begun in this folder, which has one writer: of a shared storage, others have their own."""
        trials = self._study.get_trials(deepcopy=False, states=(self._states.RUNNING,))
        return [trial for trial in trials if trial.user_attrs.get(_FOLDER) == self._here]

    def run(self, trials: int) -> None:
        """Go on with the trials begun here, then try settings until the study has so many finished ones."""
        self.drop_checkpoints()
        for begun in self.unfinished():
            self.go_on(begun)
        while self.finished() < trials:
            self.start()
        self.write_best()  # again: it may be another process's, or a kill came after its trial had ended

    def drop_checkpoints(self) -> None:
        """Delete what a kill has left of the checkpoints of trials that had ended."""
        begun = {trial.number for trial in self.unfinished()}
        for path in (self._wanted.folder / TRIALS).glob("trial-*/checkpoints"):
            if path.parent not in map(self._wanted.trial_folder, begun):
                shutil.rmtree(path)

    def start(self) -> None:
        """Add a trial to the study and try it."""
        # Not study.ask: a trial whose folder is noted later would be nobody's after a kill in between.
        new = self._optuna.trial.create_trial(state=self._states.RUNNING, user_attrs={_FOLDER: self._here})
        self._study.add_trial(new)
        self.go_on(*self.unfinished())

    def go_on(self, begun: Any) -> None:
        """Choose the settings of a trial and try them, with what is there of its run."""
        self._try(self._optuna.trial.Trial(self._study, begun._trial_id))

    def _try(self, trial: Any) -> None:
        # Seeded by the trial's number: one history gives one proposal, and processes do not repeat each other.
        seed = int(np.random.SeedSequence([self._wanted.recipe.training.seed, trial.number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        chosen = self._wanted.space.choose(trial)
        try:
            recipe = self._recipe(chosen)
            value, state = self._train_watched(trial, recipe)
        except InputError as error:
            trial.set_user_attr("failed", str(error))
            value, state = None, self._states.FAIL
        self._study.tell(trial.number, value, state=state)
        shutil.rmtree(self._wanted.trial_folder(trial.number) / "checkpoints", ignore_errors=True)
        self._report(trial.number, chosen, value, state)

    def _recipe(self, chosen: Mapping[str, Any]) -> Recipe:
        return make_paths_absolute(load_recipe(self._wanted.recipe, chosen))

    def _train_watched(self, trial: Any, recipe: Recipe) -> tuple[float | None, Any]:
        """Train, reporting each evaluation; stop where the pruner gives up."""
        folder = self._wanted.trial_folder(trial.number)
        job = Job(f"trial {trial.number}", folder, dump(recipe), without_test=True)
        training = self._start_training(job, 1)
        try:
            while training.poll() is None:
                time.sleep(_POLL_S)
                if self._hopeless(trial, folder):
                    return None, self._states.PRUNED
        finally:
            status = training.poll()
            training.stop()
        if status != 0 or not job.finished:
            raise InputError(f"{last_words(job)} (exit status {status}; see {job.log})")
        self._hopeless(trial, folder)
        if read_json(folder / METRICS).get("collapsed"):
            # Without a value it cannot be the best; the sampler ranks it below every finished trial.
            trial.set_user_attr("collapsed", True)
            return None, self._states.PRUNED
        return self._value(folder), self._states.COMPLETE

    def _hopeless(self, trial: Any, folder: Path) -> bool:
        """Report the evaluations that are new; say whether to give up."""
        known = trial.user_attrs.get("evaluations", [])
        found = evaluations(folder, self._metric)
        for number, value in enumerate(found[len(known) :], len(known) + 1):
            trial.report(value, number)
        if len(found) > len(known):
            trial.set_user_attr("evaluations", found)
        return len(found) > len(known) and bool(trial.should_prune())

    def _value(self, folder: Path) -> float:
        """Return the validation score of the saved model; of a score that it does not have, the best evaluation.

        Raises:
            InputError: if the score is undefined on the validation split.
        """
        value = read_json(folder / METRICS)["validation"].get(self._metric)
        if value is None:
            found = evaluations(folder, self._metric)
            if not found:
                raise InputError(
                    f"{self._metric} is undefined on the validation split of {folder}, so that it cannot choose; name "
                    "another --metric, or give a validation split with every class."
                )
            value = (min if self._metric in LESS_IS_BETTER else max)(found)
        return float(value)

    def _report(self, number: int, chosen: Mapping[str, Any], value: float | None, state: Any) -> None:
        settings = ", ".join(f"{key} {_short(v)}" for key, v in chosen.items())
        score = "" if value is None else f" {self._metric} {value:.4f}"
        lost = read_json(self._wanted.trial_folder(number) / METRICS)
        told = f"learnt nothing ({lost['verdict'].rstrip('.')})" if lost.get("collapsed") else f"{state.name.lower()}"
        self._say(f"trial {number} {told}:{score} ({settings})")
        best = _best(self._study)
        if best is not None and best.number == number:
            self.write_best()

    def write_best(self) -> None:
        """Write the recipe of the best trial so far, if there is one."""
        best = _best(self._study)
        if best is None:
            return
        told = f"trial {best.number} of a search, chosen on validation"
        recipe = replace(self._recipe(best.params), description=told)
        write_whole(self._wanted.folder / BEST, lambda part: part.write_text(dump(recipe), encoding="utf-8"))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def evaluations(folder: Path, metric: str) -> list[float]:
    """Return the validation scores of a training so far, from its newest whole checkpoint; undefined ones are left out.

    Args:
        folder: the run folder.
        metric: the score that chooses.
    """
    found: list[float] = []
    for path in (folder / "checkpoints").glob("checkpoint-*/trainer_state.json"):
        with contextlib.suppress(OSError, ValueError):  # being written, or dropped already
            history = json.loads(path.read_text())["log_history"]
            values = [entry[f"eval_{metric}"] for entry in history if f"eval_{metric}" in entry]
            found = values if len(values) > len(found) else found
    return [value for value in found if np.isfinite(value)]


def _best(study: Any) -> Any:
    """Return the best finished trial, None if there is none."""
    try:
        return study.best_trial
    except ValueError:
        return None


def _summary(optuna: Any, study: Any, wanted: Search, metric: str) -> dict[str, Any]:
    best = _best(study)
    return {
        "kind": "search",
        "study": wanted.name,
        "storage": _without_password(wanted.url),
        "metric": metric,
        "split": "validation",
        "direction": study.direction.name.lower(),
        "space": wanted.space.as_json(),
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "collapsed": bool(trial.user_attrs.get("collapsed")),
                "value": trial.value if trial.state == optuna.trial.TrialState.COMPLETE else None,
                "settings": trial.params,
                "evaluations": trial.user_attrs.get("evaluations", []),
                "failed": trial.user_attrs.get("failed"),
            }
            for trial in study.get_trials(deepcopy=False)
        ],
        "best": None if best is None else {"number": best.number, "value": best.value, "settings": best.params},
    }


def _baselines(wanted: Search, best: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the metrics of the simple models beside the best trial; empty where another folder has it."""
    file = wanted.trial_folder(-1 if best is None else best["number"]) / METRICS
    found: Mapping[str, Any] = (read_json(file).get("baselines") or {}).get("validation") or {}
    return found


def _without_password(url: str) -> str:
    return re.sub(r"//([^:/@]+):[^@]*@", r"//\1:***@", url)
