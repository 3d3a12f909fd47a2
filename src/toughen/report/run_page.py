"""The report of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from toughen.assess.definition import of_positive_class
from toughen.assess.verdict import accuracy_interval
from toughen.errors import count
from toughen.files import read_json
from toughen.report import charts
from toughen.report.augmented import describe_augmentation
from toughen.report.evaluation_page import confusion_blocks, mistake_blocks
from toughen.report.names import model_name, source_label
from toughen.report.page import Block, Note, Page, Section, Table
from toughen.report.run_scores import headline, score_table
from toughen.report.sentences import FEW, few, name_metric, number, percent, scores, share_with_interval
from toughen.runs.folder import COMBINATION, METRICS, MISTAKES, RECIPE

Log = Sequence[Mapping[str, Any]]
PREFERRED = ("f1", "f1_micro", "pearson", "accuracy")
_PLAIN_UNITS = 3
"""Units of a step of plain fine-tuning: a forward pass 1, a backward pass 2."""


def run_page(folder: Path) -> Page:
    """Tell what a run learned, how, and what it cost."""
    metrics, recipe = read_json(folder / METRICS), _recipe(folder)
    logs = [(name, history(part)) for name, part in _members(folder)]
    wrong = read_json(folder / MISTAKES)
    sections = [
        Section("Scores", [score_table(metrics), *confusion_blocks(wrong)]),
        Section("Worst mistakes", list(mistake_blocks(wrong))),
    ]
    joined = read_json(folder / COMBINATION)
    if joined:
        sections.append(Section("Combination", list(_combination(joined, metrics))))
    if joined and not logs[0][1]:
        pass  # nothing was trained here
    elif len(logs) == 1:
        sections += _curves(logs[0][1], metrics.get("train", {}), recipe)
    else:
        sections.append(Section("Learning curves", _folds(logs, recipe)))
    sections += [
        Section("Adversarial training texts", list(describe_augmentation(metrics.get("augment") or {}))),
        Section("Cost", list(_cost(metrics))),
        Section("More of this run", list(_more(folder))),
    ]
    facts = [*_facts(recipe), *(_environment(metrics.get("environment", {})))]
    return Page("training run", folder.resolve().name, _summary(metrics, logs), facts, sections)


def history(folder: Path) -> Log:
    """Return the log of a training: that of its last checkpoint, else what TensorBoard has, else nothing."""
    found = sorted((folder / "checkpoints").glob("checkpoint-*/trainer_state.json"), key=_step)
    if found:
        log: Log = read_json(found[-1]).get("log_history", [])
        return log
    return _from_tensorboard(folder / "tensorboard")


def _step(path: Path) -> int:
    number = path.parent.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _from_tensorboard(folder: Path) -> Log:
    if not folder.is_dir() or find_spec("tensorboard") is None:
        return []
    module: Any = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(folder)).Reload()
    short = {"loss/total": "loss", "gradient_norm": "grad_norm"}
    return [
        {"step": event.step, short.get(tag, tag.replace("validation/", "eval_")): event.value}
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    ]


def _members(folder: Path) -> list[tuple[str, Path]]:
    folds = sorted(folder.glob("fold-*/"), key=lambda path: (len(path.name), path.name))
    return [(part.name.replace("-", " "), part) for part in folds] or [("", folder)]


def _recipe(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / RECIPE).read_text())
    return content


def points(log: Log, name: str) -> list[tuple[float, float]]:
    """Return (step, value) of one entry of a log, in order; what is not finite is left out."""
    found = {
        entry["step"]: float(entry[name])
        for entry in log
        if isinstance(entry.get(name), (int, float)) and abs(float(entry[name])) < float("inf")
    }
    return sorted(found.items())


# ---------------------------------------------------------------- summary


def _summary(metrics: Mapping[str, Any], logs: Sequence[tuple[str, Log]]) -> list[str]:
    return [*_said_of_scores(metrics), *_said_of_curves(logs, metrics), *_said_of_cost(metrics)]


def _said_of_scores(metrics: Mapping[str, Any]) -> Iterator[str]:
    found = headline(metrics)
    if found is None:
        yield "Nothing was scored."
        return
    if metrics.get("verdict"):
        yield f"Verdict: {metrics['verdict']}"
        yield f"Next: {metrics['next']}"
    split, scored = found
    texts = count(scored.get("n", 0), f"{split} text")
    if metrics.get("collapsed"):
        pass  # a share of right answers would praise a model that has learnt nothing
    elif scored.get("accuracy") is not None:
        share = share_with_interval(scored["accuracy"], accuracy_interval(scored))
        yield f"The model answers {share} of {texts} correctly."
    else:
        yield (
            f"On {texts}: "
            + ", ".join(f"{name_metric(k)} {v:.3f}" for k, v in list(scores(scored).items())[:3] if v is not None)
            + "."
        )
    if split == "validation":
        yield "These texts also chose the weights, so that the score flatters the model; there was no test split."
    whose = of_positive_class(scored)
    if whose:
        yield f"{whose[:1].upper()}{whose[1:]}."
    for name, reason in (scored.get("undefined") or {}).items():
        yield f"{name_metric(name)[:1].upper()}{name_metric(name)[1:]} is undefined: {reason}."
    yield from few(scored.get("n", FEW))


def _said_of_curves(logs: Sequence[tuple[str, Log]], metrics: Mapping[str, Any]) -> Iterator[str]:
    if len(logs) != 1:
        return
    log, train = logs[0][1], metrics.get("train", {})
    losses = points(log, "eval_loss")
    best, steps = train.get("best_step"), train.get("steps")
    if best is not None and steps is not None and best < steps:
        yield f"The weights are those of step {best:,} of {steps:,}, where validation was best."
    training = points(log, "loss")
    if len(losses) < 3 or len(training) < 2:
        return
    lowest = min(losses, key=lambda point: point[1])
    last = losses[-1]
    if lowest[0] < last[0] and last[1] > 1.1 * lowest[1] and training[-1][1] < training[0][1]:
        yield (
            f"Validation loss was lowest at step {lowest[0]:,} ({lowest[1]:.3f}) and rose to {last[1]:.3f} while "
            "training loss went on falling: towards the end the model learnt its training texts by heart."
        )


def _said_of_cost(metrics: Mapping[str, Any]) -> Iterator[str]:
    train = metrics.get("train", {})
    if "seconds" not in train:
        return
    told = f"Training took {duration(train['seconds'])}"
    if train.get("units_per_step"):
        factor = train["units_per_step"] / _PLAIN_UNITS
        told += "" if abs(factor - 1) < 0.01 else f"; a step costs {factor:.2g} times that of plain fine-tuning"
    yield told + "."


def duration(seconds: float) -> str:
    """Write a duration: 88 seconds, 12 minutes, 3.4 hours."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


