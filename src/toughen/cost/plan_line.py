"""What a training is about to cost, in one line before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from toughen.cost.passes import forecast

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe


def plan_lines(recipe: Recipe, steps: int, attacked: int = 0) -> list[str]:
    """Say how many optimiser steps are planned, what each and all cost, which slot makes it so, and what plain costs.

    Args:
        recipe: what to do.
        steps: optimiser steps planned.
        attacked: training texts that are attacked before an epoch.
    """
    prediction = forecast(recipe)
    mean = prediction.over(range(max(steps, 1)))
    accumulation = recipe.training.accumulation
    varies = recipe.adversary is not None and mean.units != prediction.acting.units
    batches = f"{accumulation} x " if accumulation > 1 else ""
    each = f"{batches}{number(mean.units)} units{' on average' if varies else ''}"
    line = f"plan: {steps:,} steps of {each}, {steps * accumulation * mean.units:,.0f} in all"
    slots = {name: units for name, units in prediction.slots(mean).items() if units}
    if len(slots) > 1:
        shares = (f"{name} {number(units)} ({units / mean.units:.0%})" for name, units in slots.items())
        line += f": {', '.join(shares)}; {mean.units / prediction.plain.units:.1f} times a plain step"
    return [line, *attack_lines(recipe, attacked)]


def attack_lines(recipe: Recipe, attacked: int) -> list[str]:
    """Say what seeking adversarial examples for so many texts costs beside the steps, if any are sought."""
    if not attacked:
        return []
    settings = recipe.augment
    when = "every epoch" if settings.every == 1 else f"every {settings.every} epochs"
    return [
        f"plan: from epoch {settings.clean_epochs + 1} on, before {when}, {settings.attack} attacks {attacked:,} "
        f"training texts with at most {settings.queries:,} queries each: up to {attacked * settings.queries:,} texts "
        "forward"
    ]


def probe_line(rows: Mapping[str, int], batch_size: int) -> str:
    """Say what the probe costs: one forward pass of so many rows of each split."""
    texts = " + ".join(f"{count:,} {name}" for name, count in rows.items())
    units = sum(rows.values()) / batch_size
    return f"plan: the probe passes {texts} rows through the encoder as it is, {units:,.0f} units"


def number(value: float) -> str:
    """Write a count of passes: whole where it is, else with two decimals."""
    return f"{value:.0f}" if round(value, 2) == round(value) else f"{value:.2f}"
