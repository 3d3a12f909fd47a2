"""Find the text and the label column, by name first, by content where the names say nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.raw import Raw, listed
from toughen.errors import InputError

# fmt: off
TEXT_NAMES = (
    "text", "texts", "sentence", "sentences", "review", "reviews", "review_text", "review_body", "content", "document",
    "comment", "comment_text", "tweet", "message", "sms", "utterance", "question", "query", "body", "post", "passage",
    "description", "input",
)
LABEL_NAMES = (
    "label", "labels", "label_id", "coarse_label", "sentiment", "target", "class", "class_id", "category", "polarity",
    "stars", "rating", "score", "intent", "emotion", "topic", "y", "gold", "output",
)
# fmt: on
ROWS_PER_CLASS = 2  # a column whose values recur at least so often, on average, may hold labels


def find_text(raw: Raw, named: str | None, label: str | None = None) -> str:
    """Return the name of the text column.

    Args:
        raw: the split.
        named: what the user called it; None = find it.
        label: a column that it cannot be.

    Raises:
        InputError: if it is missing, or if none or several columns could be it.
    """
    if named is not None:
        return _present(raw, named, "text")
    others = [name for name in raw.columns if name != label]
    found = _by_name(raw, others, TEXT_NAMES, "text")
    return found or _only([name for name in others if _reads_like_text(raw, name)], raw, "text")


def find_label(raw: Raw, named: str | None, text: str | None = None) -> str:
    """Return the name of the label column; arguments and errors as for :func:`find_text`."""
    if named is not None:
        return _present(raw, named, "label")
    others = [name for name in raw.columns if name != text]
    found = _by_name(raw, others, LABEL_NAMES, "label")
    return found or _only([name for name in others if _recurs(raw, name)], raw, "label")


def find_columns(raw: Raw, text: str | None, label: str | None) -> tuple[str, str]:
    """Return the names of the text and the label column.

    Raises:
        InputError: if one is missing, or if none or several columns could be it.
    """
    known_label = label or _by_name(raw, [name for name in raw.columns if name != text], LABEL_NAMES, "label")
    text = find_text(raw, text, known_label)
    return text, find_label(raw, known_label, text)


def _present(raw: Raw, name: str, role: str) -> str:
    if name not in raw.columns:
        raise InputError(
            f"{raw.name} has no {role} column {name!r}; its columns are {listed(raw.columns)}: "
            f"name one of them with --data.{role}."
        )
    return name


def _by_name(raw: Raw, columns: Sequence[str], known: Sequence[str], role: str) -> str | None:
    """Return the column with a usual name; "text" and "label" themselves go before the others."""
    usual = [name for name in columns if name.lower() in known]
    exact = [name for name in usual if name.lower() == known[0]]
    choice = exact or usual
    return _only(choice, raw, role) if choice else None


def _only(candidates: Sequence[str], raw: Raw, role: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise InputError(
            f"{raw.name} has no {role} column that can be told by name or content; its columns are "
            f"{listed(raw.columns)}: name one with --data.{role}, and see that the first line of a table names them."
        )
    raise InputError(
        f"{raw.name} has several columns that could be the {role} ({listed(candidates)}); choose with --data.{role}."
    )


def _reads_like_text(raw: Raw, name: str) -> bool:
    return _is_words(raw, name) and not _recurs(raw, name)


def _is_words(raw: Raw, name: str) -> bool:
    """Tell text from numbers, also where the format writes numbers as text."""
    column = raw.table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return name in raw.mixed
    return raw.typed or not all_numbers(raw.column(name))


def _recurs(raw: Raw, name: str) -> bool:
    column = raw.table[name]
    if pa.types.is_nested(column.type) or pa.types.is_floating(column.type) or name in raw.mixed:
        return False
    return bool(pc.count_distinct(column).as_py() * ROWS_PER_CLASS <= len(column))


def all_numbers(texts: pa.ChunkedArray) -> bool:
    """Tell whether every value that is not empty reads as a number."""
    numbers = pc.match_substring_regex(texts, r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
    return bool(pc.all(pc.or_(numbers, pc.equal(texts, "")), min_count=0).as_py())
