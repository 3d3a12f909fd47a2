"""Entities that a sequence of tags names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_OUTSIDE = "O"
_NEITHER = ("O", ".")  # prefixes that belong to no entity
_PREFIXES = ("B", "I", "E", "S")
_UNTYPED = "_"  # the type of a bare prefix


class Entity(NamedTuple):
    """One entity: its type and the words start to end - 1, counted from 0."""

    type: str
    start: int
    end: int


def find_entities(tags: Sequence[str]) -> list[Entity]:
    """Read entities off tags in IOB1, IOB2, IOE or IOBES, in order, the way seqeval's default mode does.

    Broken sequences have entities, too: `I-PER` after `O` starts one, and a change of type ends one and starts the
    next. (Source: conlleval.pl of the CoNLL-2000 shared task; ``seqeval.metrics.sequence_labeling.get_entities``,
    whose ends are inclusive.)
    """
    found: list[Entity] = []
    start, before, type_before = 0, _OUTSIDE, ""
    for i, tag in enumerate([*tags, _OUTSIDE]):
        now, type_now = _parts(tag)
        changed = type_before != type_now
        if _ends(before, now) or (before not in _NEITHER and changed):
            found.append(Entity(type_before, start, i))
        if _starts(before, now) or (now not in _NEITHER and changed):
            start = i
        before, type_before = now, type_now
    return found


def entity_types(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the types of entities that tags name, sorted; none where they are no entity tags (parts of speech)."""
    if not any(tag in _PREFIXES or (tag[:1] in _PREFIXES and tag[1:2] == "-") for tag in tags):
        return ()
    return tuple(sorted({kind for prefix, kind in map(_parts, tags) if prefix not in _NEITHER}))


def _parts(tag: str) -> tuple[str, str]:
    """Split a tag into prefix and type."""
    return tag[:1], tag[1:].split("-", maxsplit=1)[-1] or _UNTYPED


def _ends(before: str, now: str) -> bool:
    """Say whether an entity ends between two prefixes of one type."""
    return before in ("E", "S") or (before in ("B", "I") and now in ("B", "S", _OUTSIDE))


def _starts(before: str, now: str) -> bool:
    """Say whether an entity starts between two prefixes of one type."""
    return now in ("B", "S") or (before in ("E", "S", _OUTSIDE) and now in ("I", "E"))
