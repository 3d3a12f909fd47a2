"""The recipes that ship with the package, one YAML file each."""

from __future__ import annotations

from importlib.resources import files

from toughen.recipe import yaml_core

DEFAULT = "tough-stack"
"""The recipe of a run that names none."""

NAMES = (
    DEFAULT,
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
"""In the order in which they are listed: the default first, then the stacks, then one technique each."""


def text(name: str) -> str:
    """Return the YAML of a shipped recipe; ``name`` must be in ``NAMES``."""
    return files(__package__).joinpath("files", f"{name}.yaml").read_text(encoding="utf-8")


def shipped_recipes() -> list[tuple[str, str]]:
    """Return (name, description) of every shipped recipe."""
    return [(name, str(yaml_core.parse(text(name), name)["description"])) for name in NAMES]
