"""The reports of a comparison, an ablation and a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toughen.assess.definition import describe_scored_class
from toughen.assess.selection import LESS_IS_BETTER
from toughen.errors import count
from toughen.files import read_json
from toughen.report import charts
from toughen.report.names import model_name, source_label
from toughen.report.page import Block, Chart, Note, Page, Section, Table
from toughen.report.sentences import difference, few, name_metric, number, value_with_interval

Result = Mapping[str, Any]


def comparison_page(path: Path) -> Page:
    """Tell which recipe is better on the same texts; path is comparison.json."""
    result = read_json(path)
    metric, differences = result["metric"], result["differences"]
    main = [one for one in differences if one["metric"] == metric]
    basis = "texts and seeds" if any(min(one["seeds"]) > 1 for one in main) else "texts"
    summary = [difference(one, metric, one["against"], basis) for one in main]
    summary += describe_scored_class(result)
    if basis == "texts":
        summary.append("Each recipe has one run, so that this speaks of other texts, not of other seeds.")
    seen = [run["path"] for group in result["groups"] for run in group["runs"] if run["seen_in_training"]]
    if seen:
        summary.append(
            f"Not a fair comparison: {', '.join(Path(path).name for path in seen)} learnt from some of these texts."
        )
    lost = [run["path"] for group in result["groups"] for run in group["runs"] if run.get("collapsed")]
    if lost:
        summary.append(f"Learnt nothing in training: {', '.join(Path(path).name for path in lost)}.")
    facts = [
        ("data", source_label(result["data"])),
        ("texts", number(result["n"])),
        ("baseline", result["baseline"]),
        ("score", name_metric(metric)),
    ]
    facts.append(("intervals", f"{result['level']:.0%}, bootstrap of {result['samples']:,} resamples; p after Holm"))
    sections = [
        Section("Effects", [_effects(differences, metric), _differences(differences)]),
        Section("Cost and benefit", list(_chart_cost_benefit(result, main))),
        Section("Recipes", [_groups(result)]),
        Section("McNemar's test", list(_mcnemar(result))),
    ]
    return Page("comparison", path.resolve().parent.name, [*summary, *few(result["n"])], facts, sections)


def _rows(effects: list[Result], *, by: str = "") -> list[charts.Interval]:
    found = []
    for one in effects:
        sure = (
            one["p_holm"] is not None
            and one["p_holm"] < 0.05
            and one["low"] is not None
            and (one["low"] > 0 or one["high"] < 0)
        )
        name = f"{one['name']}{f' ({name_metric(one[by])})' if by else ''}"
        found.append(charts.Interval(name, one["mean"], one["low"], one["high"], sure))
    return found


def _forest(key: str, title: str, rows: list[charts.Interval], axis: str, less: str = "") -> Chart:
    alt = (
        "; ".join(f"{row.name}: {number(row.value, 4)} ({number(row.low, 4)} to {number(row.high, 4)})" for row in rows)
        + "."
    )
    return charts.forest(
        key,
        title,
        rows,
        axis,
        alt,
        line=0.0,
        note=f"Diamonds: differences that are shown, after Holm's correction.{less}",
    )


def _effects(differences: list[Result], metric: str) -> Block:
    ordered = sorted(differences, key=lambda one: one["metric"] != metric)
    errors = list(dict.fromkeys(name_metric(one["metric"]) for one in ordered if one["metric"] in LESS_IS_BETTER))
    less = f" Of {' and '.join(errors)} less is better." if errors else ""
    return _forest("effects", "Differences from the baseline", _rows(ordered, by="metric"), "difference", less)


def _differences(differences: list[Result]) -> Table:
    rows = [
        (
            f"{one['name']} against {one['against']}",
            name_metric(one["metric"]),
            value_with_interval(one["mean"], None if one["low"] is None else (one["low"], one["high"])),
            number(one["p_holm"]),
            _times(one["relative_cost"]),
        )
        for one in differences
    ]
    return Table("Differences", ("recipes", "score", "difference", "p after Holm", "relative cost"), rows)


def _times(factor: float | None) -> str:
    return "–" if factor is None else f"{factor:.2f}"


def _chart_cost_benefit(result: Result, main: list[Result]) -> Iterator[Block]:
    known = [one for one in main if one["relative_cost"] is not None and one["mean"] is not None]
    if known:
        rows = [charts.Bought(str(result["baseline"]), 1.0, 0.0, None, None)]
        rows += [
            charts.Bought(one["name"], one["relative_cost"], one["mean"], one["low"], one["high"]) for one in known
        ]
        yield charts.cost_benefit(rows, result["metric"], what=", difference", line=0.0)


def _groups(result: Result) -> Table:
    metrics = result["metrics"]
    rows = []
    for group in result["groups"]:
        values = [f"{number(group['mean'].get(name), 4)}{_spread(group, name)}" for name in metrics]
        cost = group.get("cost") or {}
        rows.append(
            (
                group["name"],
                number(len(group["runs"])),
                *values,
                number(cost.get("units_per_step"), 1),
                number(cost.get("seconds"), 0),
            )
        )
    return Table(
        "Mean and standard deviation over runs",
        ("recipe", "runs", *map(name_metric, metrics), "units per step", "seconds"),
        rows,
    )


def _spread(group: Result, name: str) -> str:
    spread = (group.get("sd") or {}).get(name)
    return "" if spread is None else f" (sd {spread:.4f})"


def _shorten_paths(runs: set[str]) -> dict[str, str]:
    """Return the shortest end of each run's path that no other run has: of seed-42 alone there may be several."""
    parts = {run: Path(run).parts for run in runs}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        names = {run: "/".join(path[-depth:]) for run, path in parts.items()}
        if len(set(names.values())) == len(runs):
            return names
    return {run: run for run in runs}


