"""The report of `toughen try`: which recipe helps on these data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toughen.assess.definition import describe_scored_class
from toughen.assess.headline import BASELINES
from toughen.files import read_json
from toughen.report import charts
from toughen.report.comparison_page import difference_table, forest_of
from toughen.report.names import model_name, source_label
from toughen.report.page import Block, Note, Page, Section, Table
from toughen.report.sentences import name_metric, number


def try_page(path: Path) -> Page:
    """Tell what each recipe bought; path is try.json."""
    result = read_json(path)
    recipe = next(iter(result["recipes"].values()))
    facts = [
        ("model", model_name(recipe["model"])),
        ("data", source_label(recipe["data"]["source"])),
        ("seeds", ", ".join(map(str, result["seeds"])) or "–"),
    ]
    name = path.resolve().parent.name
    if not result["arms"]:
        return Page("try", name, [result["verdict"]], facts, [Section("Recipes", [Note("No run has finished.")])])
    facts += [
        ("score", f"{name_metric(result['metric'])} on {result['split']}"),
        ("intervals", "95 %, Student's t over seeds; p after Holm"),
    ]
    first, axis = result["arms"][0]["name"], f"difference in {name_metric(result['metric'])}"
    measured = [effect for effect in result["effects"] if effect["mean"] is not None]
    effects: list[Block] = [difference_table(result["effects"])]
    if measured:
        effects.insert(0, forest_of("effects", f"Differences from {first}", measured, axis))
    bought = [
        charts.Bought(arm["name"], arm["relative_cost"], arm["mean"], arm["low"], arm["high"])
        for arm in result["arms"]
        if arm["mean"] is not None
    ]
    cost = [charts.cost_benefit(bought, result["metric"], what="", line=bought[0].value)] if bought else []
    sections = [
        Section("Recipes", [_recipes(result)]),
        Section("Effects", effects),
        Section("Cost and benefit", cost),
    ]
    found, _, power = result["verdict"].partition(". ")
    whose = describe_scored_class(result)
    summary = [f"{found.rstrip('.')}.", *([power] if power else []), *whose, f"Next: {result['next']}"]
    return Page("try", name, summary, facts, sections)


def _recipes(result: Mapping[str, Any]) -> Table:
    simple = [
        (BASELINES.get(name, name), "–", number(value, 4), "–", "–") for name, value in result["baselines"].items()
    ]
    rows = [
        (
            arm["name"],
            f"{arm['n']}" + (f", collapsed: {len(arm['collapsed'])}" if arm["collapsed"] else ""),
            number(arm["mean"], 4),
            f"{arm['relative_cost']:.2f}",
            number(arm["seconds"], 0),
        )
        for arm in result["arms"]
    ]
    heads = ("what", "runs", name_metric(result["metric"]), "relative cost", "seconds")
    return Table("Simple models and recipes on the same rows", heads, [*simple, *rows])
