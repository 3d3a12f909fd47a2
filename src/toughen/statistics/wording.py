"""Estimates in words: a score, a p value, and what so many seeds can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, digits: int = 4) -> str:
    """Write a score: .8712; a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def p_value(p: float | None) -> str:
    """Write a p value: two digits, and < .001 below that."""
    return "-" if p is None else "< .001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def power_sentence(power: Mapping[str, Any], *, remedy: str = " (name yours with --sd)") -> str:
    """Say which differences so many seeds can show, and on what assumption, with what to do about one."""
    source = {
        "assumed": f"{number(power['sd'])}, which is an assumption{remedy}",
        "given": f"{number(power['sd'])}, as given",
        "measured": f"{number(power['sd'])}, as measured within the finished runs",
    }[power["sd_from"]]
    said = (
        f"With {power['seeds']} seeds, a true difference of {number(power['single'])} is found with a chance of "
        f"{power['power']:.0%} (paired t test, two-sided level {power['alpha']})"
    )
    if power["comparisons"] > 1:
        said += (
            f"; with Holm's correction for {power['comparisons']} comparisons at worst {number(power['after_holm'])}"
        )
    return f"{said}. That takes a standard deviation over seeds of {source}, and runs of one seed to be independent."
