"""The recipes that ship with the package, one YAML file each."""

from __future__ import annotations

from importlib.resources import files

from toughen.recipe import yaml_core

DEFAULT = "accuracy"
"""The recipe of a run that names none."""

GOALS = (DEFAULT, "robust", "fast")
"""The recipes for who knows what for and not how: what `toughen train --goal` takes."""

NAMES = (
    *GOALS,
    "tough-stack",
    "rat-stack",
    "full-stack",
    "plain",
    "rdrop",
    "fgm",
    "fgsm",
    "pgd",
    "freelb",
    "vat",
    "smart",
    "gradient-penalty",
    "sam",
    "asam",
    "awp",
    "neftune",
    "mixup",
    "ema",
    "swa",
    "checkpoint-soup",
)
"""In the order in which they are listed: the default first, the goals, then the stacks, then one technique each."""


def text(name: str) -> str:
    """Return the YAML of a shipped recipe; ``name`` must be in ``NAMES``."""
    return files(__package__).joinpath("files", f"{name}.yaml").read_text(encoding="utf-8")


def shipped_recipes() -> list[tuple[str, str]]:
    """Return (name, description) of every shipped recipe."""
    return [(name, str(yaml_core.parse(text(name), name)["description"])) for name in NAMES]
