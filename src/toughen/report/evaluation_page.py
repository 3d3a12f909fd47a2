"""The report of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toughen.assess.definition import of_positive_class
from toughen.assess.selection import LESS_IS_BETTER
from toughen.errors import count
from toughen.files import read_json
from toughen.report import charts
from toughen.report.names import source_label
from toughen.report.page import Block, Note, Page, Section, Table
from toughen.report.sentences import (
    FEW,
    ends,
    excludes,
    few,
    name_metric,
    number,
    percent,
    scores,
    share_with_interval,
    value_with_interval,
)
from toughen.statistics.shares import clopper_pearson

MAIN = "data"
_CALIBRATED = ("ece", "ece_equal_width", "brier", "aurc")
_SLICED = ("accuracy", "f1", "pearson", "rmse")
Result = Mapping[str, Any]


def evaluation_page(path: Path) -> Page:
    """Tell what an evaluation found; path is its evaluation.json."""
    content = read_json(path)
    sets: Mapping[str, Result] = content["sets"]
    main, others = sets[MAIN], {name: found for name, found in sets.items() if name != MAIN}
    labels: Sequence[str] = content.get("label_names") or ()
    sections = [
        Section("Scores", [_scores(sets), *_further(others)]),
        Section("Calibration", list(_calibration(main))),
        Section("Confusion", list(confusion_blocks(main))),
        Section("Slices", list(_slices(main))),
        Section("Dropout and other texts", list(_probes(main))),
        Section("Worst mistakes", list(mistake_blocks(main))),
    ]
    summary = [
        *_summary(main),
        *_said_of_calibration(main, content),
        *_said_of_slices(main),
        *_said_of_others(others),
        *_said_of_probes(main),
    ]
    return Page("evaluation", path.parent.name, summary, list(_facts(content, labels)), sections)


def _facts(content: Result, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "run", Path(content["run"]).name
    yield "data", source_label(content["sources"][MAIN])
    yield "texts", number(content["sets"][MAIN]["n"])
    yield "task", content["task"]
    if labels:
        yield "labels", ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    yield "temperature", "none" if content.get("temperature") is None else f"{content['temperature']:.3f}"
    yield "intervals", f"95 %, bootstrap of {content['questions']['samples']:,} resamples of the texts"


# ---------------------------------------------------------------- sentences


def majority(main: Result) -> tuple[str, float] | None:
    """Return the most frequent true label and its share; None where the task has no confusion matrix."""
    found: Mapping[str, Any] = main.get("confusion") or {}
    matrix, labels = found.get("matrix"), found.get("labels")
    if not matrix or not labels:
        return None
    rows = [sum(row) for row in matrix]
    place = max(range(len(rows)), key=rows.__getitem__)
    return labels[place], rows[place] / max(1, sum(rows))


def _summary(main: Result) -> Iterator[str]:
    intervals = main.get("intervals") or {}
    if main.get("accuracy") is not None:
        yield (
            "The model is right on "
            f"{share_with_interval(main['accuracy'], intervals.get('accuracy'))} of "
            f"{count(main['n'], 'text')}."
        )
        yield from _beside_majority(main, intervals.get("accuracy"))
    else:
        told = [
            f"{name_metric(k)} {value_with_interval(v, intervals.get(k))}"
            for k, v in scores(main).items()
            if v is not None
        ]
        yield f"On {count(main['n'], 'text')}: {', '.join(told[:3])}."
    whose = of_positive_class(main)
    if whose:
        yield f"{whose[:1].upper()}{whose[1:]}."
    yield from few(main.get("n", FEW))


def _beside_majority(main: Result, interval: Sequence[float] | None) -> Iterator[str]:
    found = majority(main)
    if found is None:
        return
    label, share = found
    told = f"always answering “{label}” would be right on {percent(share)}"
    if not excludes(interval, share):
        yield f"That is no better than a guess as far as this many texts can show: {told}."
    elif main["accuracy"] > share:
        yield f"That is more than a guess: {told}."
    else:
        yield f"That is worse than a guess: {told}."


def _said_of_calibration(main: Result, content: Result) -> Iterator[str]:
    told = main.get("calibration")
    if not told or "mean_confidence" not in told:
        return

    sure, right, n = told["mean_confidence"], told["share_right"], told["decisions"]
    said = f"its mean confidence is {percent(sure)}, and {percent(right)} of its answers are right"
    if not excludes(clopper_pearson(round(right * n), n), sure):
        yield f"Its confidence is about as high as it should be: {said}, no difference that this many texts can show."
    elif sure > right:
        advice = (
            "; toughen calibrate can soften it"
            if content.get("temperature") is None and content["task"] != "regression"
            else ""
        )
        yield f"It is too sure of itself: {said}{advice}."
    else:
        yield f"It is not sure enough of itself: {said}."
    curve = told.get("risk_coverage") or []
    half = min(curve, key=lambda point: abs(point["coverage"] - 0.5), default=None)
    if half is not None and main.get("accuracy") is not None and main["n"] >= FEW:
        yield f"On the half of the texts that it is surest of, {percent(1 - half['risk'])} of its answers are right."


def weak_slices(main: Result) -> list[tuple[Mapping[str, Any], str]]:
    """Return the slices, not small, whose whole interval lies on the worse side of the value on all texts."""
    found = []
    for one in main.get("slices") or []:
        metric = next((name for name in _SLICED if one["metrics"].get(name) is not None), None)
        overall = None if metric is None else main.get(metric)
        interval = (one.get("intervals") or {}).get(metric)
        if metric is None or overall is None or not interval or one["small"]:
            continue
        if (interval[0] > overall) if metric in LESS_IS_BETTER else (interval[1] < overall):
            found.append((one, metric))
    return found


def _said_of_slices(main: Result) -> Iterator[str]:
    if not main.get("slices"):
        return
    weak = weak_slices(main)
    if not weak:
        yield "No slice is worse than the whole by a difference that this many texts can show."
    for one, metric in weak[:3]:
        scored = f"{name_metric(metric)} {one['metrics'][metric]:.3f} ({ends(one['intervals'][metric])})"
        yield (
            f"It is worse on “{slice_name(one)}” ({count(one['n'], 'text')}): {scored} against {main[metric]:.3f}; "
            f"among {len(main['slices'])} slices some look bad by chance."
        )


def slice_name(one: Mapping[str, Any]) -> str:
    """Return how a slice is called: of a label or a column with its name before it."""
    by, name = str(one["by"]), str(one["name"])
    return name if by in ("length", "filter", name) or name.startswith(by) else f"{by}: {name}"


def _said_of_others(others: Mapping[str, Result]) -> Iterator[str]:
    for name, found in others.items():
        drops = found.get("drop") or {}
        metric = next((metric for metric in _SLICED if metric in drops), None)
        if metric is None:
            continue
        drop, interval = drops[metric]["drop"], drops[metric]["interval"]
        worse = (drop > 0) != (metric in LESS_IS_BETTER)
        if excludes(interval, 0):
            yield (
                f"On “{name}” {name_metric(metric)} is {'worse' if worse else 'better'} by {abs(drop):.3f} "
                f"({count(found['n'], 'text')})."
            )
        else:
            yield (
                f"Between the data and “{name}” there is no difference in {name_metric(metric)} that this "
                "many texts can show."
            )


def _said_of_probes(main: Result) -> Iterator[str]:
    dropout, ood = main.get("dropout"), main.get("ood")
    if dropout and dropout.get("flip_rate") is not None:
        yield f"With dropout left on, {percent(dropout['flip_rate'])} of its answers change."
    if ood:
        auroc, interval = ood["max_softmax"]["auroc"], ood["max_softmax"]["interval"]
        if excludes(interval, 0.5) and auroc > 0.5:
            yield f"Its confidence separates these texts from out-of-distribution ones: AUROC {auroc:.2f}, chance 0.5."
        else:
            yield (
                "Its confidence does not separate these texts from the out-of-distribution ones, as far as this "
                "many texts can show."
            )


# ---------------------------------------------------------------- blocks


def _scores(sets: Mapping[str, Result]) -> Table:
    names = dict.fromkeys(name for found in sets.values() for name in scores(found))
    rows = [("texts", *(number(found["n"]) for found in sets.values()))]
    for name in names:
        cells = [
            value_with_interval(found.get(name), (found.get("intervals") or {}).get(name)) for found in sets.values()
        ]
        rows.append((name_metric(name), *cells))
    for name in _CALIBRATED:
        told = [found.get("calibration") or {} for found in sets.values()]
        if any(name in one for one in told):
            rows.append(
                (
                    name_metric(name),
                    *(value_with_interval(one.get(name), (one.get("intervals") or {}).get(name)) for one in told),
                )
            )
    return Table("Scores with 95 % intervals", ("score", *sets), rows)


def _further(others: Mapping[str, Result]) -> Iterator[Block]:
    rows = []
    for name, found in others.items():
        for metric in _SLICED:
            one = (found.get("drop") or {}).get(metric)
            if one:
                low, high = one["interval"] or (None, None)
                label = f"{name}: {name_metric(metric)}"
                rows.append(charts.Interval(label, one["drop"], low, high, excludes(one["interval"], 0)))
    if rows:
        told = (
            "; ".join(f"{row.name} {number(row.value)} ({number(row.low)} to {number(row.high)})" for row in rows) + "."
        )
        yield charts.forest(
            "drop", "What is lost on further texts", rows, "value on the data less the value there", told, line=0.0
        )


def _calibration(main: Result) -> Iterator[Block]:
    told = main.get("calibration")
    if not told:
        return
    bins = (told.get("reliability") or {}).get("equal_mass")
    if bins:
        yield charts.reliability(bins)
    if told.get("risk_coverage"):
        yield charts.selective(told["risk_coverage"])


def confusion_blocks(main: Result) -> Iterator[Block]:
    """Show what is taken for what: ``confusion`` of an evaluation or of ``mistakes.json``."""
    found: Mapping[str, Any] = main.get("confusion") or {}
    matrix, labels = found.get("matrix"), found.get("labels") or []
    if matrix and len(labels) <= charts.MOST_LABELS:
        yield charts.confusion(labels, matrix)
    elif matrix:
        pairs = [
            (labels[i], labels[j], cell)
            for i, row in enumerate(matrix)
            for j, cell in enumerate(row)
            if i != j and cell
        ]
        worst = sorted(pairs, key=lambda pair: -pair[2])[:20]
        rows = [(truth, said, number(cell)) for truth, said, cell in worst]
        yield Table("The most frequent confusions", ("true label", "answer", "texts"), rows)
    if found.get("per_label"):
        keys = ("true_positive", "false_positive", "false_negative", "true_negative")
        rows = [(name, *(number(one[key]) for key in keys)) for name, one in found["per_label"].items()]
        yield Table("Answers per label", ("label", "rightly yes", "wrongly yes", "wrongly no", "rightly no"), rows)


def _slices(main: Result) -> Iterator[Block]:
    parts = main.get("slices") or []
    metric = next((name for name in _SLICED if any(one["metrics"].get(name) is not None for one in parts)), None)
    if metric is None:
        return
    weak = [one for one, _ in weak_slices(main)]
    rows = []
    for one in parts[:40]:
        low, high = (one.get("intervals") or {}).get(metric) or (None, None)
        name = f"{slice_name(one)}{'*' if one['small'] else ''} ({one['n']:,})"
        rows.append(charts.Interval(name, one["metrics"].get(metric), low, high, one in weak))
    alt = "; ".join(f"{row.name}: {number(row.value)}" for row in rows) + f". All texts: {number(main.get(metric))}."
    note = "In brackets: texts; * fewer than 30. Dashed: all texts. Diamonds: worse than the whole, interval and all."
    yield charts.forest(
        "slices",
        f"{name_metric(metric).capitalize()} by slice",
        rows,
        name_metric(metric),
        alt,
        line=main.get(metric),
        note=note,
    )


def _probes(main: Result) -> Iterator[Block]:
    dropout, ood = main.get("dropout"), main.get("ood")
    if dropout:
        left_out = ("passes", "seed", "intervals")
        intervals = dropout.get("intervals") or {}
        rows = [
            (name.replace("_", " "), value_with_interval(value, intervals.get(name)))
            for name, value in dropout.items()
            if name not in left_out
        ]
        yield Table(f"{dropout['passes']} passes with dropout left on", ("measure", "value"), rows)
    if ood:
        rows = [
            (said, value_with_interval(ood[key]["auroc"], ood[key]["interval"]))
            for key, said in (("max_softmax", "highest probability"), ("energy", "energy"))
            if key in ood
        ]
        yield Table(f"AUROC against {ood['n_ood']:,} out-of-distribution texts", ("by", "AUROC"), rows)


def mistake_blocks(main: Result) -> Iterator[Block]:
    """List the worst mistakes: ``mistakes`` of an evaluation or of ``mistakes.json``."""
    found = main.get("mistakes") or []
    if found:
        rows = [
            (
                number(one["row"]),
                _join_value(one["text"]),
                _join_value(one["label"]),
                _join_value(one["prediction"]),
                number(one["score"]),
            )
            for one in found
        ]
        yield Table(f"The {len(rows)} worst", ("row", "text", "true label", "answer", "score"), rows)
    elif main.get("mistakes") is not None:
        yield Note("There is none.")


def _join_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " / ".join(_join_value(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return " / ".join(map(_join_value, value))
    return number(value) if isinstance(value, float) else str(value)
