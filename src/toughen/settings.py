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
