"""YAML as people read it: the 1.2 core rules, so that `2e-5` is a number, `yes` a word and a repeated key an error."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from toughen.errors import InputError

_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
)


_DIGITS, _DEPTH, _VALUES = 300, 20, 10_000
"""What no recipe exceeds: characters of a number, levels, values (of another file `parse` is told how many)."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name and form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith(":str"):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} appears twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either YAML version would read as something other than a string."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if len(text) > _DIGITS:
        problem = f"a number of {len(text):,} digits"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _tag, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), ["" if c == "\0" else c for c in _first]
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)


def parse(text: str, where: str, *, of: str = "a recipe", most: int = _VALUES) -> Any:
    """Read one YAML document of plain values.

    Args:
        text: the document.
        where: names the file in messages.
        of: what it should be, in messages.
        most: values that it may hold.

    Raises:
        InputError: if it is not YAML, or no plain values of reasonable size.
    """
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader with fewer types)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not valid YAML ({error.problem or error.context}).") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML ({' '.join(str(error).split())}).") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply for {of}.") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:  # a tag (!!int, !!timestamp) on what it is not for
        raise InputError(f"{where}: not valid YAML (a tag does not fit its value: {error}).") from None
    _check_size(tree, where, of, most)
    return tree


def _check_size(tree: Any, where: str, of: str, most: int) -> None:
    """Refuse anchors that contain themselves, or that unfold to more than such a file holds.

    Raises:
        InputError: saying which.
    """
    count = 0
    waiting = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > _DEPTH:
            raise InputError(f"{where}: nested too deeply for {of}, or an anchor (&) contains itself.")
        if count > most:
            raise InputError(f"{where}: more than {most:,} values, too many for {of}; its anchors unfold to them.")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
        waiting += [(one, depth + 1) for one in inner]


def dump(tree: dict[str, Any]) -> str:
    """Write plain values as block YAML, in the order given."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
