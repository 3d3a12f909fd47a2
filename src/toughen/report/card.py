"""The model card: model/README.md in the hub's format, from measured values only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from toughen.assess.selection import LESS_IS_BETTER
from toughen.assess.verdict import accuracy_interval
from toughen.files import read_json, write_whole
from toughen.report.html import environment
from toughen.report.names import hub_id, model_name, source_label
from toughen.report.run_page import describe_attack
from toughen.report.sentences import few, name_metric, number, scores, value_with_interval
from toughen.runs.folder import METRICS, MODEL, RECIPE

CARD = "README.md"
_MARK = re.compile(r"<!-- toughen wrote this card; it is not replaced once it is edited; ([0-9a-f]{16}) -->\n\Z")
_PIPELINES = {"tokens": "token-classification"}
_HUB_METRICS = {
    "accuracy": "accuracy",
    "f1": "f1",
    "roc_auc": "roc_auc",
    "mcc": "matthews_correlation",
    "precision": "precision",
    "recall": "recall",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "rmse": "rmse",
}
"""Our metrics by the names under which the hub knows them."""
_SLOTS = ("inputs", "objective", "adversary", "average")


def write_card(run: Path, *, replace: bool = True) -> Path | None:
    """Write the card of a run with a model of its own.

    Args:
        run: folder of a finished run.
        replace: whether a card that was edited, or that something else wrote, is replaced too.

    Returns:
        The card; None where the run has no model of its own, or its card is not to be replaced.
    """
    path = run / MODEL / CARD
    if not (run / MODEL / "config.json").exists() or not (run / METRICS).exists():
        return None
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before is not None and not replace and not is_ours(before):
        return None
    kept = _front(before) if before is not None and is_ours(before) else {}
    body = _text(run, kept)
    whole = f"{body}<!-- toughen wrote this card; it is not replaced once it is edited; {_digest(body)} -->\n"
    write_whole(path, lambda part: part.write_text(whole, encoding="utf-8"))
    return path


def refresh_card(source: Path) -> Path | None:
    """Write the card anew from what a run, or the run of an evaluation or attack, has measured by now."""
    path = source if source.is_dir() else source.parent
    if not (path / RECIPE).exists():
        found = next((path / name for name in ("evaluation.json", "attack.json") if (path / name).exists()), None)
        if found is None:
            return None
        path = Path(read_json(found)["run"])
    return write_card(path, replace=False)


def is_ours(text: str) -> bool:
    """Tell whether a card is as `write_card` left it."""
    mark = _MARK.search(text)
    return mark is not None and mark[1] == _digest(text[: mark.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _front(text: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(text.split("---\n")[1]) or {}
    return content


def _text(run: Path, kept: Mapping[str, Any]) -> str:
    metrics, config = read_json(run / METRICS), read_json(run / MODEL / "config.json")
    recipe = yaml.safe_load((run / RECIPE).read_text())
    task = (config.get("toughen") or {}).get("task") or "single-label"
    front = _metadata(run, metrics, recipe, task, kept)
    told = {
        "front": yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=120),
        "name": run.resolve().name,
        "base": front.get("base_model") or model_name(recipe.get("model")),
        "data": (front.get("datasets") or [source_label((recipe.get("data") or {}).get("source"))])[0],
        "task": task,
        "labels": [as_text(config["id2label"][key]) for key in sorted(config.get("id2label") or {}, key=int)],
        "slots": [(slot, _settings(recipe[slot])) for slot in _SLOTS if recipe.get(slot)],
        "training": _settings(
            {key: value for key, value in (recipe.get("training") or {}).items() if key in _TRAINING}
        ),
        "train": metrics.get("train") or {},
        "verdict": as_text(metrics.get("verdict") or ""),
        "results": list(_results(run, metrics)),
        "calibration": list(_calibration(run)),
        "attacks": list(_attacks(run)),
        "limits": list(_limits(metrics, recipe)),
        "environment": metrics.get("environment") or {},
    }
    return environment().get_template("card.md.j2").render(told)


_TRAINING = ("epochs", "batch_size", "learning_rate", "schedule", "max_length", "truncation", "overlap", "seed")


def _settings(content: Mapping[str, Any]) -> str:
    name = content.get("name")
    others = [
        f"{key.replace('_', ' ')} {value}" for key, value in content.items() if key != "name" and value is not None
    ]
    return ", ".join([str(name), *others] if name else others)


# ---------------------------------------------------------------- front matter


def _metadata(
    run: Path, metrics: Mapping[str, Any], recipe: Mapping[str, Any], task: str, kept: Mapping[str, Any]
) -> dict[str, Any]:
    source = (recipe.get("data") or {}).get("source")
    base = kept.get("base_model") if kept else hub_id(recipe.get("model"))
    data = (kept.get("datasets") or [None])[0] if kept else _dataset(source)
    pipeline = _PIPELINES.get(task, "text-classification")
    found: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": pipeline}
    found |= {"base_model": base} if base else {}
    found |= {"datasets": [data]} if data else {}
    found["tags"] = ["toughen", pipeline, *(str(recipe[slot]["name"]) for slot in _SLOTS if recipe.get(slot))]
    split, scored = _choose_split(metrics)
    values = {
        _HUB_METRICS[name]: float(value) for name, value in scored.items() if name in _HUB_METRICS and value is not None
    }
    if values:
        found["metrics"] = list(values)
        dataset = {"type": data or _slug(source_label(source)), "name": data or source_label(source), "split": split}
        entries = [{"type": name, "value": round(value, 6)} for name, value in values.items()]
        result = {"task": {"type": pipeline}, "dataset": dataset, "metrics": entries}
        found["model-index"] = [{"name": run.resolve().name, "results": [result]}]
    return found


def _dataset(source: object) -> str | None:
    """Return a source's id where it is surely one of the hub's: with its owner, and no folder of that name here."""
    found = hub_id(source)
    return found if found is not None and "/" in found else None


def as_text(words: object) -> str:
    """Return words as Markdown shows them as they are: a label may look like a link, an image or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", " ".join(str(words).split()))


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"


