"""Every setting of a recipe as a flag, and as a line of `--help SLOT`: both read from the dataclasses."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from toughen.errors import InputError
from toughen.recipe.recipe import SHORTHAND, Recipe, fields_of
from toughen.recipe.slots import Setting, hints, members, nearest, techniques

ALIASES = {
    "unlabelled": "data.unlabelled",
    "unlabeled": "data.unlabelled",
    "augment": "data.augment",
    "group": "data.group",
    "seed": "training.seed",
}
WIDTH = 80
ALL = "all"
SLOTS = (*(setting.key for setting in fields_of() if techniques(Recipe, setting.key)), ALL)
"""What ``--help`` tells the settings of."""
COMMON = (
    "model",
    "data",
    "data.text",
    "data.label",
    "training.epochs",
    "training.batch_size",
    "training.learning_rate",
    "training.max_length",
    "seed",
)
"""The settings that most people change, by their shortest flags."""
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


def overview() -> list[str]:
    """Return what `toughen train --help` says of the recipe: its commonest settings, and its slots."""
    lines = ["Settings of the recipe, a flag each, change the recipe named:"]
    known = {setting.key: setting for slot in (None, "data", "training") for setting in fields_of(slot)}
    for flag in COMMON:
        key = ALIASES.get(flag, f"{flag}.{SHORTHAND[flag]}" if flag in SHORTHAND else flag)
        lines.append(f"  {f'--{flag} {metavar(known[key].annotation)}':38}{known[key].help.partition(';')[0]}")
    lines += [
        "",
        "All others stand in slots; toughen train --help SLOT tells their settings, --help all those of all:",
    ]
    for setting in fields_of():
        if setting.key in SLOTS:
            lines.append(f"  {setting.key:12}{setting.help.partition(';')[0]}{_names(setting)}")
    return lines


def pointer() -> list[str]:
    """Return where a command that takes a recipe's settings tells them."""
    slots = f"{', '.join(SLOTS[:-1])} or {ALL}"
    text = f"Settings of the recipe are flags (--training.epochs 2); toughen train --help SLOT tells them: {slots}."
    return textwrap.wrap(text, WIDTH - 1, break_on_hyphens=False)


def slot_lines(slot: str, technique: str | None = None) -> list[str]:
    """Return the help of a slot's settings, of one technique if it is named, at most 80 columns wide."""
    if slot == ALL:
        return help_lines()
    (setting,) = (setting for setting in fields_of() if setting.key == slot)
    return _slot(setting, technique)


def help_lines() -> list[str]:
    """Return the help of every setting, grouped by slot, at most 80 columns wide."""
    lines = ["The recipe. Each of its settings is a flag; these change the recipe named:"]
    for setting in fields_of():
        lines += ["", *(_slot(setting) if techniques(Recipe, setting.key) else _entry(setting))]
    return lines


def _slot(setting: Setting, technique: str | None = None) -> list[str]:
    choices = techniques(Recipe, setting.key)
    term, _, question = setting.help.partition("; ")
    lines = [f"{setting.key.upper()}: {term}", f"  {question}"]
    lines += _choice(setting, [name for name in choices if name])
    lines += [f"  --{name}: short for --{full}" for name, full in ALIASES.items() if full.startswith(f"{setting.key}.")]
    if technique in choices:
        return lines + [line for entry in fields_of(setting.key, technique) for line in _entry(entry)]
    for entry, owners in variants(setting.key):
        lines += _entry(entry, owners if len(owners) < len(choices) else ())
    return lines


def _names(slot: Setting) -> str:
    """Return the techniques that the slot may hold, after a colon; nothing if they have no names."""
    names = [name for name in techniques(Recipe, slot.key) if name]
    return f": {', '.join(names)}" if names else ""


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
    return _wrap(f"--{slot.key} {'|'.join(names + none)}", "  ", "      ")


def _entry(setting: Setting, owners: Sequence[str] = ()) -> list[str]:
    """Return the flag with what it takes, then whose it is, what it does and its default."""
    whose = f"{', '.join(owners)}: " if owners else ""
    default = "" if setting.default == "" else f" [default:{GLUE}{_word(setting.default)}]"
    head = f"--{setting.key} {metavar(setting.annotation)}"
    return _wrap(head, "  ", "      ") + _wrap(whose + setting.help + default, "      ", "      ")


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


def _wrap(text: str, first: str, later: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH - 1, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
    return [line.replace(GLUE, " ") for line in lines]
