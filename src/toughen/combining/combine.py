"""`toughen.combine`: finished runs in, one run out; selection never reads test, which is scored once, at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from toughen.assess.metrics import score, score_outputs, task_metrics
from toughen.assess.mistakes import describe_mistakes
from toughen.assess.slices import Scorable
from toughen.assess.thresholds import tune_thresholds
from toughen.classifier.classifier import Classifier
from toughen.combining import weight_soup
from toughen.combining.distil import Lesson, teach
from toughen.combining.evidence import (
    Evidence,
    digest_of,
    gather,
    own_validation,
    selection_rows,
    test_rows,
)
from toughen.combining.fitting import fit_stack, fit_weights
from toughen.combining.interpolation import interpolate
from toughen.combining.outcome import outcome
from toughen.data import load_splits
from toughen.data.divide.overlap import text_hashes
from toughen.errors import InputError
from toughen.files import write_json, write_whole
from toughen.files.manifest import seal
from toughen.machine.launch import main_process_console
from toughen.recipe.recipe import dump, load_recipe, paths_of, unlabelled_of
from toughen.report.write import after_training
from toughen.run import Run
from toughen.runs.beginning import start_folder
from toughen.runs.combination import Combination
from toughen.runs.ensemble import mean_thresholds
from toughen.runs.finished import FinishedRun
from toughen.runs.folder import COMBINATION, COMBINATION_FORMAT, HASHES, METRICS, MISTAKES, MODEL, RECIPE
from toughen.runs.members import (
    DISTIL,
    INTERPOLATION,
    OUTPUTS,
    Members,
    find_trained_rows,
    leaves,
    refuse_seen_test,
    seen_hashes,
)
from toughen.runs.rules import Rule
from toughen.runs.writer import refuse_input_inside, replace_folder, sole_writer

if TYPE_CHECKING:
    from rich.console import Console

    from toughen.combining.evidence import Kind
    from toughen.combining.weight_soup import Soup
    from toughen.recipe.recipe import Recipe

T = TypeVar("T")

FITTED = ("weights", "stack", "greedy-soup", INTERPOLATION)
"""Ways that choose something by the rows that select."""
_LEFT_OUT = (
    "checkpoints",
    "tensorboard",
    "evaluations",
    "attacks",
    "audits",
    "report.html",
    "mistakes.json",
    "*.part",
    "training_args.bin",
)
"""What a copied member can do without."""


@dataclass(frozen=True)
class _Job:
    """What was asked."""

    members: Members
    how: str
    output: Path
    data: object
    test: object
    link: bool
    console: Console


def combine(
    runs: Sequence[str | Path | Run],
    *,
    how: str = "mean-probabilities",
    output: str | Path,
    data: object = None,
    test: object = None,
    link: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    temperature: float | None = None,
    alpha: float | None = None,
    recipe: Recipe | str | Path | Mapping[str, Any] | None = None,
    model: str | Path | None = None,
    unlabelled: str | Path | None = None,
    **overrides: object,
) -> Run:
    """Combine finished runs of one task into one run.

    Args:
        runs: run folders, or runs; also in folds, and combinations.
        how: mean-probabilities, mean-logits, vote, weights, stack, uniform-soup, greedy-soup, wise-ft or distil.
        output: the run folder to make.
        data: labelled rows that may select, of divided data the validation split; default the runs' own. For
            ``distil`` what the student is trained on; default what the first run was.
        test: labelled texts scored once, at the end; default the test split of the data.
        link: refer to the runs instead of copying them.
        overwrite: replace a run in ``output``.
        quiet: print nothing.
        temperature: of ``distil``, by which both models' logits are divided; default 2.
        alpha: of ``distil``, weight of the teacher against the labels, 0 to 1; default 1/2.
        recipe: of the student; default the first run's.
        model: the student's pretrained model; default the recipe's.
        unlabelled: texts on which the teacher alone teaches; ``unlabeled`` will do.
        overrides: changes to the student's recipe, as in `toughen.train`.

    Returns:
        The finished run.

    Raises:
        InputError: if something given is wrong; nothing has been written then.
    """
    how = DISTIL if how == "distill" else how
    unlabelled, overrides = unlabelled_of(unlabelled, overrides)
    paths = [path if isinstance(path, (str, Path)) else path.path for path in runs]
    changes = {"model": model, "data.unlabelled": unlabelled, **overrides}
    student = {k: str(v) if isinstance(v, Path) else v for k, v in changes.items() if v is not None}
    asked: dict[str, Any] = {"temperature": temperature, "alpha": alpha, "recipe": recipe}
    asked = {key: value for key, value in asked.items() if value is not None}
    if how != DISTIL and (student or asked):
        given = ", ".join([*student, *asked])
        raise InputError(f"{given} is for --how distil, which trains a model; leave it out with --how {how}.")
    folder = Path(output)
    read = {"--data": data, "--test": test, "--recipe": recipe, **{f"--{key}": value for key, value in student.items()}}
    refuse_input_inside(folder, {f"RUN {number}": path for number, path in enumerate(paths, 1)} | read)
    with sole_writer(folder, "toughen combine"):
        _check_output(folder, overwrite)
        job = _Job(Members.open(paths, how), how, folder, data, test, link, main_process_console(quiet))
        if how == DISTIL:
            asked.pop("recipe", None)
            _distil(job, Lesson(**asked), recipe, student)
        else:
            _combine(job)
        return Run.open(folder)


def _check_output(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / RECIPE).exists():
        raise InputError(f"{folder} exists and is not a run folder; choose another --output.")
    unfinished = (folder / COMBINATION).exists() and not (folder / METRICS).exists()
    if not overwrite and not unfinished:
        raise InputError(f"{folder} already holds a run; replace it with --overwrite, or choose another --output.")


def _combine(job: _Job) -> None:
    """Make everything beside the folder, then give it its name: a folder holds a whole run or none."""
    with replace_folder(job.output) as part:
        content, rows = _by_outputs(job, part) if job.how in OUTPUTS else _by_weights(job, part)
        if (part / MODEL).exists():
            seal(part / MODEL)
        _finish(job, part, content, rows)
        after_training(part, lambda line: _say(job, line.replace(str(part), str(job.output))))


def _by_outputs(job: _Job, part: Path) -> tuple[dict[str, Any], Any]:
    """Fit what there is to fit, and copy the members (or note where they are); return also the rows that selected."""
    evidence = _unless_needless(job, lambda: gather(job.members, job.data))
    rule = _rule(job, evidence)
    classifier = Combination.by(rule, [run.classifier for run in job.members.runs])
    content = _account(job, evidence) | {"passes": len(leaves(classifier)), "weights": rule.weights, "stack": None}
    if rule.stacker is not None:
        content["stack"] = {"coefficients": rule.stacker.coefficients, "intercept": rule.stacker.intercept}
    for number, run in enumerate(job.members.runs, start=1):
        if not job.link:
            shutil.copytree(run.path, part / f"member-{number}", ignore=shutil.ignore_patterns(*_LEFT_OUT))
        content["members"][number - 1]["folder"] = None if job.link else f"member-{number}"
    if evidence is not None:
        content["metrics"] = {evidence.kind: _score_of(classifier, evidence)}
    return content, None if evidence is None else evidence.rows


def _unless_needless(job: _Job, look: Callable[[], T | None]) -> T | None:
    """Look for rows that select; a way that chooses nothing goes on without, and says so."""
    try:
        found = look()
    except InputError as error:
        if job.how in FITTED or job.data is not None:
            raise
        _say(job, f"no validation score: {error}")
        return None
    if found is None and job.how not in FITTED:
        _say(job, "no validation score: the validation rows of the first run cannot be read again")
    return found


def _say(job: _Job, line: str) -> None:
    job.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _rule(job: _Job, evidence: Evidence | None) -> Rule:
    if job.how not in FITTED:
        return Rule(job.how)  # type: ignore[arg-type]  # one of OUTPUTS
    if evidence is None:
        raise InputError(_no_rows(job.how))
    if job.how == "weights":
        return Rule("weights", weights=fit_weights(job.members.first.task, evidence.outputs, evidence.labels))
    if evidence.kind == "validation":
        raise InputError(
            "--how stack learns from rows that no member has seen, and the validation rows chose the members' weights; "
            "give runs made with --folds over the same folds, or labelled rows that none has seen with --data."
        )
    if len(set(evidence.labels)) < len(job.members.first.label_names):
        raise InputError("--how stack needs rows of every label to learn from; name more of them with --data.")
    return Rule("stack", stacker=fit_stack([np.asarray(one) for one in evidence.outputs], evidence.labels))


def _no_rows(how: str) -> str:
    return (
        f"--how {how} selects by labelled rows that no run was trained on, and the runs' own validation split cannot "
        "be read again; name such rows with --data."
    )


def _by_weights(job: _Job, part: Path) -> tuple[dict[str, Any], Any]:
    """Make a soup and write it as the run's model; return also the rows that selected."""
    weight_soup.check(job.members)
    found = _unless_needless(job, lambda: selection_rows(job.members, job.data))
    if found is None and job.how in FITTED:
        raise InputError(_no_rows(job.how))
    rows = None if found is None else found[1]
    tuned = any(run.classifier.thresholds is not None for run in job.members.runs)
    soup, more = _soup(job, rows)
    weight_soup.write(job.members, soup, part, lambda classifier: _thresholds(job, classifier, rows) if tuned else None)
    content = _account(job, None) | {"passes": 1} | more
    if found is not None:
        run = job.members.runs[0]
        classifier = Classifier.load(part / MODEL, run.recipe.training.max_length)
        content["selection"] = _evidence_note(found)
        content["metrics"] = {found[0]: score(classifier, rows, batch_size=run.recipe.training.eval_batch_size)}
    return content, rows


