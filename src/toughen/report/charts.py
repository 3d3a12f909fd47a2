"""The figures: curves, forests of intervals, reliability, selective accuracy, confusion, cost and benefit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from textwrap import shorten, wrap
from typing import Any

import numpy as np

from toughen.assess.selection import LESS_IS_BETTER
from toughen.report.page import Chart, Table
from toughen.report.sentences import name_metric, number
from toughen.report.style import DASHES, INK, MARKS, MUTED, SERIES, apply_style, new_figure
from toughen.statistics.shares import clopper_pearson

Points = Sequence[tuple[float, float]]
MOST_LABELS = 12
"""Classes that a confusion matrix has room for."""


def _line_style(i: int) -> dict[str, Any]:
    return {"color": SERIES[i % len(SERIES)], "linestyle": DASHES[i % len(DASHES)]}


def panels(
    key: str,
    title: str,
    series: Mapping[str, Mapping[str, Points]],
    alt: str,
    *,
    best: int | None = None,
    note: str = "",
) -> Chart:
    """Draw curves over training steps, a panel for each quantity, as their scales differ.

    Args:
        key: of the chart.
        title: of the chart.
        series: {panel: {name: [(step, value)]}}.
        alt: what there is to see.
        best: step whose weights are the result, marked.
        note: how to read it.
    """
    with apply_style():
        figure, axes = new_figure(1.0 + 1.35 * len(series), len(series))
        for axis, (name, lines) in zip(axes, series.items(), strict=True):
            for i, (label, points) in enumerate(lines.items()):
                x, y = zip(*points, strict=True)
                axis.plot(x, y, marker=MARKS[i] if len(x) < 30 else None, label=label, **_line_style(i))
            axis.set_title(name)
            _scale_axis(axis, [value for line in lines.values() for _, value in line])
            if len(lines) > 1:
                axis.legend(loc="best", fontsize=9)
            if best is not None:
                axis.axvline(best, color=MUTED, linewidth=1, linestyle=":")
        axes[-1].set_xlabel(
            "step" + ("" if best is None else f" (dotted: step {best:,}, whose weights are the result)")
        )
    return Chart(key, title, alt, figure, note, _over_steps(title, series))


def _scale_axis(axis: Any, values: Sequence[float]) -> None:
    """Leave room around the lines; one that hardly moves is drawn flat, not blown up."""
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.margins(y=0.15)
    low, high = min(values), max(values)
    if high - low < 1e-3 * abs(high):
        axis.set_ylim(low - 0.1 * abs(high), high + 0.1 * abs(high))


def _over_steps(title: str, series: Mapping[str, Mapping[str, Points]]) -> Table:
    lines = {(panel, name): dict(points) for panel, named_ in series.items() for name, points in named_.items()}
    steps = sorted({step for points in lines.values() for step in points})
    heads = tuple(panel if panel == name else f"{panel}: {name}" for panel, name in lines)
    thinned = steps[:: max(1, len(steps) // 40)]
    rows = [(f"{step:,}", *(number(points.get(step), 4) for points in lines.values())) for step in thinned]
    return Table(title, ("step", *heads), rows)


@dataclass(frozen=True)
class Interval:
    """One row of a forest: a value with the ends of its interval, if it has one; ``strong`` ones stand out."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    strong: bool = False


def forest(
    key: str, title: str, rows: Sequence[Interval], axis_name: str, alt: str, *, line: float | None, note: str = ""
) -> Chart:
    """Draw values with their intervals below each other, beside a line that they are compared with."""
    with apply_style():
        labels = ["\n".join(wrap(shorten(row.name, 54, placeholder="…"), 27)) or "–" for row in rows]
        heights = [0.26 + 0.15 * label.count("\n") for label in labels]  # in inches: two lines need more room than one
        ends = list(accumulate(heights))
        places = [end - height / 2 for end, height in zip(ends, heights, strict=True)]
        whole = sum(heights)
        figure, (axis,) = new_figure(max(1.2, 0.7 + whole))
        for place, row in zip(places, rows, strict=True):
            _interval(axis, place, row)
        if line is not None:
            axis.axvline(line, color=MUTED, linewidth=1, linestyle="--")
        axis.set_yticks(places, labels)
        axis.set_ylim(whole, 0)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(axis_name)
    numbers = [(row.name, number(row.value, 4), number(row.low, 4), number(row.high, 4)) for row in rows]
    return Chart(key, title, alt, figure, note, Table(title, ("name", axis_name, "low", "high"), numbers))


