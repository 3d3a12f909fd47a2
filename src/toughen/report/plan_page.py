"""The report of an ablation before its runs: what is planned, what it costs, and what it can show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toughen.errors import count
from toughen.files import read_json
from toughen.report import charts
from toughen.report.names import model_name, source_label
from toughen.report.page import Chart, Page, Section, Table
from toughen.statistics.wording import power_sentence

Plan = Mapping[str, Any]


def plan_page(path: Path) -> Page:
    """Tell what an ablation is about to do; path is plan.json."""
    plan = read_json(path)
    arms, recipe = plan["arms"], plan["recipe"]
    done, seeds = sum(len(arm["finished"]) for arm in arms), len(plan["seeds"])
    total = sum(arm["relative_cost"] for arm in arms) * seeds
    summary = [
        f"{count(plan['runs'], 'run')}: {count(len(arms), 'combination')} of parts, each with {count(seeds, 'seed')}; "
        f"{done} of them had finished when this was written.",
        f"Together they cost as much as {total:.0f} runs of plain.",
        power_sentence(plan["power"]),
        "The results take the place of this page when the runs are done.",
    ]
    facts = [
        ("model", model_name(recipe.get("model"))),
        ("data", source_label((recipe.get("data") or {}).get("source"))),
        ("switched", ", ".join(plan["over"])),
        ("design", plan["design"]),
        ("seeds", ", ".join(map(str, plan["seeds"]))),
    ]
    sections = [Section("Cost", [_cost(arms), _table(arms, seeds)])]
    return Page("ablation plan", path.resolve().parent.name, summary, facts, sections, basis="predicted values")


def _cost(arms: list[Plan]) -> Chart:
    rows = [charts.Interval(arm["name"], arm["relative_cost"]) for arm in arms]
    alt = "; ".join(f"{arm['name']}: {arm['relative_cost']:.2g} times" for arm in arms) + "."
    name = "cost of a training step, times that of plain"
    return charts.forest("cost", "Cost of each combination", rows, name, alt, line=1.0)


def _table(arms: list[Plan], seeds: int) -> Table:
    rows = [
        (
            arm["name"],
            f"{arm['units_per_step']:g}",
            f"{arm['passes_per_step']:g}",
            f"{arm['relative_cost']:.2f}",
            f"{len(arm['finished'])} of {seeds}",
        )
        for arm in arms
    ]
    heads = ("combination", "units a step", "forward passes a step", "relative cost", "runs finished")
    return Table("Every combination", heads, rows)