def _soup(job: _Job, rows: Any) -> tuple[Soup, dict[str, Any]]:
    """Make the weights, with what ``combination.json`` says of them."""
    if job.how == INTERPOLATION:
        soup, share, scores = interpolate(job.members, rows)
        return soup, {"share": share, "shares": {f"{at:g}": value for at, value in scores.items()}}
    soup = weight_soup.uniform(job.members) if job.how == "uniform-soup" else weight_soup.greedily(job.members, rows)
    return soup, {"soup": _describe_soup(job, soup)}


def _evidence_note(found: tuple[Any, Any]) -> dict[str, Any]:
    kind, rows = found
    return Evidence(kind, rows["label"][:], (), digest_of(rows), rows).note()


def _describe_soup(job: _Job, soup: Soup) -> dict[str, Any]:
    names = [str(run.path) for run in job.members.runs]
    return {"chosen": [names[i] for i in soup.chosen], "scores": list(soup.scores), "metric": soup.metric}


def _thresholds(job: _Job, classifier: Classifier, rows: Any) -> list[float] | None:
    """Tune the soup's thresholds as training tunes a model's; without rows they are its members' mean."""
    if rows is None:
        mean = mean_thresholds([run.classifier.thresholds for run in job.members.runs])
        return None if mean is None else list(mean)
    size = job.members.runs[0].recipe.training.eval_batch_size
    return tune_thresholds(classifier.task, classifier.probabilities(rows, batch_size=size), rows["label"][:])