def _mcnemar(result: Result) -> Iterator[Block]:
    names = _shorten_paths({run for one in result.get("mcnemar") or [] for run in one["runs"]})
    rows = [
        (
            " / ".join(names[run] for run in one["runs"]),
            number(one["only_first"]),
            number(one["only_second"]),
            number(one["p_mid"]),
            number(one["p_mid_holm"]),
        )
        for one in result.get("mcnemar") or []
    ]
    if rows:
        heads = ("runs", "only the first is right", "only the second is right", "mid-p", "after Holm")
        yield Table("Texts that only one of two runs has right", heads, rows)


# ---------------------------------------------------------------- ablation


def ablation_page(path: Path) -> Page:
    """Tell what each part of a recipe bought; path is ablation.json."""
    result = read_json(path)
    metric, effects = result["metric"], result["effects"]
    main = [one for one in effects if one["kind"] == "against plain"]
    others = [one for one in effects if one["kind"] != "against plain"]
    summary = [*verdict_lines(result), *(difference(one, metric, "plain", "seeds") for one in main)]
    summary += [*describe_scored_class(result), *_power(result.get("power") or {})]
    summary += _runs_without_score(result)
    recipe = result.get("recipe") or {}
    facts = [
        ("model", model_name(recipe.get("model"))),
        ("data", source_label((recipe.get("data") or {}).get("source"))),
    ]
    facts += [
        ("switched", ", ".join(result["over"])),
        ("design", result["design"]),
        ("seeds", ", ".join(map(str, result["seeds"]))),
    ]
    facts += [
        ("score", f"{name_metric(metric)} on {result['split']}"),
        ("intervals", "95 %, Student's t over seeds; p after Holm"),
    ]
    sections = [
        Section(
            "Effects",
            [
                forest_of("effects", "Differences from plain", main, f"difference in {name_metric(metric)}"),
                *_of_kinds(others, metric),
                difference_table(effects),
            ],
        ),
        Section("Cost and benefit", list(_arms(result))),
        Section("Combinations", [_arm_table(result)]),
    ]
    return Page("ablation", path.resolve().parent.name, summary, facts, sections)


def verdict_lines(result: Result) -> list[str]:
    """Return what was learnt and what to do now, a line each; none of results of an older version."""
    return [f"{line.capitalize()}: {result[line]}" for line in ("verdict", "next") if result.get(line)]


def _runs_without_score(result: Result) -> Iterator[str]:
    if result.get("failed"):
        yield f"{count(len(result['failed']), 'run')} failed, and is missing here: {', '.join(result['failed'])}."
    arms = [arm for arm in result["arms"] if arm.get("collapsed")]
    lost = [f"{arm['name']} (seed {', '.join(map(str, arm['collapsed']))})" for arm in arms]
    if lost:
        yield f"Learnt nothing: {', '.join(lost)}. They have no score; means and differences leave their seeds out."