def _choose_split(metrics: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    split = "test" if metrics.get("test") else "validation"
    return split, metrics.get(split) or {}


# ---------------------------------------------------------------- text


def _results(run: Path, metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield (what was scored, how the intervals were made, [(score, value)])."""
    split, scored = _choose_split(metrics)
    rows = []
    for name, value in scores(scored).items():
        if value is not None:
            rows.append(
                (
                    name_metric(name),
                    value_with_interval(value, accuracy_interval(scored) if name == "accuracy" else None),
                )
            )
    yield f"{split} split, {scored.get('n', 0):,} texts, at the end of training", "exact, of accuracy alone", rows
    for path, content in _evaluations(run):
        found, intervals = content["sets"]["data"], content["sets"]["data"].get("intervals") or {}
        rows = [
            (name_metric(name), value_with_interval(value, intervals.get(name)))
            for name, value in scores(found).items()
            if value is not None
        ]
        yield f"evaluation “{path.parent.name}”, {found['n']:,} texts", "bootstrap over the texts", rows


def _evaluations(run: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(run.glob("evaluations/*/evaluation.json")):
        yield path, read_json(path)


def _calibration(run: Path) -> Iterator[str]:
    for path, content in _evaluations(run):
        told = content["sets"]["data"].get("calibration") or {}
        if "mean_confidence" in told:
            ece = value_with_interval(told.get("ece"), (told.get("intervals") or {}).get("ece"))
            temperature = (
                "without a temperature"
                if content.get("temperature") is None
                else f"with temperature {content['temperature']:.3f}"
            )
            yield (
                f"On “{path.parent.name}”, {temperature}: mean confidence "
                f"{told['mean_confidence']:.3f}, share right {told['share_right']:.3f}, ECE {ece}."
            )


def _attacks(run: Path) -> Iterator[str]:
    for path in sorted(run.glob("attacks/*/attack.json")):
        result = read_json(path)["result"]
        yield f"“{path.parent.name}”, {result['n']:,} texts: {describe_attack(result)}."


def _limits(metrics: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    split, scored = _choose_split(metrics)
    if split == "validation":
        yield "The scores are those of the validation texts that also chose the weights; they flatter the model."
    yield from few(scored.get("n", 0))
    weak = [name for name, value in scored.items() if value is None and name not in LESS_IS_BETTER]
    if weak:
        yield f"Not defined on these texts: {', '.join(map(name_metric, weak))}."
    training = recipe.get("training") or {}
    if training.get("max_length") and not training.get("overlap"):
        yield (
            f"It reads {number(training['max_length'])} tokens of a text "
            f"({training.get('truncation', 'head')}); what is longer is cut."
        )
    yield "The intervals speak of other texts like the ones scored, not of other domains, languages or training seeds."
    yield "Out-of-distribution texts get a confident prediction too; nothing here says that they are recognised."