def _account(job: _Job, evidence: Evidence | None) -> dict[str, Any]:
    """Return what ``combination.json`` says of every combination."""
    first = job.members.first
    members = [
        {"source": str(run.path.resolve()), "seed": run.recipe.training.seed, "folds": run.folds, "folder": None}
        for run in job.members.runs
    ]
    return {
        "format": COMBINATION_FORMAT,
        "how": job.how,
        "task": first.task,
        "label_names": list(first.label_names),
        "members": members,
        "selection": None if evidence is None else evidence.note(),
        "fitted": job.how in FITTED,
        "metrics": {},
    }


def _score_of(classifier: Any, evidence: Evidence) -> dict[str, Any]:
    """Score what the members have said already, as `toughen.assess.metrics.score` would."""
    outputs = classifier.combined(evidence.outputs)
    return dict(task_metrics(classifier.task, outputs, evidence.labels, classifier.label_names, classifier.thresholds))


def _finish(job: _Job, part: Path, content: dict[str, Any], selected: Any) -> None:
    """Write recipe, hashes and combination.json; then read test, score it, and write metrics.json last."""
    first = job.members.runs[0]
    metrics = content.pop("metrics")
    (part / RECIPE).write_text(dump(first.recipe))
    _save_hashes(job, part, selected)
    write_json(part / COMBINATION, content)
    rows = test_rows(job.members, job.data, job.test)
    if rows is None:
        _say(job, "no test score: there is no labelled test split; --test SOURCE names one")
    else:
        refuse_seen_test(job.members, rows)
        size = first.recipe.training.eval_batch_size
        classifier = FinishedRun(part).classifier
        metrics["test"], outputs = score_outputs(classifier, rows, batch_size=size)
        scored = Scorable.of(classifier.task, classifier.label_names, classifier.thresholds, rows, outputs)
        write_json(part / MISTAKES, describe_mistakes("test", [scored]))
    environment = first.members[0].metrics.get("environment", {})
    metrics |= {"train": job.members.train_cost(), "environment": environment, "combination": _short(content)}
    named, whole = {"data": job.data, "test": job.test}, (part / MODEL).exists()
    write_json(part / METRICS, metrics | outcome(metrics, content, job.members, job.output, named, whole=whole))


