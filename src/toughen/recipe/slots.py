"""From plain values (YAML, flags) to a frozen dataclass of slots, and from its declaration to help and clear refusals.

A *slot* is a field of the recipe whose type is a dataclass (``data``, ``training``) or a union of dataclasses told
apart by ``name`` (``objective``, ``adversary``, ``average``: the *techniques*). Nothing here knows one by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from toughen.errors import InputError
from toughen.recipe import yaml_core

NONE_WORDS = ("none", "null", "~", "")


class FlagText(str):
    """A value from the command line: text whose type is the type of the field it is meant for."""

    __slots__ = ()


@dataclass(frozen=True)
class Setting:
    """One field of a recipe as the user sees it.

    Attributes:
        key: ``slot.field``, or the field alone for one of the recipe's own.
        annotation: the field's type.
        default: the field's default.
        help: its one line of help.
    """

    key: str
    annotation: Any
    default: object
    help: str


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the resolved types of a dataclass's fields."""
    found = get_type_hints(cls)
    return {f.name: found[f.name] for f in fields(cls)}


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union; a type that is none is its own only member."""
    is_union = get_origin(annotation) not in (None, Literal, tuple)
    return get_args(annotation) if is_union else (annotation,)


@cache
def techniques(recipe: type, slot: str) -> dict[str, type]:
    """Return the slot's dataclasses by technique name: one under "" if it has no name, none for a plain value."""
    classes = [c for c in members(hints(recipe)[slot]) if is_dataclass(c) and isinstance(c, type)]
    return {next((str(f.default) for f in fields(c) if f.name == "name"), ""): c for c in classes}


def settings(cls: type, prefix: str = "") -> list[Setting]:
    """Return what a user can set on a dataclass; ``name`` is not among it, it chooses the class."""
    types = hints(cls)
    return [
        Setting(prefix + f.name, types[f.name], f.default, str(f.metadata.get("help", "")))
        for f in fields(cls)
        if f.name != "name"
    ]


def describe(annotation: Any) -> str:
    """Return the values that a type takes, in words: "a whole number or null"."""
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text", NoneType: "null"}
    parts = []
    for member in members(annotation):
        if get_origin(member) is Literal:
            choices = [str(choice) for choice in get_args(member)]
            parts.append(choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}")
        elif get_origin(member) is tuple:
            parts.append(describe(get_args(member)[0]).removeprefix("a ") + "s in a list")
        else:
            parts.append(words[member])
    return " or ".join(parts)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the nearest known name, or what is known when none is near."""
    names = list(known)
    ends = {n.rpartition(".")[2]: n for n in names}
    close = get_close_matches(name.rpartition(".")[2], ends, n=1, cutoff=0.5)
    return f"; did you mean {ends[close[0]]}?" if close else f"; known: {', '.join(names)}."


def build(recipe: type, tree: Mapping[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Check every value of a recipe and return its fields as objects.

    Args:
        recipe: the dataclass of slots.
        tree: a value per field; a slot is a mapping or None.
        origins: where a key (``slot`` or ``slot.field``) was set last, for messages; "" = the command line.

    Raises:
        InputError: for the first wrong key or value.
    """
    from pydantic import ValidationError

    typed = {name: _convert_texts(recipe, name, value) for name, value in tree.items()}
    try:
        # JSON, because pydantic's strict mode takes a mapping for a dataclass and a list for a tuple only from there.
        made = _schema(recipe).model_validate_json(json.dumps(typed, default=_plain))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    else:
        return {name: getattr(made, name) for name in typed}
    key, sentence = _sentence(recipe, typed, problem)
    origin = origins.get(key) or ("" if key in origins else origins.get(key.partition(".")[0], ""))
    raise InputError(f"{origin}: {sentence}" if origin else sentence)


