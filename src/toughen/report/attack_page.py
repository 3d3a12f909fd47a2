"""The report of an attack, of noise, of the standard set and of certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toughen.attack.diff import mark_differences
from toughen.errors import count
from toughen.files import read_json
from toughen.report import charts
from toughen.report.names import source_label
from toughen.report.page import Block, Chart, Note, Page, Pair, Pairs, Section, Table
from toughen.report.sentences import ends, few, name_metric, number, percent, share_with_interval, value_with_interval
from toughen.statistics.shares import clopper_pearson

Result = Mapping[str, Any]
MOST_PAIRS = 30
_WORST = 3
_TITLES = {"noise": "noise", "attack": "attack", "standard": "standard attacks", "certify": "certificates"}


def attack_page(path: Path) -> Page:
    """Tell what an attack found; path is its attack.json."""
    content = read_json(path)
    result, kind = content["result"], content["kind"]
    say, show = _PARTS[kind]
    facts = [("run", _subject(content["run"])), ("data", source_label(content["sources"]["data"]))]
    facts += (
        [("texts", f"{result['n']:,} (seed {result['seed']})")]
        if "seed" in result
        else [("texts", number(result["n"]))]
    )
    facts += _list_settings(result) if kind == "attack" else []
    sections = [Section("Results", list(show(result)))]
    if kind in ("attack", "standard"):
        sections.append(Section("Adversarial examples", _pairs(path.parent / content["texts"])))
    return Page(_TITLES[kind], path.parent.name, [*say(result), *few(result["n"])], facts, sections)


def _subject(run: str) -> str:
    """Name what was attacked: a run by its folder, a service by its address."""
    return run if "://" in run else Path(run).name


# ---------------------------------------------------------------- noise


def _by_corruption(result: Result) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for point in result["points"]:
        if point["value"] is not None:
            found.setdefault(point["corruption"], []).append(point)
    return found


def _say_noise(result: Result) -> Iterator[str]:
    found, metric = _by_corruption(result), name_metric(result["metric"])
    clean, means = found.get("clean"), found.pop("mean", None)
    if not clean or not means:
        return
    before, worst = clean[0], means[-1]
    yield (
        f"From clean texts to noise of severity {worst['severity']}, {metric} goes from "
        f"{before['value']:.3f} to {worst['value']:.3f} on average over the kinds of noise."
    )
    if worst["low"] is not None and worst["low"] <= before["value"] <= worst["high"]:
        yield "The interval of the latter holds the former: no clear difference that this many texts can show."
    hardest = min((points[-1] for name, points in found.items() if name != "clean"), key=lambda point: point["value"])
    yield (
        f"The hardest kind is “{hardest['corruption']}”: {metric} "
        f"{value_with_interval(hardest['value'], _range(hardest))} at severity {hardest['severity']}."
    )


def _range(point: Mapping[str, Any]) -> Sequence[float] | None:
    return None if point["low"] is None else (point["low"], point["high"])


def _curve(
    name: str, points: Sequence[Mapping[str, Any]], clean: Mapping[str, Any], *, band: bool = False
) -> charts.Curve:
    whole = [clean, *points]
    x, y = [point["severity"] for point in whole], [point["value"] for point in whole]
    if not band or any(point["low"] is None for point in whole):
        return charts.Curve(name, x, y)
    return charts.Curve(name, x, y, [point["low"] for point in whole], [point["high"] for point in whole])


def _show_noise(result: Result) -> Iterator[Block]:
    found, metric = _by_corruption(result), name_metric(result["metric"])
    (clean,), means = found.pop("clean"), found.pop("mean", [])
    order = sorted(found, key=lambda name: found[name][-1]["value"])
    lines = [_curve("mean of all kinds", means, clean, band=True)] if means else []
    lines += [_curve(name, found[name], clean) for name in order[:_WORST]]
    rest = [_curve(name, found[name], clean) for name in order[_WORST:]]
    alt = (
        "; ".join(f"{line.name}: {line.y[0]:.3f} clean, {line.y[-1]:.3f} at severity {line.x[-1]:g}" for line in lines)
        + "."
    )
    note = "Named: the mean with its interval, and the hardest kinds. Grey: the other kinds."
    yield charts.curves(
        "severity",
        f"{metric.capitalize()} against severity",
        lines,
        "severity (0: as they are)",
        metric,
        alt,
        background=rest,
        note=note,
    )
    severities = sorted({point["severity"] for points in found.values() for point in points})
    rows = []
    for name in order:
        by = {point["severity"]: point for point in found[name]}
        rows.append(
            (name, *(value_with_interval(by[s]["value"], _range(by[s])) if s in by else "–" for s in severities))
        )
    yield Table(
        f"{metric.capitalize()} by kind and severity, the hardest first", ("noise", *map(str, severities)), rows
    )
    if result.get("left_out"):
        yield Note(f"Left out, for want of a package: {', '.join(result['left_out'])}.")


# ---------------------------------------------------------------- attacks


def _list_settings(result: Result) -> list[tuple[str, str]]:
    names = ("attack", "source", "goal", "transformation", "search")
    found = [(name, str(result[name])) for name in names if result.get(name)]
    found.append(("constraints", "; ".join(result.get("constraints") or []) or "none"))
    return [*found, ("query budget", "none" if result.get("budget") is None else f"{result['budget']:,} per text")]


def _say_attack(result: Result) -> Iterator[str]:
    if result["accuracy_before"] is None or not result["attacked"]:
        yield "No text was answered rightly, so there was nothing to attack."
        return
    after = share_with_interval(result["accuracy_after"], result["accuracy_after_interval"])
    yield (
        f"Before the attack the model is right on {percent(result['accuracy_before'])} of "
        f"{count(result['n'], 'text')}, after it on {after}."
    )
    yield (
        f"Of {count(result['attacked'], 'text')} that it answered rightly, the attack turned "
        f"{result['fooled']:,}: "
        f"{share_with_interval(result['success_rate'], result['success_interval'])}."
    )
    if result.get("changed_share") is not None:
        yield (
            f"It changed {percent(result['changed_share'])} of the words and asked the model "
            f"{result['queries_per_example']:.0f} times per text, on average."
        )
    yield "This is what one search found: another, or more queries, may find more."


def _show_attack(result: Result) -> Iterator[Block]:
    yield _accuracies([("before", result), (f"after {result['attack']}", result)])
    names = (
        "attacked",
        "fooled",
        "queries_per_example",
        "changed_share",
        "texts_run",
        "passes",
        "seconds",
        "unconfirmed",
    )
    rows = [(name.replace("_", " "), number(result.get(name))) for name in names if name in result]
    rows.insert(0, ("success rate", value_with_interval(result["success_rate"], result["success_interval"])))
    yield Table("The attack in numbers", ("", "value"), rows)


def _accuracies(members: Sequence[tuple[str, Result]]) -> Chart:
    first = members[0][1]
    low, high = clopper_pearson(first["attacked"], first["n"]) or (None, None)
    rows = [charts.Interval("before", first["accuracy_before"], low, high)]
    for name, result in members[1:]:
        low, high = result["accuracy_after_interval"] or (None, None)
        rows.append(charts.Interval(name, result["accuracy_after"], low, high, strong=True))
    alt = "; ".join(f"{row.name}: {number(row.value)} ({number(row.low)} to {number(row.high)})" for row in rows) + "."
    return charts.forest(
        "accuracy",
        "Accuracy before and after",
        rows,
        "accuracy",
        alt,
        line=rows[0].value,
        note="With exact 95 % intervals.",
    )


def _say_standard(result: Result) -> Iterator[str]:
    after = share_with_interval(result["robust_accuracy"], result["interval"])
    yield (
        f"The model is right on {percent(result['accuracy_before'])} of {count(result['n'], 'text')}, "
        f"and whatever the attacks of the standard set do on {after}."
    )
    if result.get("flags"):
        yield f"Do not trust that number yet: {'; '.join(result['flags'])}."
    yield "It counts a text as held only where every attack of the set failed; other attacks may find more."


def _show_standard(result: Result) -> Iterator[Block]:
    members = [(f"{name} ({one['attack']})", one) for name, one in result["members"].items()]
    bounds = [(f"embeddings moved by {radius}", one) for radius, one in (result.get("bounds") or {}).items()]
    yield _accuracies([members[0], *members, *bounds])
    rows = [
        (
            name,
            value_with_interval(one["accuracy_after"], one["accuracy_after_interval"]),
            value_with_interval(one["success_rate"], one["success_interval"]),
            number(one["queries_per_example"], 1),
        )
        for name, one in [*members, *bounds]
    ]
    yield Table("Each attack by itself", ("attack", "accuracy after", "success rate", "queries per text"), rows)


def _pairs(path: Path) -> list[Block]:
    if not path.exists():
        return [Note(f"{path.name} is not there any more.")]
    import pyarrow.parquet as pq

    entries = pq.read_table(path).to_pylist()
    if not entries:
        return [Note("No text fooled the model.")]
    pairs = []
    for entry in entries[:MOST_PAIRS]:
        left, right = mark_differences(entry["text"], entry["adversarial"])
        pairs.append(
            Pair(f"{entry['attack']}, row {entry['row']}", f"{entry['label']} → {entry['predicted']}", left, right)
        )
    return [
        Pairs(f"{len(pairs)} of {count(len(entries), 'text')} that fooled the model; what was changed is marked", pairs)
    ]


# ---------------------------------------------------------------- certificates


def _say_certificate(result: Result) -> Iterator[str]:
    yield (
        f"The vote over {result['copies']:,} masked copies is right on "
        f"{percent(result['vote_accuracy'])} of {count(result['n'], 'text')}; the model itself on "
        f"{percent(result['accuracy_before'])}."
    )
    known = [point for point in result["certified"] if point["changed_words"] and point["accuracy"]]
    if known:
        most = known[-1]
        yield (
            f"Whatever is put in place of any {count(known[0]['changed_words'], 'word')}, "
            f"{percent(known[0]['accuracy'])} stay right; of any {most['changed_words']}, "
            f"{percent(most['accuracy'])}."
        )
    else:
        yield "No text is certified against a change of even one word."
    yield f"Each certificate holds with a confidence of {percent(result['confidence'])}."


def _show_certificate(result: Result) -> Iterator[Block]:
    found = result["certified"]
    x = [point["changed_words"] for point in found]
    y, low, high = ([point[key] for point in found] for key in ("accuracy", "low", "high"))
    alt = "; ".join(f"{point['changed_words']} words: {point['accuracy']:.3f}" for point in found) + "."
    line = charts.Curve("certified", x, y, low, high)
    yield charts.curves(
        "certified",
        "Certified accuracy",
        [line],
        "words that an adversary may change",
        "certified accuracy",
        alt,
        note="With exact 95 % intervals.",
    )
    rows = [
        (str(point["changed_words"]), number(point["accuracy"]), ends((point["low"], point["high"]))) for point in found
    ]
    yield Table("Certified accuracy", ("changed words", "accuracy", "interval"), rows)


_PARTS: Mapping[str, Any] = {
    "noise": (_say_noise, _show_noise),
    "attack": (_say_attack, _show_attack),
    "standard": (_say_standard, _show_standard),
    "certify": (_say_certificate, _show_certificate),
}
