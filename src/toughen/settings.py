"""How a setting is declared: once, as a dataclass field whose help text feeds Python, YAML and the command line."""

from dataclasses import field
from typing import Any

from toughen.errors import InputError


def setting(default: Any, help_text: str) -> Any:
    """Return a dataclass field with its default and its one-line help."""
    return field(default=default, metadata={"help": help_text})


def require(condition: bool, name: str, value: object, rule: str) -> None:
    """Refuse a setting in one sentence.

    Raises:
        InputError: if ``condition`` is false.
    """
    if not condition:
        raise InputError(f"{name} {rule}, got {value!r}.")


SEEDS = 2**32
"""How many seeds there are: what NumPy's older generators and scikit-learn take."""


def require_seed(value: int, name: str = "seed") -> None:
    """Refuse a seed that one of the generators would not take.

    Raises:
        InputError: if it is below 0, or 2**32 or more.
    """
    require(0 <= value < SEEDS, name, value, f"must be from 0 to {SEEDS - 1}")