def _interval(axis: Any, place: float, row: Interval) -> None:
    colour = SERIES[1] if row.strong else SERIES[0]
    if row.low is not None and row.high is not None:
        axis.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
    if row.value is not None:
        axis.plot([row.value], [place], marker="D" if row.strong else "o", color=colour, markersize=5.5)


def reliability(bins: Sequence[Mapping[str, Any]], decisions: str = "answers") -> Chart:
    """Draw the share of right answers against confidence, with exact intervals per bin."""
    ranges = [clopper_pearson(round(b["accuracy"] * b["n"]), b["n"]) for b in bins]
    with apply_style():
        figure, (axis,) = new_figure(3.6)
        lowest = min([0.5, *(b["confidence"] for b in bins)])
        axis.plot([lowest, 1], [lowest, 1], color=MUTED, linestyle="--", linewidth=1, label="perfectly calibrated")
        for b, found in zip(bins, ranges, strict=True):
            if found is not None:
                axis.plot([b["confidence"]] * 2, found, color=SERIES[0], linewidth=1, alpha=0.6)
        x, y = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
        axis.plot(x, y, marker="o", color=SERIES[0], label="measured, with 95 % intervals")
        axis.set_xlabel("confidence (mean of the bin)")
        axis.set_ylabel(f"share of {decisions} that are right")
        axis.set_ylim(-0.02, 1.02)
        axis.legend(loc="lower right", fontsize=9)
    rows = [
        (f"{number(b['low'])} to {number(b['high'])}", f"{b['n']:,}", number(b["confidence"]), number(b["accuracy"]))
        for b in bins
    ]
    heads = ("confidence", decisions, "mean confidence", "share right")
    alt = (
        f"{len(bins)} bins of equal size. In the least sure one confidence is {x[0]:.2f} and {y[0]:.2f} are right; in "
        f"the surest one {x[-1]:.2f} and {y[-1]:.2f}."
    )
    note = "Points below the dashed line: the model is surer than it is right."
    return Chart("reliability", "Reliability", alt, figure, note, Table("Reliability", heads, rows))


def selective(curve: Sequence[Mapping[str, Any]]) -> Chart:
    """Draw accuracy against the share of texts that are answered, the surest first."""
    x, y = [point["coverage"] for point in curve], [1 - point["risk"] for point in curve]
    with apply_style():
        figure, (axis,) = new_figure(3.0)
        axis.plot(x, y, color=SERIES[0])
        axis.set_xlabel("share of texts answered, surest first")
        axis.set_ylabel("accuracy on them")
        axis.set_xlim(0, 1.02)
        axis.margins(y=0.12)
    shares = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    places = sorted({int(np.argmin(np.abs(np.asarray(x) - share))) for share in shares})
    rows = [(number(x[i], 2), number(y[i]), number(curve[i]["least_confidence"])) for i in places]
    alt = "; ".join(f"{x[i]:.0%} answered: accuracy {y[i]:.3f}" for i in places) + "."
    numbers = Table("Selective accuracy", ("share answered", "accuracy", "least confidence"), rows)
    note = "What accuracy would be if the model declined to answer the texts it is least sure of."
    return Chart("selective-accuracy", "Selective accuracy", alt, figure, note, numbers)


def confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Chart:
    """Draw a confusion matrix, shaded by the share of each true label."""
    size = len(labels)
    with apply_style():
        figure, (axis,) = new_figure(1.2 + 0.42 * size)
        for i, row in enumerate(matrix):
            for j, cell in enumerate(row):
                share = cell / max(1, sum(row))
                box = {"facecolor": SERIES[0], "alpha": 0.45 * share, "edgecolor": "none"}
                axis.add_patch(_rectangle(j - 0.47, i - 0.47, 0.94, 0.94, **box))
                axis.text(j, i, f"{cell:,}", ha="center", va="center", color=INK)
        short = [shorten(label, 18, placeholder="…") if label.strip() else label for label in labels]
        axis.set_xticks(range(size), short, rotation=0 if size <= 3 else 60, ha="center" if size <= 3 else "right")
        axis.set_yticks(range(size), short)
        axis.set_xlim(-0.5, size - 0.5)
        axis.set_ylim(size - 0.5, -0.5)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.set_xlabel("answer of the model")
        axis.set_ylabel("true label")
    right = sum(row[i] for i, row in enumerate(matrix))
    alt = f"{right:,} of {sum(map(sum, matrix)):,} stand on the diagonal, where answer and true label agree."
    rows = [(label, *(f"{cell:,}" for cell in row)) for label, row in zip(labels, matrix, strict=True)]
    numbers = Table("Confusion matrix: a row per true label", ("true label", *labels), rows)
    note = "Darker: a larger share of the row's true label."
    return Chart("confusion", "Confusion matrix", alt, figure, note, numbers)


