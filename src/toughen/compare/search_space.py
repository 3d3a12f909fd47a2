"""What a search may change: settings of a recipe, each with a range or a list of choices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.errors import InputError
from toughen.recipe import yaml_core
from toughen.recipe.recipe import Recipe, load_recipe
from toughen.recipe.slots import hints, members, techniques
from toughen.settings import require

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe

_RANGE = re.compile(r"([^:,]+):([^:,]+)(:log)?")
_FIXED = ("data", "description", "training.seed", "training.metric", "training.threshold", "training.eval_batch_size")
"""What decides by which rows and which score trials are compared, or does not matter."""


@dataclass(frozen=True)
class Dimension:
    """One setting and the values it may take.

    Attributes:
        key: ``slot.field``, or a slot, whose choices are techniques.
        low, high: ends of a range, both included; None where there are choices.
        whole: whether the range holds whole numbers only.
        log: whether the range is searched by its logarithm.
        choices: values as on the command line; none where there is a range.
    """

    key: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def slot(self) -> str:
        """The part before the dot."""
        return self.key.partition(".")[0]

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that must be right if all are: the ends of the range, or every choice."""
        return self.choices or (self._number(self.low), self._number(self.high))

    def _number(self, value: float | None) -> Any:
        return int(value or 0) if self.whole else value

    def suggest(self, trial: Any) -> Any:
        """Let an Optuna trial choose a value."""
        if self.choices:
            return trial.suggest_categorical(self.key, list(self.choices))
        low, high = self.extremes
        return (trial.suggest_int if self.whole else trial.suggest_float)(self.key, low, high, log=self.log)


@dataclass(frozen=True)
class Space:
    """The dimensions of a search; a slot's technique comes before its settings."""

    dimensions: tuple[Dimension, ...]

    def choose(self, trial: Any) -> dict[str, Any]:
        """Let a trial choose: {key: value}, as overrides of the recipe.

        A setting that the chosen technique does not have is passed over.
        """
        chosen: dict[str, Any] = {}
        for dimension in self.dimensions:
            if _has(chosen.get(dimension.slot), dimension.key):
                chosen[dimension.key] = dimension.suggest(trial)
        return chosen

    def as_json(self) -> list[dict[str, Any]]:
        """Return the dimensions as plain values."""
        return [asdict(dimension) | {"choices": list(dimension.choices)} for dimension in self.dimensions]


def read_space(path: Path) -> list[str]:
    """Read a YAML file of ``key: range`` or ``key: [choice, ...]`` into the form of the command line.

    Raises:
        InputError: if there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise InputError(f"--space {path}: there is no such file.")
    tree = yaml_core.parse(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(tree, Mapping) or not tree:
        raise InputError(f"{path}: a search space must be a mapping such as 'adversary.radius: 0.05:0.5:log'.")
    return [f"{key}={','.join(map(_word, v)) if isinstance(v, list) else _word(v)}" for key, v in tree.items()]


def _word(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def make_space(recipe: Recipe, texts: Iterable[str]) -> Space:
    """Check what may be changed.

    Args:
        recipe: what is changed.
        texts: ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` or ``KEY=CHOICE,CHOICE``, KEY a setting or a slot.

    Raises:
        InputError: if a key is unknown, named twice or not to be searched, or a value at its ends is refused.
    """
    found = [_dimension(text) for text in texts]
    if not found:
        raise InputError("nothing to search: name settings with --over KEY=LOW:HIGH or a file with --space.")
    keys = [dimension.key for dimension in found]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is searched twice; name it once.")
    space = Space(tuple(sorted(found, key=lambda dimension: "." in dimension.key)))
    for dimension in space.dimensions:
        _check(recipe, space, dimension)
    return space


def _dimension(text: str) -> Dimension:
    key, equals, values = (part.strip() for part in text.partition("="))
    if not (key and equals and values):
        raise InputError(f"--over {text}: must be KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=CHOICE,CHOICE.")
    if any(key == fixed or key.startswith(f"{fixed}.") for fixed in _FIXED):
        raise InputError(f"--over {key}: trials are compared by it, so it cannot be searched; set it with --{key}.")
    matched = _RANGE.fullmatch(values)
    if matched is None:
        choices = tuple(choice.strip() for choice in values.split(","))
        require(len(set(choices)) == len(choices) > 1, f"--over {key}", values, "must be a range or different choices")
        return Dimension(key, choices=choices)
    low, high = (_parse_number(key, matched.group(i)) for i in (1, 2))
    log = matched.group(3) is not None
    require(low < high, f"--over {key}", values, "must be LOW:HIGH with LOW below HIGH")
    require(low > 0 or not log, f"--over {key}", values, "must lie above 0 to be searched by its logarithm")
    return Dimension(key, low, high, _is_whole(key), log)


def _parse_number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--over {key}: {text!r} is not a number; write LOW:HIGH, or choices with commas.") from None


def _is_whole(key: str) -> bool:
    """Whether a setting takes whole numbers only, in the first technique that has it."""
    slot, _, name = key.partition(".")
    classes = techniques(Recipe, slot).values() if slot in hints(Recipe) else ()
    kinds = next((members(hints(cls)[name]) for cls in classes if name in hints(cls)), ())
    return int in kinds and float not in kinds


def _check(recipe: Recipe, space: Space, dimension: Dimension) -> None:
    """Try the ends of a range, or every choice, in each technique that may be chosen."""
    whole_slot = next((d.choices for d in space.dimensions if d.key == dimension.slot), ())
    named: Sequence[Any] = whole_slot if "." in dimension.key and whole_slot else (None,)
    fitting = [name for name in named if name is None or _has(name, dimension.key)]
    if not fitting:
        raise InputError(f"--over {dimension.key}: none of {', '.join(map(str, named))} has such a setting.")
    for name in fitting:
        for value in dimension.extremes:
            load_recipe(recipe, ({dimension.slot: name} if name is not None else {}) | {dimension.key: value})


def _has(chosen: str | None, key: str) -> bool:
    """Whether the technique chosen for a slot (None: whatever the recipe has) has a setting."""
    slot, dot, name = key.partition(".")
    if not dot or chosen is None:
        return True
    cls = techniques(Recipe, slot).get(chosen)
    return cls is not None and name in hints(cls)
