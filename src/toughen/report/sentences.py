"""Numbers and judgements in plain words; the judgements are rules, and say so when the texts are too few to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toughen.assess.selection import LESS_IS_BETTER
from toughen.errors import count

FEW = 100
"""Fewer texts than this are called few."""
NAMES = {
    "roc_auc": "ROC AUC",
    "f1": "F1",
    "mcc": "Matthews correlation",
    "log_loss": "log loss",
    "soft_log_loss": "log loss (soft labels)",
    "ece": "calibration error (ECE)",
    "ece_equal_width": "calibration error (equal widths)",
    "brier": "Brier score",
    "aurc": "area under risk and coverage",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
}
MEANS = ("macro", "micro", "weighted")
"""What a metric's name may end in: the mean over the classes that it is."""


def name_metric(metric: str) -> str:
    """Return a metric's name as people say it."""
    base, _, mean = metric.rpartition("_")
    if mean in MEANS:
        return f"{name_metric(base)} ({mean})"
    return NAMES.get(metric, metric.replace("_", " "))


def number(value: Any, digits: int = 3) -> str:
    """Write a number; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """Write a share: 84.7 %."""
    return f"{100 * value:.1f} %"


def ends(interval: Sequence[float] | None, digits: int = 3) -> str:
    """Write an interval: 0.807 to 0.887; a dash for none."""
    return "–" if not interval else f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def share_with_interval(value: float, interval: Sequence[float] | None) -> str:
    """Write a share with its interval: 84.7 % (95 % interval 80.7 to 88.7 %)."""
    if not interval:
        return percent(value)
    return f"{percent(value)} (95 % interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f} %)"


def value_with_interval(value: Any, interval: Sequence[float] | None) -> str:
    """Write a score for a table: 0.847 (0.807 to 0.887)."""
    return number(value) if not interval or value is None else f"{number(value)} ({ends(interval)})"


def scores(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Return those entries of a metrics mapping that are scores, not sizes, times or notes."""
    left_out = {"n", "seconds", "samples_per_second"}
    return {
        name: value
        for name, value in metrics.items()
        if name not in left_out and (value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)))
    }


def excludes(interval: Sequence[float] | None, value: float) -> bool:
    """Tell whether a value lies outside an interval."""
    return bool(interval) and interval is not None and not interval[0] <= value <= interval[1]


def few(n: int) -> list[str]:
    """Return a warning where there are few texts."""
    return [f"There are only {count(n, 'text')}, so every number here is uncertain; read the intervals."] * (n < FEW)


def difference(effect: Mapping[str, Any], metric: str, against: str, basis: str) -> str:
    """Judge a difference of a score: better, worse, or nothing that could be shown.

    Args:
        effect: name, mean, low, high, p_holm (or p), relative_cost.
        metric: its name.
        against: what it is compared with, such as "plain".
        basis: what the difference was measured on: "texts", "seeds", "texts and seeds".
    """
    name, mean = effect["name"], effect["mean"]
    if mean is None:
        return f"{name}: not measured."
    p = effect.get("p_holm") if effect.get("p_holm") is not None else effect.get("p")
    low, high = effect["low"], effect["high"]
    told = f"{mean:+.4f}" + ("" if low is None or high is None else f", interval {low:+.4f} to {high:+.4f}")
    shown = low is not None and high is not None and (low > 0 or high < 0) and (p is not None and p < 0.05)
    cost = effect.get("relative_cost")
    price = "" if cost is None else f" A training step costs {cost:.2g} times as much."
    if not shown:
        return (
            f"{name} against {against}: no difference in {name_metric(metric)} that this many {basis} can "
            f"show ({told}).{price}"
        )
    better = (mean > 0) != (metric in LESS_IS_BETTER)
    return f"{name} is {'better' if better else 'worse'} than {against} in {name_metric(metric)} ({told}).{price}"
