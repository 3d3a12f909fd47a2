"""A recipe: what a run learns from, with which techniques, for how long; one declaration for Python, YAML and flags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from toughen.data.config import Augment, Data
from toughen.engine.adversaries import AnyAdversary
from toughen.engine.averages import Average
from toughen.engine.inputs import Inputs
from toughen.engine.objectives import CrossEntropy, Objective
from toughen.errors import InputError
from toughen.model.head_config import Head
from toughen.model.lora_config import Lora
from toughen.recipe import defaults, shipped, slots, yaml_core
from toughen.recipe.shipped import DEFAULT, shipped_recipes
from toughen.recipe.slots import FlagText, Setting
from toughen.recipe.training import Training
from toughen.settings import setting

__all__ = ["DEFAULT", "Recipe", "dump", "fields_of", "load_recipe", "shipped_recipes"]

EXTENDS = "extends"
SHORTHAND = {"data": "source"}
SPELLINGS = {"unlabeled": "unlabelled", "unlabeled_ratio": "unlabelled_ratio"}
"""What a bare word in a slot means, where it is not the technique's name."""


def unlabelled_of(given: Any, overrides: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the texts without labels under either spelling of the word, and the other overrides.

    Raises:
        InputError: if both spellings are given.
    """
    others = dict(overrides)
    american = others.pop("unlabeled", None)
    if american is None:
        return given, others
    if given is not None:
        raise InputError("unlabelled and unlabeled are one setting; give it once.")
    return american, others


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a run computes; equal recipes on equal data give equal weights."""

    description: str = setting("", "one line about the recipe")
    defaults: int = setting(defaults.LATEST, "version of the defaults that it was written for")
    model: str = setting("roberta-base", "pretrained model: hub id or folder")
    data: Data = setting(Data(), "source, columns and splits; what does it learn from?")
    inputs: Inputs | None = setting(None, "input changes; what does the model see?")
    objective: Objective = setting(CrossEntropy(), "loss; what is a mistake?")
    adversary: AnyAdversary | None = setting(None, "adversarial training; who pushes back?")
    average: Average | None = setting(None, "weight averaging; which weights are the result?")
    head: Head = setting(
        Head(), "classification head and frozen layers; how does the model decide, and what of it learns?"
    )
    adapter: Lora | None = setting(None, "low-rank adapters; do all weights learn, or a few beside them?")
    augment: Augment = setting(Augment(), "adversarial examples and typos; how are they sought while it learns?")
    probe: bool = setting(True, "one frozen pass before training: simple models to compare with, and the pooling")
    training: Training = setting(Training(), "schedule, batches and precision; how long, how fast?")


Source = str | os.PathLike[str] | Mapping[str, Any] | Recipe


def load_recipe(source: Source = DEFAULT, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Resolve a recipe.

    Args:
        source: name of a shipped recipe, path of a YAML file, a mapping like one, or a recipe.
        overrides: what to change: ``{"adversary.steps": 5, "objective": "rdrop", "training": {"epochs": 1}}``. A dotted
            key changes one setting. Naming another technique drops the settings of the one before it. Strings are read
            as on the command line, so ``"5"`` will do for a number.

    Returns:
        The checked recipe.

    Raises:
        InputError: if there is no such recipe, or one of its keys or values is wrong.
    """
    layers = [*_layers(source), ("", _nest_overrides(overrides or {}))]
    draft = _Draft(defaults.version_of(layers))
    for where, tree in layers:
        draft.merge(tree, where)
    return Recipe(**slots.build(Recipe, draft.tree, draft.origins))


def dump(recipe: Recipe) -> str:
    """Return the recipe as YAML, every setting spelt out; ``load_recipe`` reads it back to an equal recipe."""
    return yaml_core.dump(as_tree(recipe))


def as_tree(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values (mappings, lists, numbers, strings), technique names first."""
    return {f.name: _plain(getattr(recipe, f.name)) for f in fields(recipe)}


def paths_of(recipe: Recipe) -> dict[str, object]:
    """Return every value of a recipe by the option that sets it: any text among them may be a path."""
    slots = {key: value if isinstance(value, Mapping) else {"": value} for key, value in as_tree(recipe).items()}
    return {f"--{slot}.{key}".rstrip("."): value for slot, tree in slots.items() for key, value in tree.items()}


def fields_of(slot: str | None = None, name: str = "") -> list[Setting]:
    """Return the settings of a technique, of a slot without techniques, or of the recipe itself.

    ``fields_of("adversary", "pgd")``, ``fields_of("training")``, ``fields_of()``.
    """
    if slot is None:
        return slots.settings(Recipe)
    return slots.settings(slots.techniques(Recipe, slot)[name], f"{slot}.")


class _Draft:
    """The recipe being put together, layer by layer, and where each key was set last."""

    def __init__(self, version: int) -> None:
        self.tree: dict[str, Any] = as_tree(Recipe())
        defaults.lay_under(self.tree, version)
        self.origins: dict[str, str] = {}

    def merge(self, layer: Mapping[str, Any], where: str) -> None:
        for slot, value in layer.items():
            if slot not in self.tree:
                raise InputError(_at(where, f"{slot}: unknown key of a recipe{_guess_key(slot)}"))
            self.origins[slot] = where
            if not slots.techniques(Recipe, slot):
                self.tree[slot] = value
                continue
            new = _mapping(slot, value, where)
            new = new and {SPELLINGS.get(name, name): entry for name, entry in new.items()}
            self.origins.update({f"{slot}.{name}": where for name in new or ()})
            self.tree[slot] = _merge_slot(self.tree[slot], new)


def _guess_key(key: str) -> str:
    """Guess at a wrong top-level key: a setting without its slot, or a misspelt slot."""
    for slot in slots.hints(Recipe):
        if any(key in slots.hints(cls) for cls in slots.techniques(Recipe, slot).values()):
            return f"; did you mean {slot}.{key}?"
    return slots.nearest(key, [*slots.hints(Recipe), EXTENDS])


def _merge_slot(base: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put a slot's new settings over the old ones; another technique starts from its own defaults."""
    if base is None or new is None or new.get("name", base.get("name")) != base.get("name"):
        return new
    return {**base, **new}


def _mapping(slot: str, value: object, where: str) -> dict[str, Any] | None:
    """Spell out a slot: a bare word is the technique's name (the source, in ``data``); none is None."""
    optional = type(None) in slots.members(slots.hints(Recipe)[slot])
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    named = "" not in slots.techniques(Recipe, slot)
    word = str(value) if isinstance(value, (str, os.PathLike)) else None
    if optional and (value is None or (word is not None and word.lower() in slots.NONE_WORDS)):
        return None
    if word is not None and (named or slot in SHORTHAND):
        return {SHORTHAND.get(slot, "name"): word}
    forms = "a technique's name or a mapping of settings" if named else "a mapping of settings"
    raise InputError(_at(where, f"{slot} must be {forms}, got {value!r}."))


def _nest_overrides(overrides: Mapping[str, object]) -> dict[str, Any]:
    """Turn ``{"adversary": "pgd", "adversary.steps": "5"}`` into ``{"adversary": {"name": "pgd", "steps": "5"}}``."""
    tree: dict[str, Any] = {}
    for key in sorted(overrides, key=lambda k: "." in k):  # whole slots before their settings
        value = overrides[key]
        value = FlagText(value) if isinstance(value, str) else value
        slot, dot, name = key.partition(".")
        if not dot:
            tree[slot] = value
            continue
        if slot not in slots.hints(Recipe) or not slots.techniques(Recipe, slot):
            whole = slots.nearest(slot, (s for s in slots.hints(Recipe) if slots.techniques(Recipe, s)))
            raise InputError(f"{key}: no part of a recipe is called {slot}{whole}")
        entries = _mapping(slot, tree.get(slot, {}), "")
        if entries is None:
            raise InputError(f"{key} contradicts {slot}: none; leave one of them out.")
        tree[slot] = {**entries, name: value}
    return tree


def _layers(
    source: Source, folder: Path | None = None, seen: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, settings) of the recipe and of what it extends, the base first."""
    if isinstance(source, Recipe):
        yield "recipe", as_tree(source)
        return
    if isinstance(source, Mapping):
        where, tree, home = "recipe", dict(source), None
    else:
        where, tree, home = _read_source(source, folder)
    base = tree.pop(EXTENDS, None)
    if base is not None:
        if not isinstance(base, str):
            raise InputError(_at(where, f"{EXTENDS} must be the name or the file of one recipe, got {base!r}."))
        if where in seen:
            raise InputError(f"{where}: {EXTENDS} runs in a circle ({' -> '.join((*seen, where))}).")
        yield from _layers(base, home, (*seen, where))
    yield where, tree


def _read_source(source: str | os.PathLike[str], folder: Path | None) -> tuple[str, dict[str, Any], Path | None]:
    """Return (where, settings, folder) of a shipped recipe or a file; a relative path starts at ``folder``."""
    if source in shipped.NAMES:
        return f"recipe {source}", yaml_core.parse(shipped.text(str(source)), f"recipe {source}"), None
    path = (folder or Path()) / source
    if not _is_file(path):
        if path.suffix in (".yaml", ".yml"):
            raise InputError(f"{path}: no such recipe file.")
        hint = slots.nearest(str(source), shipped.NAMES)
        raise InputError(f"{str(source)[:200]!r} is neither a recipe file nor a shipped recipe{hint}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}).") from None
    tree = yaml_core.parse(text, str(path))
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a recipe must be a mapping of settings such as 'model: roberta-base'.")
    return str(path), tree, path.parent


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        tree = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return {"name": tree.pop("name"), **tree} if "name" in tree else tree
    return list(value) if isinstance(value, tuple) else value


def _at(where: str, sentence: str) -> str:
    return f"{where}: {sentence}" if where else sentence