@cache
def _schema(recipe: type) -> Any:
    """Return the pydantic model that mirrors the recipe: techniques as unions told apart by ``name``."""
    from pydantic import ConfigDict, Field, create_model

    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    types: dict[str, Any] = {}
    for name, annotation in hints(recipe).items():
        classes = tuple(techniques(recipe, name).values())
        if len(classes) > 1:
            others = [m for m in members(annotation) if m not in classes]
            annotation = Annotated[_union(classes), Field(discriminator="name")]
            annotation = _union((annotation, *others))
        types[name] = (annotation, ...)
    return create_model(recipe.__name__, __config__=config, **types)


def _union(types: tuple[Any, ...]) -> Any:
    union = types[0]
    for other in types[1:]:
        union = union | other
    return union


def _convert_texts(recipe: type, slot: str, value: Any) -> Any:
    """Give every text from the command line the type of its field; one for an unknown field stays text."""
    if isinstance(value, FlagText):
        return parse_flag(value, hints(recipe)[slot])
    if not isinstance(value, Mapping):
        return value
    name = value.get("name", "")
    cls = techniques(recipe, slot).get(name) if isinstance(name, str) else None
    types = hints(cls) if cls else {}
    return {
        key: parse_flag(entry, types[key]) if isinstance(entry, FlagText) and key in types else entry
        for key, entry in value.items()
    }


def parse_flag(text: str, annotation: Any) -> Any:
    """Read a command-line value for a field of this type: "5", "2e-5", "true", "none", "1,2.5"."""
    kinds = members(annotation)
    if NoneType in kinds and text.strip().lower() in NONE_WORDS:
        return None
    if str in kinds:
        return str(text)
    if any(get_origin(kind) is tuple for kind in kinds) and "," in text and not text.lstrip().startswith("["):
        text = f"[{text}]"
    try:
        return yaml_core.parse(text, "")
    except InputError:
        return str(text)


def _plain(value: object) -> object:
    """Return a JSON value for a number of numpy's or a path; other objects as their text, which no number accepts."""
    return value.item() if hasattr(value, "item") else str(value)


def _sentence(recipe: type, tree: Mapping[str, Any], problem: Mapping[str, Any]) -> tuple[str, str]:
    """Turn pydantic's first finding into (key, one sentence)."""
    slot, *rest = (str(part) for part in problem["loc"])
    classes = techniques(recipe, slot) if slot in hints(recipe) else {}
    technique = rest.pop(0) if rest and rest[0] in classes else ""
    key = f"{slot}.{rest[0]}" if rest else slot
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause).split()[0], str(cause)
    untold = problem["type"] in ("union_tag_invalid", "union_tag_not_found")
    if untold or (rest == ["name"] and "" not in classes):
        return _no_technique(slot, tree[slot], classes)
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return key, _unknown(key, technique or slot, classes)
    technique = technique or next(iter(classes), "")  # a slot with one technique is no union
    annotation = hints(classes[technique])[rest[0]] if rest else hints(recipe)[slot]
    value = tree[slot][rest[0]] if rest else tree[slot]
    rule = describe(annotation).replace(
        "a number", "a finite number" if problem["type"] == "finite_number" else "a number"
    )
    return key, f"{key} must be {rule}, got {value!r}."


def _no_technique(slot: str, value: Mapping[str, Any], classes: Mapping[str, type]) -> tuple[str, str]:
    if "name" in value:
        return f"{slot}.name", f"{slot}: unknown technique {str(value['name'])!r}{nearest(str(value['name']), classes)}"
    key = f"{slot}.{next(iter(value), 'name')}"
    return key, f"{key}: no {slot} is chosen; choose one with {slot}: {' | '.join(classes)}."


def _unknown(key: str, owner: str, classes: Mapping[str, type]) -> str:
    """Say which key was meant, or which other technique has it."""
    slot, _, name = key.partition(".")
    others = [t for t, cls in classes.items() if name in hints(cls)]
    if others:
        return f"{key}: unknown key for {owner}; {', '.join(others)} {'has' if len(others) == 1 else 'have'} it."
    cls = classes.get(owner) or next(iter(classes.values()))
    return f"{key}: unknown key for {owner}{nearest(key, [s.key for s in settings(cls, slot + '.')])}"