def _power(power: Result) -> Iterator[str]:
    if not power:
        return
    if power["single"] >= 1:
        yield (
            f"With {count(power['seeds'], 'seed')} hardly any difference can be shown at all: the "
            "scores of the seeds differ too much."
        )
        return
    found = f"a true difference of {power['single']:.4f} is found with a chance of {power['power']:.0%}"
    yield f"With {count(power['seeds'], 'seed')} {found}; smaller ones may exist unseen."


def _of_kinds(effects: list[Result], metric: str) -> Iterator[Block]:
    kinds = dict.fromkeys(one["kind"] for one in effects)
    rows = [
        row
        for kind in kinds
        for row in _rows([{**one, "name": f"{kind}: {one['name']}"} for one in effects if one["kind"] == kind])
    ]
    if rows:
        yield _forest("parts", "Parts of the recipe", rows, f"difference in {name_metric(metric)}")


def forest_of(key: str, title: str, effects: list[Result], axis: str) -> Chart:
    """Draw differences over seeds with their intervals."""
    return _forest(key, title, _rows(effects), axis)


def difference_table(effects: list[Result]) -> Table:
    """List differences over seeds: mean, interval, p, cost."""
    rows = [
        (
            f"{one['kind']}: {one['name']}",
            number(one["mean"], 4),
            "–" if one["low"] is None else f"{one['low']:+.4f} to {one['high']:+.4f}",
            number(one["p"]),
            number(one["p_holm"]),
            _times(one["relative_cost"]),
        )
        for one in effects
    ]
    return Table("Effects", ("effect", "mean", "interval", "p", "after Holm", "relative cost"), rows)


def _arms(result: Result) -> Iterator[Block]:
    rows = [
        charts.Bought(arm["name"], arm["relative_cost"], arm["mean"], arm["low"], arm["high"])
        for arm in result["arms"]
        if arm["mean"] is not None
    ]
    if rows:
        plain = next((row.value for row in rows if row.name == "plain"), None)
        yield charts.cost_benefit(rows, result["metric"], what="", line=plain)


def _arm_table(result: Result) -> Table:
    rows = [
        (
            arm["name"],
            number(arm["n"]),
            number(arm["mean"], 4),
            number(arm["sd"], 4),
            _times(arm["relative_cost"]),
            number(arm["seconds"], 0),
        )
        for arm in result["arms"]
    ]
    return Table(
        "Every combination",
        ("combination", "runs", name_metric(result["metric"]), "sd over seeds", "relative cost", "seconds"),
        rows,
    )


# ---------------------------------------------------------------- search


def search_page(path: Path) -> Page:
    """Tell which settings were tried and which scored best on validation; path is search.json."""
    result = read_json(path)
    metric, trials = result["metric"], result["trials"]
    done = [trial for trial in trials if trial["value"] is not None]
    best = result.get("best")
    summary = verdict_lines(result)
    if best:
        settings = ", ".join(f"{key} = {_setting(value)}" for key, value in best["settings"].items())
        summary.append(
            f"Of {count(len(done), 'trial')}, number {best['number']} scored best: "
            f"{name_metric(metric)} {best['value']:.4f} on validation, with {settings}."
        )
    summary += describe_scored_class(result)
    facts = [
        ("study", result["study"]),
        ("score", f"{name_metric(metric)} on {result['split']}, {result['direction']}d"),
    ]
    blocks: list[Block] = [_chart_trials(done, metric)] if done else [Note("No trial has finished.")]
    keys = dict.fromkeys(key for trial in trials for key in trial["settings"])
    rows = [
        (
            str(trial["number"]),
            "learnt nothing" if trial.get("collapsed") else trial["state"],
            number(trial["value"], 4),
            *(_setting(trial["settings"].get(key)) for key in keys),
        )
        for trial in trials
    ]
    blocks.append(Table("Every trial", ("trial", "state", name_metric(metric), *keys), rows))
    return Page("search", path.resolve().parent.name, summary, facts, [Section("Trials", blocks)])


def _setting(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _chart_trials(done: list[Result], metric: str) -> Chart:
    x, y = [trial["number"] for trial in done], [trial["value"] for trial in done]
    pick = min if metric in LESS_IS_BETTER else max
    best = [pick(y[: i + 1]) for i in range(len(y))]
    alt = (
        f"{len(done)} trials between {min(y):.4f} and {max(y):.4f}; the best so far goes from "
        f"{best[0]:.4f} to {best[-1]:.4f}."
    )
    lines = [charts.Curve("each trial", x, y), charts.Curve("best so far", x, best)]
    return charts.curves("trials", "Score by trial", lines, "trial", f"{name_metric(metric)} on validation", alt)
