"""How a metric is defined here: an obstacle that says in a sentence why it has no value, and a measure that gives it.

Obstacles are decided before a library is asked, which would answer 0 and warn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toughen.arrays import Floats

Metrics = dict[str, float | int | str | dict[str, str] | None]
"""Values by name, None where undefined; `n`, the number of examples; `undefined`, {metric: why} for each None.

Of two classes also `positive_class`, the name of the one that precision, recall and F1 speak of.
"""


class Sized(Protocol):
    """Checked inputs of any task."""

    @property
    def n(self) -> int:
        """Number of examples."""


class Counted(Sized, Protocol):
    """Checked inputs of a task with classes, as the obstacles see them; every array is [C]."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def support(self) -> NDArray[np.int64]:
        """Examples that carry each label."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Examples for which each class was predicted."""

    @property
    def averaged(self) -> NDArray[np.bool_]:
        """The classes that precision, recall and F1 speak of."""


POSITIVE_CLASS = "positive_class"
NO_NUMBERS = ("undefined", POSITIVE_CLASS)
OF_ONE_CLASS = frozenset(("precision", "recall", "f1"))
"""Entries of metrics that are words about the numbers."""
S = TypeVar("S", bound=Sized)
Rule = tuple[Callable[[S], str | None], Callable[[S], float]]


def apply_rules(scored: S, rules: Mapping[str, Rule[S]]) -> Metrics:
    """Apply rules {metric: (obstacle, measure)} to checked inputs."""
    values: Metrics = {"n": scored.n}
    undefined: dict[str, str] = {}
    for name, (obstacle, measure) in rules.items():
        why = obstacle(scored) if scored.n else "there are no examples"
        values[name] = None if why else float(measure(scored))
        if why:
            undefined[name] = why
    values["undefined"] = undefined
    return values


def refuse_non_finite(outputs: Floats) -> None:
    """Raise a RuntimeError if one of the model's outputs [N, ...] is not finite: the user's data are not at fault."""
    finite = np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
    if not finite.all():
        raise RuntimeError(
            f"the model produced non-finite outputs for {int((~finite).sum())} of {len(outputs)} examples, so nothing "
            "can be scored; its training diverged (lower the learning rate or use precision fp32)"
        )


def checked_weights(weights: ArrayLike | None, rows: int) -> Floats | None:
    """Return what each of so many rows counts for, [N] above 0; None = all alike; ValueError if they do not fit."""
    if weights is None:
        return None
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (rows,) or not (found > 0).all() or not np.isfinite(found).all():
        raise ValueError(f"weights must be {rows} finite numbers above 0, got shape {list(found.shape)}")
    return found


def checked_names(label_names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """Return the names of `classes` columns of outputs, their numbers by default; ValueError if they do not fit."""
    if label_names is None:
        return tuple(str(i) for i in range(classes))
    if len(label_names) != classes:
        raise ValueError(f"{len(label_names)} label names do not fit {classes} columns of probabilities")
    return tuple(label_names)


def of_positive_class(metrics: Mapping[str, object]) -> str | None:
    """Say whose precision, recall and F1 are told, where they are those of one class of two."""
    name = metrics.get(POSITIVE_CLASS)
    return None if name is None else f"precision, recall and f1 are those of the positive class {name!r}"


def positive_class(task: str, label_names: Sequence[str]) -> str | None:
    """Return the name of the class that a task's precision, recall and F1 are those of; None where there is none."""
    return label_names[1] if task == "single-label" and len(label_names) == 2 else None


def describe_scored_class(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence on whose scores a comparison compares, where they are those of one class of two.

    ``result`` has ``positive_class``, and the name of the score as ``metric`` or those of several as ``metrics``.
    """
    whose = of_positive_class(result)
    names = result.get("metrics") or (result["metric"],)
    return [f"{whose[:1].upper()}{whose[1:]}."] if whose and not OF_ONE_CLASS.isdisjoint(names) else []


def nothing(_: Sized) -> None:
    """Stand in where a metric is always defined."""


def list_classes(s: Counted, missing: NDArray[np.bool_]) -> str:
    """Name the classes of a mask [C]."""
    return ", ".join(repr(s.names[i]) for i in np.flatnonzero(missing))


def never_predicted(s: Counted) -> str | None:
    """Tell the obstacle of precision: nothing was predicted as a class."""
    names = list_classes(s, s.averaged & (s.predicted == 0))
    return f"no example was predicted as {names}" if names else None


def no_support(s: Counted) -> str | None:
    """Tell the obstacle of recall: nothing carries a label."""
    names = list_classes(s, s.averaged & (s.support == 0))
    return f"no example has the label {names}" if names else None


def neither(s: Counted) -> str | None:
    """Tell the obstacle of F1: a class is neither labelled nor predicted."""
    names = list_classes(s, s.averaged & (s.support == 0) & (s.predicted == 0))
    return f"no example has the label {names} and none was predicted so" if names else None