# ---------------------------------------------------------------- curves


def _curves(log: Log, train: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[Section]:
    if not log:
        note = Note("No log of this training is left: there is neither a checkpoint nor a TensorBoard log.")
        return [Section("Learning curves", [note])]
    best = train.get("best_step") if train.get("best_step") != train.get("steps") else None
    blocks: list[Block] = [
        *_loss(log, best),
        *_terms(log),
        *_perturbation(log),
        *_optimiser(log),
        *_validation(log, recipe, best),  # the tallest, for a column of its own
    ]
    return [Section("Learning curves", blocks)]


def _span(name: str, found: Sequence[tuple[float, float]]) -> str:
    return f"{name} goes from {found[0][1]:.4g} at step {found[0][0]:,} to {found[-1][1]:.4g} at step {found[-1][0]:,}"


def _loss(log: Log, best: int | None) -> Iterator[Block]:
    lines = {"training": points(log, "loss"), "validation": points(log, "eval_loss")}
    lines = {name: found for name, found in lines.items() if found}
    if lines:
        alt = "; ".join(_span(f"{name} loss", found) for name, found in lines.items()) + "."
        note = "Training loss holds every term of the recipe, validation loss the task alone." if len(lines) > 1 else ""
        yield charts.panels("loss", "Loss", {"loss": lines}, alt, best=best, note=note)


def _terms(log: Log) -> Iterator[Block]:
    names = dict.fromkeys(name for entry in log for name in entry if name.startswith("loss/") and name != "loss/total")
    found = {name.removeprefix("loss/"): points(log, name) for name in names}
    found = {name: values for name, values in found.items() if values}
    if len(found) > 1:
        alt = "; ".join(_span(name, values) for name, values in found.items()) + "."
        series = {name: {name: values} for name, values in found.items()}
        yield charts.panels(
            "loss-terms", "Terms of the training loss", series, alt, note="Each has a scale of its own."
        )


def find_watched_metric(log: Log, recipe: Mapping[str, Any]) -> str | None:
    """Return the validation metric that chooses the weights, or the best known one that was logged."""
    asked = (recipe.get("training") or {}).get("metric")
    return next((name for name in (asked, *PREFERRED) if name and points(log, f"eval_{name}")), None)


def _validation(log: Log, recipe: Mapping[str, Any], best: int | None) -> Iterator[Block]:
    metric = find_watched_metric(log, recipe)
    if metric is None:
        return
    names = dict.fromkeys(name for name in (metric, "accuracy", "roc_auc", "spearman") if points(log, f"eval_{name}"))
    series = {name_metric(name): {name_metric(name): points(log, f"eval_{name}")} for name in list(names)[:3]}
    alt = "; ".join(_span(name, line[name]) for name, line in series.items()) + "."
    yield charts.panels(
        "validation",
        "Validation",
        series,
        alt,
        best=best,
        note=f"Which weights are kept is decided by {name_metric(metric)}.",
    )


def _perturbation(log: Log) -> Iterator[Block]:
    names = {
        "perturbation_norm": "L2 norm per text",
        "adversary/accuracy": "accuracy on perturbed texts",
        "adversary/flipped": "answers turned (smoothed)",
    }
    series = {title: {title: points(log, name)} for name, title in names.items() if points(log, name)}
    if series:
        alt = "; ".join(_span(title, line[title]) for title, line in series.items()) + "."
        note = "How far the adversary moved the embeddings, and what it turned; a fixed radius makes a flat norm."
        yield charts.panels("perturbation", "The adversary", series, alt, note=note)


def _optimiser(log: Log) -> Iterator[Block]:
    names = {"learning_rate": "learning rate", "grad_norm": "gradient norm", "average_decay": "decay of the average"}
    series = {name: {name: points(log, key)} for key, name in names.items() if points(log, key)}
    if series:
        alt = "; ".join(_span(name, line[name]) for name, line in series.items()) + "."
        yield charts.panels("optimiser", "Optimiser", series, alt)


def _folds(logs: Sequence[tuple[str, Log]], recipe: Mapping[str, Any]) -> list[Block]:
    metrics = [find_watched_metric(log, recipe) for _, log in logs]
    metric = next((name for name in metrics if name), None)
    if metric is None:
        return []
    lines = {name: points(log, f"eval_{metric}") for name, log in logs}
    lines = {name: found for name, found in list(lines.items())[:6] if found}
    alt = "; ".join(_span(name, found) for name, found in lines.items()) + "."
    return [charts.panels("validation", "Validation of each fold", {name_metric(metric): lines}, alt)]


def _combination(joined: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Block]:
    """Tell which runs answer together, and how."""
    sources = [Path(member["source"]) for member in joined["members"]]
    soup = (joined.get("soup") or {}).get("chosen")
    weights = joined.get("weights") or [None] * len(sources)
    taken = ["–" if soup is None else "yes" if str(path) in map(_whole, soup) else "no" for path in sources]
    rows = [
        (path.name, str(member["seed"]), number(weight, 3), into)
        for path, member, weight, into in zip(sources, joined["members"], weights, taken, strict=True)
    ]
    yield Table(f"Combined by {joined['how']}", ("run", "seed", "weight", "in the soup"), rows)
    yield Note(f"Models that read each text: {joined['passes']}.")
    told = metrics.get("combination", {})
    if told.get("optimistic"):
        yield Note(f"The score on the rows that selected ({name_metric(told['rows'])}) flatters: {told['optimistic']}.")


def _whole(path: str) -> str:
    return str(Path(path).resolve())


# ---------------------------------------------------------------- cost and facts


def _cost(metrics: Mapping[str, Any]) -> Iterator[Block]:
    train = metrics.get("train", {})
    names = {
        "steps": ("steps", 0), "epochs": ("epochs", 2), "seconds": ("seconds of training", 1),
        "samples_per_second": ("texts per second", 1), "passes_per_step": ("forward passes per step", 2),
        "units_per_step": ("units per step", 2),
    }  # fmt: skip
    rows = [(said, number(train[key], digits)) for key, (said, digits) in names.items() if key in train]
    if train.get("units_per_step"):
        rows.append(("relative to plain fine-tuning", f"{train['units_per_step'] / _PLAIN_UNITS:.2f}"))
        rows.append(("units in all", f"{train['units_per_step'] * train.get('steps', 0):,.0f}"))
    if rows:
        heads, values = zip(*rows, strict=True)
        yield Table("What training cost", ("", *heads), [("this run", *values)])
        yield Note("A unit is a forward pass; a backward pass is two, one to the perturbation alone is one.")


def _more(folder: Path) -> Iterator[Block]:
    rows = []
    for path in sorted(folder.glob("evaluations/*/evaluation.json")):
        scored = read_json(path)["sets"]["data"]
        value = "–" if scored.get("accuracy") is None else f"accuracy {percent(scored['accuracy'])}"
        rows.append((f"evaluation {path.parent.name}", count(scored["n"], "text"), value))
    for path in sorted(folder.glob("attacks/*/attack.json")):
        result = read_json(path)["result"]
        rows.append((f"attack {path.parent.name}", count(result["n"], "text"), describe_attack(result)))
    if rows:
        yield Table(
            "Evaluations and attacks in this folder; each has a report of its own", ("name", "texts", "result"), rows
        )


def describe_attack(result: Mapping[str, Any]) -> str:
    """Say the outcome of an attack of any kind in a few words."""
    for key, said in (
        ("robust_accuracy", "worst-case accuracy"),
        ("accuracy_after", "accuracy after"),
        ("vote_accuracy", "accuracy of the vote"),
    ):
        if result.get(key) is not None:
            return f"{said} {percent(result[key])}"
    worst = [
        point for point in result.get("points", []) if point["corruption"] == "mean" and point["value"] is not None
    ]
    return "–" if not worst else f"{result['metric']} {worst[-1]['value']:.3f} at severity {worst[-1]['severity']}"


def _facts(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "model", model_name(recipe.get("model"))
    yield "data", source_label((recipe.get("data") or {}).get("source"))
    for slot in ("inputs", "objective", "adversary", "average"):
        content = recipe.get(slot)
        if content:
            yield slot, content["name"]
    training = recipe.get("training") or {}
    yield (
        "training",
        ", ".join(
            f"{name.replace('_', ' ')} {training[name]}"
            for name in ("epochs", "batch_size", "learning_rate", "max_length", "seed")
            if training.get(name) is not None
        ),
    )


def _environment(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("toughen", "torch", "transformers", "device", "precision"):
        if environment.get(name):
            yield name, str(environment[name])
