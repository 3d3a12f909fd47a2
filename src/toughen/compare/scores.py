"""Names and directions of scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toughen.assess.definition import NO_NUMBERS
from toughen.errors import InputError

_NOT_SCORES = ("n", *NO_NUMBERS, "seconds", "samples_per_second")
_MAIN = ("f1", "pearson")
"""The score by which each task is compared unless another is named: f1, or of numbers pearson."""


def chosen_metric(metrics: Mapping[str, Any], asked: str | None) -> str:
    """Return the metric asked for, or the task's own.

    Args:
        metrics: of one split of a run.
        asked: its name; None is f1, or pearson.

    Raises:
        InputError: if the metrics do not hold it.
    """
    known = [name for name, value in metrics.items() if name not in _NOT_SCORES and not isinstance(value, (str, dict))]
    if asked is None:
        return next(name for name in (*_MAIN, *known) if name in known)
    if asked not in known:
        raise InputError(f"--metric must be one of {', '.join(known)}, got {asked!r}.")
    return asked
