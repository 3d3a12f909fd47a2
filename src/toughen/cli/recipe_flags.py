"""Every setting of a recipe as a flag, and as a line of `toughen train --help`: both read from the dataclasses."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from toughen.errors import InputError
from toughen.recipe.recipe import SHORTHAND, Recipe, fields_of
from toughen.recipe.slots import Setting, hints, members, nearest, techniques

ALIASES = {"unlabelled": "data.unlabelled", "augment": "data.augment", "group": "data.group", "seed": "training.seed"}
WIDTH = 80
GLUE = "\0"  # a space at which no line is broken


def split(args: Sequence[str], own: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """Divide arguments into the command's own and a recipe's: ``--a.b 1``, ``--a.b=1``, ``--a pgd``.

    Returns:
        What is left, and {key: value}; a later flag wins over an earlier one.

    Raises:
        InputError: for an unknown flag or one without its value.
    """
    rest, found = [], {}
    remaining = iter(args)
    for token in remaining:
        flag, equals, value = token.partition("=")
        name = flag.removeprefix("--")
        if not flag.startswith("--") or flag in own:
            rest.append(token)
            continue
        if name.partition(".")[0] not in hints(Recipe) and name not in ALIASES:
            known = [f"--{n}" for n in (*hints(Recipe), *ALIASES)]
            raise InputError(f"{flag}: unknown option{nearest(flag, [*known, *sorted(own)])}")
        if not equals:
            value = next(remaining, "--")
        if value.startswith("--"):
            raise InputError(f"{flag} needs a value.")
        found[ALIASES.get(name, name)] = value
    return rest, found


def help_lines() -> list[str]:
    """Return the help of every setting, grouped by slot, at most 80 columns wide."""
    lines = ["The recipe. Each of its settings is a flag; these change the recipe named:"]
    for setting in fields_of():
        choices = techniques(Recipe, setting.key)
        lines.append("")
        if not choices:
            lines += _entry(setting)
            continue
        lines.append(f"{setting.key.upper()}: {setting.help}")
        lines += _choice(setting, [name for name in choices if name])
        for name, aliased in ALIASES.items():
            if aliased.startswith(setting.key + "."):
                lines.append(f"  --{name}: short for --{aliased}")
        for entry, owners in variants(setting.key):
            lines += _entry(entry, owners if len(owners) < len(choices) else ())
    return lines


def variants(slot: str) -> Iterator[tuple[Setting, tuple[str, ...]]]:
    """Yield each setting of a slot once, with the techniques in which it has this very form."""
    owners: dict[Setting, list[str]] = {}
    for name in techniques(Recipe, slot):
        for setting in fields_of(slot, name):
            owners.setdefault(setting, []).append(name)
    keys = list(dict.fromkeys(setting.key for setting in owners))
    for setting, names in sorted(owners.items(), key=lambda item: keys.index(item[0].key)):
        yield setting, tuple(names)


def _choice(slot: Setting, names: list[str]) -> list[str]:
    """Return the line that says what the slot's own flag takes."""
    if slot.key in SHORTHAND:
        return [f"  --{slot.key}: short for --{slot.key}.{SHORTHAND[slot.key]}"]
    if not names:
        return []
    none = ["none"] if slot.default is None else []
    return _wrapped(f"--{slot.key} {'|'.join(names + none)}", "  ", "      ")


def _entry(setting: Setting, owners: Sequence[str] = ()) -> list[str]:
    """Return the flag with what it takes, then whose it is, what it does and its default."""
    whose = f"{', '.join(owners)}: " if owners else ""
    default = "" if setting.default == "" else f" [default:{GLUE}{_word(setting.default)}]"
    head = f"--{setting.key} {metavar(setting.annotation)}"
    return _wrapped(head, "  ", "      ") + _wrapped(whose + setting.help + default, "      ", "      ")


def metavar(annotation: Any) -> str:
    """Return what a flag takes: NUMBER, N, true|false, TEXT, one of its words, or several of these."""
    words = {float: "NUMBER", int: "N", bool: "true|false", str: "TEXT", NoneType: "none"}
    return "|".join(
        "|".join(map(str, get_args(member)))
        if get_origin(member) is Literal
        else f"{metavar(get_args(member)[0])},..."
        if get_origin(member) is tuple
        else words[member]
        for member in members(annotation)
    )


def _word(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _wrapped(text: str, first: str, later: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH - 1, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
    return [line.replace(GLUE, " ") for line in lines]
