"""Versions of the defaults: what a recipe leaves unsaid keeps the meaning that it had when the recipe was written.

When a default moves, or a new setting is not off by default: raise ``LATEST`` by one, and write down under the new
version what held before. A file says the version that it was written for (``defaults: 2``); one that says none is of
today, unless a run wrote it, which spells out every setting that there was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from toughen.errors import InputError

KEY = "defaults"
LATEST = 2

BEFORE: Mapping[int, Mapping[str, object]] = {
    2: {"probe": False, "head.pooling": "model", "training.learning_rate": 2e-5},
}
"""By version: the defaults that it changed, as they were before it."""
SPELT_OUT = frozenset(
    ("description", "model", "data", "inputs", "objective", "adversary", "average", "head", "adapter", "training")
)
"""What every recipe.yaml of a run spelt out before files said a version."""


def version_of(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    """Return the version of the defaults that a recipe was written for.

    Args:
        layers: (where, settings) of the recipe and of what it extends, the base first; the last one to say it decides.

    Raises:
        InputError: if it is no version, or one of a later toughen.
    """
    found = LATEST
    for where, tree in layers:
        if KEY in tree:
            found = _check_version(tree[KEY], where)
        elif tree.keys() >= SPELT_OUT:
            found = 1
    return found


def _check_version(said: object, where: str) -> int:
    try:
        version = int(str(said))
    except ValueError:
        version = 0
    if not 1 <= version <= LATEST:
        newer = "; a later version of toughen wrote it: update toughen" if version > LATEST else ""
        at = f"{where}: " if where else ""
        raise InputError(f"{at}{KEY} must be a whole number from 1 to {LATEST}, got {said!r}{newer}.")
    return version


def lay_under(tree: dict[str, Any], version: int) -> None:
    """Put back into a recipe of today's defaults what those of an earlier version were."""
    for later in range(LATEST, version, -1):
        for key, value in BEFORE[later].items():
            slot, dot, name = key.partition(".")
            if dot:
                tree[slot] = {**tree[slot], name: value}
            else:
                tree[slot] = value
    tree[KEY] = version