def _short(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``metrics.json`` says of the combination, the flattered score among it."""
    selection = content.get("selection") or {}
    rows = selection.get("rows")
    optimistic = rows == "validation" or (bool(content["fitted"]) and rows is not None)
    why = "the same rows chose the members' weights" if rows == "validation" else "the same rows fitted the combination"
    return {
        "how": content["how"],
        "members": len(content["members"]),
        "passes": content["passes"],
        "rows": rows,
        "optimistic": why if optimistic else None,
    }


def _save_hashes(job: _Job, part: Path, rows: Any) -> None:
    """Keep which texts any member has seen, and those of these rows."""
    known = [seen_hashes(run) for run in job.members.runs] + ([] if rows is None else [text_hashes(rows)])
    hashes = np.unique(np.concatenate(known))

    def save(path: Path) -> None:
        with path.open("wb") as file:  # np.save would add .npy to a name
            np.save(file, hashes)

    write_whole(part / HASHES, save)


def _distil(job: _Job, lesson: Any, recipe: Any, changes: Mapping[str, object]) -> None:
    source = {"data.source": str(job.data)} if isinstance(job.data, (str, Path)) else {}
    resolved = load_recipe(job.members.runs[0].recipe if recipe is None else recipe, {**source, **changes})
    memory = None if isinstance(job.data, (str, Path)) else job.data
    splits = load_splits(resolved.data, seed=resolved.training.seed, data=memory)
    kind = _check_scored(job, splits)
    classifiers = [run.classifier for run in job.members.runs]
    teacher = classifiers[0] if len(classifiers) == 1 else Combination.by(Rule("mean-probabilities"), classifiers)
    content = _account(job, None) | {"passes": 1, "distil": {"temperature": lesson.temperature, "alpha": lesson.alpha}}
    content["distil"] |= {"teacher_passes": job.members.passes(), "teacher_train": job.members.train_cost()}
    content.pop("metrics")
    content["selection"] = _evidence_note((kind, splits.validation))

    refuse_input_inside(job.output, paths_of(resolved))

    def start(recipe: Any, probe: Mapping[str, Any]) -> None:
        note = partial(write_json, content=content)
        start_folder(job.output, recipe, probe, keep=False, before=lambda folder: note(folder / COMBINATION))

    extra = {"combination": _short(content)}
    teach(teacher, resolved, splits, lesson, job.output, job.console, start=start, extra=extra)


def _check_scored(job: _Job, splits: Any) -> Kind:
    """Refuse a teacher that was trained on what its student is scored on; say what validation is to it."""
    seen = False
    for run in job.members.runs:
        trained = int(find_trained_rows(run, splits.validation, own_validation(run, job.data)).sum())
        if trained:
            raise InputError(
                f"{run.path} was trained on {trained:,} of the {len(splits.validation):,} validation rows that would "
                "select the student; train all runs with the same validation split, or give other data with --data."
            )
        seen = seen or bool(find_trained_rows(run, splits.validation, None).any())
    if splits.test is not None:
        refuse_seen_test(job.members, splits.test)
    return "validation" if seen else "held_out"
