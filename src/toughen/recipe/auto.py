"""What a recipe leaves to the run (`auto`), and the numbers that the run put in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toughen.recipe.recipe import Recipe

AUTO = "auto"
SETTLED = (("head", "pooling"), ("training", "learning_rate"))
"""The settings (slot, field) that a run replaces by what it used; another `auto` is one of the machine's, and stays."""


def is_open(recipe: Recipe) -> bool:
    """Say whether a recipe leaves anything to the run."""
    return any(getattr(getattr(recipe, slot), name) == AUTO for slot, name in SETTLED)


def fill_auto(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return the recipe with values ``{"head.pooling": "mean"}`` where it has `auto`; what it says itself stays."""
    for slot, name in SETTLED:
        part = getattr(recipe, slot)
        if getattr(part, name) == AUTO and f"{slot}.{name}" in values:
            recipe = replace(recipe, **{slot: replace(part, **{name: values[f"{slot}.{name}"]})})
    return recipe


def as_begun(recipe: Recipe, begun: Recipe) -> Recipe:
    """Return the recipe with the choices of a run that was begun by it, where it leaves them open."""
    return fill_auto(recipe, {f"{slot}.{name}": getattr(getattr(begun, slot), name) for slot, name in SETTLED})
