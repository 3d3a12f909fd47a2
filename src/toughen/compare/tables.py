"""Results in plain words and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toughen.assess.definition import describe_scored_class
from toughen.assess.headline import BASELINES
from toughen.assess.selection import LESS_IS_BETTER
from toughen.statistics.wording import number, p_value, power_sentence

Row = Sequence[str]
ON_VALIDATION = (
    "The data have no labelled test split: these are the rows that chose the weights, so all means are high."
)


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Write an interval: [-0.0030, 0.0210]; a dash for none."""
    return "-" if low is None or high is None else f"[{low:+.{digits}f}, {high:+.{digits}f}]"


def times(factor: float | None) -> str:
    """Write a cost relative to another: 3.3x."""
    return "-" if factor is None else f"{factor:.2g}x" if factor < 10 else f"{factor:.0f}x"


def markdown(header: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def effect_sentence(effect: Mapping[str, Any], metric: str) -> str:
    """Say a difference: "adversary: f1 +0.0120 [+0.0030, +0.0210], p = 0.010 after Holm; a step costs 3.3x"."""
    if effect["mean"] is None:
        return f"{effect['name']}: no seed has finished all of its runs"
    said = f"{effect['name']}: {metric} {effect['mean']:+.4f}"
    if effect["low"] is not None:
        said += f" {interval(effect['low'], effect['high'])}"
    elif effect["n"] > 1:
        said += f" with each of the {effect['n']} seeds, which says nothing of others"
    p = p_value(effect["p_holm"])
    said += f", p {p if p.startswith('<') else f'= {p}'} after Holm" if effect["p_holm"] is not None else ""
    cost = effect.get("relative_cost")
    return said if cost is None else f"{said}; a step costs {times(cost)}"


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return the plan for people: cost first, then what it can show."""
    arms = plan["arms"]
    done = sum(len(arm["finished"]) for arm in arms)
    lines = [f"{plan['runs']} runs: {len(arms)} combinations x {len(plan['seeds'])} seeds; {done} finished already"]
    for arm in arms:
        cost = f"{arm['units_per_step']:g} units a step ({times(arm['relative_cost'])})"
        lines.append(f"  {arm['name']}: {cost}, {arm['passes_per_step']:g} forward passes")
    total = sum(arm["relative_cost"] for arm in arms) * len(plan["seeds"])
    lines.append(f"together as much as {total:.0f} plain runs")
    lines.append(power_sentence(plan["power"]))
    return lines


def ablation_table(result: Mapping[str, Any]) -> str:
    """Return ``table.md``."""
    if not result["arms"]:
        return "No run has finished yet.\n"
    parts = [
        f"# Ablation: {result['metric']} on the {result['split']} split",
        markdown(
            ("arm", "seeds", "mean", "95 % interval", "sd", "units a step", "training s"), map(_arm, result["arms"])
        ),
        "## Differences, paired by seed",
        markdown(
            ("question", "slots", "seeds", "difference", "95 % interval", "p", "p (Holm)", "cost"),
            map(_effect, result["effects"]),
        ),
    ]
    told = [f"Verdict: {result['verdict']}", f"Next: {result['next']}"]
    return "\n\n".join([*parts, *_notes(result), *told]) + "\n"


def _arm(arm: Mapping[str, Any]) -> Row:
    return (
        arm["name"],
        str(arm["n"]),
        number(arm["mean"]),
        interval(arm["low"], arm["high"]).replace("+", ""),
        number(arm["sd"]),
        f"{arm['units_per_step']:g} ({times(arm['relative_cost'])})",
        number(arm["seconds"], 0),
    )


def _effect(effect: Mapping[str, Any]) -> Row:
    return (
        effect["kind"],
        effect["name"],
        str(effect["n"]),
        "-" if effect["mean"] is None else f"{effect['mean']:+.4f}",
        interval(effect["low"], effect["high"]),
        p_value(effect["p"]),
        p_value(effect["p_holm"]),
        times(effect["relative_cost"]),
    )


def _notes(result: Mapping[str, Any]) -> list[str]:
    notes = [
        *describe_scored_class(result),
        "Intervals and p are Student's t over seeds: they speak of other seeds on these texts, not of other texts. "
        "Holm's correction counts the differences against plain together, and all other rows together.",
        power_sentence(result["power"]),
    ]
    lost = {arm["name"]: ", ".join(map(str, arm["collapsed"])) for arm in result["arms"] if arm.get("collapsed")}
    if lost:
        named = "; ".join(f"{name}, seed {seeds}" for name, seeds in lost.items())
        notes.append(
            f"Learnt nothing: {named}. They give one answer to everything or are right no more often than the most "
            "frequent label, so they have no score: means and differences are those of the other seeds."
        )
    if result["split"] == "validation":
        notes.append(ON_VALIDATION)
    return notes


# ---------------------------------------------------------------- recipes tried


def gain(effect: Mapping[str, Any]) -> str:
    """Write a difference with its interval and the number of seeds."""
    if effect["mean"] is None:
        return "not measured"
    between = "" if effect["low"] is None else f" {interval(effect['low'], effect['high'])}"
    return f"{effect['mean']:+.4f}{between} ({effect['n']} seed{'s' if effect['n'] > 1 else ''})"


def is_shown(effect: Mapping[str, Any]) -> bool:
    """Whether a difference holds after Holm's correction."""
    return effect["p_holm"] is not None and effect["p_holm"] < 0.05


def try_rows(result: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Return header and rows: the simple models, then a row for each recipe."""
    score, first = f"{result['split']} {result['metric']}", result["arms"][0]["name"]
    header = ("what", "seeds", score, "95 % interval", f"minus {first}", "cost of a step")
    rows: list[Row] = [
        (BASELINES.get(name, name), "-", number(value), "-", "-", "-") for name, value in result["baselines"].items()
    ]
    effects = {effect["name"]: effect for effect in result["effects"]}
    for arm in result["arms"]:
        lost = f" (learnt nothing with seed {', '.join(map(str, arm['collapsed']))})" if arm["collapsed"] else ""
        against = gain(effects[arm["name"]]) if arm["name"] in effects else "-"
        between = interval(arm["low"], arm["high"]).replace("+", "")
        cost = times(arm["relative_cost"])
        rows.append((arm["name"] + lost, str(arm["n"]), number(arm["mean"]), between, against, cost))
    return header, rows


def try_table(result: Mapping[str, Any]) -> str:
    """Return ``table.md``."""
    if not result["arms"]:
        return "No run has finished yet.\n"
    parts = [f"# Tried: {', '.join(result['recipes'])}", markdown(*try_rows(result)), result["verdict"]]
    if result["split"] == "validation":
        parts.append(ON_VALIDATION)
    parts += describe_scored_class(result)
    return "\n\n".join([*parts, f"Next: {result['next']}"]) + "\n"


# ---------------------------------------------------------------- comparison


def difference_sentence(entry: Mapping[str, Any]) -> str:
    """Say a difference between two recipes in one line."""
    what = f"{entry['name']} against {entry['against']}: {entry['metric']}"
    if entry["mean"] is None:
        return f"{what} is undefined on these texts"
    said = f"{what} {entry['mean']:+.4f} {interval(entry['low'], entry['high'])}"
    p = p_value(entry["p_holm"])
    said += f", p {p if p.startswith('<') else f'= {p}'} after Holm"
    said += " (lower is better)" if entry["metric"] in LESS_IS_BETTER else ""
    cost = entry["relative_cost"]
    return said if cost is None else f"{said}; a step costs {times(cost)}"


def comparison_table(result: Mapping[str, Any]) -> str:
    """Return ``table.md``."""
    metrics = result["metrics"]
    groups = [
        (
            group["name"],
            str(len(group["runs"])),
            *(number(group["mean"][m]) + _spread(group["sd"][m]) for m in metrics),
            number(group["cost"]["units_per_step"], 1),
            number(group["cost"]["seconds"], 0),
        )
        for group in result["groups"]
    ]
    rows = [
        (
            entry["name"],
            entry["metric"],
            "-" if entry["mean"] is None else f"{entry['mean']:+.4f}",
            interval(entry["low"], entry["high"]),
            p_value(entry["p"]),
            p_value(entry["p_holm"]),
            times(entry["relative_cost"]),
        )
        for entry in result["differences"]
    ]
    parts = [
        f"# Comparison on {result['n']:,} texts",
        markdown(("recipe", "runs", *metrics, "units a step", "training s"), groups),
        f"## Against {result['baseline']}",
        markdown(("recipe", "score", "difference", f"{result['level']:.0%} interval", "p", "p (Holm)", "cost"), rows),
    ]
    more = [*describe_scored_class(result), *_mcnemar_table(result["mcnemar"]), *warnings_of(result)]
    return "\n\n".join([*parts, *more]) + "\n"


def _spread(sd: float | None) -> str:
    return "" if sd is None else f" (sd {sd:.4f})"


def _mcnemar_table(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    if not tests:
        return []
    rows = [
        (t["name"], str(t["only_first"]), str(t["only_second"]), *(p_value(t[k]) for k in ("p", "p_mid", "p_mid_holm")))
        for t in tests
    ]
    header = ("recipe", "it alone is right", "baseline alone is right", "exact p", "mid-p", "mid-p (Holm)")
    return ["## Accuracy: McNemar's exact test, run by run", markdown(header, rows)]


def warnings_of(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each run that has seen some of the texts in its training, or has learnt nothing there."""
    runs = [run for group in result["groups"] for run in group["runs"]]
    seen = [
        f"{run['path']} has seen {run['seen_in_training']:,} of these {result['n']:,} texts in training or validation: "
        "its score there says nothing about new texts."
        for run in runs
        if run["seen_in_training"]
    ]
    lost = [
        f"{run['path']} has learnt nothing in its training: a difference from it says nothing of its recipe."
        for run in runs
        if run["collapsed"]
    ]
    return seen + lost
