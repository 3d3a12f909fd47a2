"""Sentences about what a suite found, for the console and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def what_failed(test: Mapping[str, Any]) -> str:
    """Say what a failing case of a test is."""
    if test["kind"] == "minimum-functionality":
        return f"not answered {' or '.join(test['expect'])}"
    if test["kind"] == "invariance":
        least = f", by a probability of {test['tolerance']:g} or more" if test["tolerance"] else ""
        return f"the change changes the answer{least}"
    way = "falls" if test["direction"] == "up" else "rises"
    return f"the probability of {test['label']} {way} by more than {test['tolerance']:g}"


def only_answer(result: Mapping[str, Any]) -> str | None:
    """Say that all texts got the same answer, where they did: then no failure rate says anything."""
    if len(result["answers"]) > 1 or result["n"] < 2:
        return None
    (answer,) = result["answers"]
    return f"The model answers {answer} to every text, so what it does not fail says nothing."


def text_of(text: str | Sequence[str]) -> str:
    """Return a text in one line, a pair with a bar between."""
    return text if isinstance(text, str) else " | ".join(text)