def _rectangle(x: float, y: float, width: float, height: float, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, **style)


@dataclass(frozen=True)
class Bought:
    """What one recipe costs and scores."""

    name: str
    cost: float
    value: float
    low: float | None
    high: float | None


def cost_benefit(rows: Sequence[Bought], metric: str, *, what: str, line: float | None) -> Chart:
    """Draw a score (or its difference) against the cost of a training step."""
    with apply_style():
        figure, (axis,) = new_figure(2.9 + 0.17 * len(rows))
        for i, row in enumerate(rows):
            colour, mark = SERIES[i % len(SERIES)], MARKS[i % len(MARKS)]
            if row.low is not None and row.high is not None:
                axis.plot([row.cost] * 2, [row.low, row.high], color=colour, linewidth=1)
            axis.plot(
                [row.cost], [row.value], mark, color=colour, markersize=6, label=shorten(row.name, 48, placeholder="…")
            )
        if line is not None:
            axis.axhline(line, color=MUTED, linewidth=1, linestyle="--")
        axis.set_xlabel("cost of a training step, times that of the baseline")
        axis.set_ylabel("\n".join(wrap(f"{name_metric(metric)}{what}", 26)))
        axis.margins(x=0.12, y=0.12)
        low, high = axis.get_ylim()
        if high - low < 1e-6:  # nothing but rounding, which would fill the axis
            axis.set_ylim(low - 0.01, high + 0.01)
        figure.legend(loc="outside lower center", fontsize=9, ncols=1 if len(rows) < 5 else 2)
    told = [
        (row.name, f"{row.cost:.2f}", number(row.value, 4), number(row.low, 4), number(row.high, 4)) for row in rows
    ]
    alt = "; ".join(f"{row.name}: {row.cost:.2g} times the cost, {row.value:.4f}" for row in rows) + "."
    title = "Cost and benefit"
    numbers = Table(title, ("recipe", "relative cost", name_metric(metric) + what, "low", "high"), told)
    return Chart(
        "cost-benefit",
        title,
        alt,
        figure,
        "Up is better, left is cheaper." if not _is_error(metric) else "Down is better, left is cheaper.",
        numbers,
    )


def _is_error(metric: str) -> bool:
    return metric in LESS_IS_BETTER


@dataclass(frozen=True)
class Curve:
    """A line over severities, budgets or changed words, with its intervals."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def curves(
    key: str,
    title: str,
    lines: Sequence[Curve],
    x_name: str,
    y_name: str,
    alt: str,
    *,
    background: Sequence[Curve] = (),
    note: str = "",
) -> Chart:
    """Draw lines with bands, before thin grey ones that are not named one by one."""
    with apply_style():
        figure, (axis,) = new_figure(3.0 + 0.17 * len(lines))
        for curve in background:
            axis.plot(curve.x, curve.y, color=MUTED, linewidth=0.8, alpha=0.6)
        for i, curve in enumerate(lines):
            axis.plot(curve.x, curve.y, marker=MARKS[i % len(MARKS)], label=curve.name, **_line_style(i))
            if curve.low is not None and curve.high is not None:
                axis.fill_between(
                    curve.x, curve.low, curve.high, color=SERIES[i % len(SERIES)], alpha=0.15, linewidth=0
                )
        axis.set_xlabel(x_name)
        axis.set_ylabel("\n".join(wrap(y_name, 26)))
        axis.xaxis.get_major_locator().set_params(integer=True)
        if len(lines) > 1:
            figure.legend(loc="outside lower center", fontsize=9, ncols=2)
    every = [*lines, *background]
    places = sorted({x for curve in every for x in curve.x})
    rows = [(curve.name, *(number(dict(zip(curve.x, curve.y, strict=True)).get(x)) for x in places)) for curve in every]
    numbers = Table(title, ("", *(f"{x:g}" for x in places)), rows)
    return Chart(key, title, alt, figure, note, numbers)
