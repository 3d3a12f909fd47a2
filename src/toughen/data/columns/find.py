"""Find the columns of a split by name, and by content where the names say nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.labels import NULL_WORDS
from toughen.data.read.chunks import hash_texts, pieces
from toughen.data.read.raw import Raw, quote_names
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
WORD_NAMES = ("tokens", "words", *TEXT_NAMES)
TAG_NAMES = ("labels", "label", "tags", "ner_tags", "ner", "tag", "token_labels")
PAIRS = (
    ("text", "text_pair"), ("text_a", "text_b"), ("text1", "text2"), ("text_1", "text_2"),
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"), ("s1", "s2"),
    ("premise", "hypothesis"), ("question1", "question2"), ("question_1", "question_2"), ("question", "sentence"),
    ("question", "passage"), ("query", "passage"), ("query", "document"),
)
# fmt: on
ROWS_PER_CLASS = 2  # a column whose values recur at least so often, on average, may hold labels


class SeveralColumnsError(InputError):
    """Several columns could be the text, or the label.

    Attributes:
        role: which of the two, as the setting is called.
        likeliest: of these columns, the one whose name is the most usual.
    """

    def __init__(self, sentence: str, role: str, candidates: Sequence[str]) -> None:
        super().__init__(sentence)
        self.role = role
        usual = LABEL_NAMES if role == "label" else TEXT_NAMES
        ranks = {name: usual.index(name.lower()) for name in candidates if name.lower() in usual}
        self.likeliest = min(candidates, key=lambda name: ranks.get(name, len(usual)))


def present(raw: Raw, name: str, role: str) -> str:
    """Return the name of a column that the user named.

    Raises:
        InputError: if there is no such column.
    """
    if name not in raw.columns:
        raise InputError(
            f"{raw.name} has no {role.replace('_', ' ')} column {name!r}; its columns are {quote_names(raw.columns)}: "
            f"name one of them with --data.{role}."
        )
    return name


def find_text(raw: Raw, taken: Collection[str | None] = ()) -> str:
    """Return the name of the text column, which is none of those taken.

    Raises:
        InputError: if none or several columns could be it.
    """
    others = [name for name in raw.columns if name not in taken]
    found = by_name(raw, others, TEXT_NAMES, "text")
    return found or only([name for name in others if is_text(raw, name) and not _recurs(raw, name)], raw, "text")


def find_pair(raw: Raw, taken: Collection[str | None] = ()) -> tuple[str, str] | None:
    """Return the two text columns of a pair, if both stand there under usual names and no other is called a text."""
    others = [name for name in raw.columns if name not in taken and is_text(raw, name)]
    lower = {name.lower(): name for name in others}
    usual = {name for name in lower if name in TEXT_NAMES}
    return next(((lower[a], lower[b]) for a, b in PAIRS if a in lower and b in lower and usual <= {a, b}), None)


def partner(raw: Raw, pair: str) -> str | None:
    """Return the first text of a pair whose second one was named."""
    lower = {name.lower(): name for name in raw.columns}
    return next((lower[a] for a, b in PAIRS if b == pair.lower() and a in lower), None)


def usual_label(raw: Raw, taken: Collection[str | None] = ()) -> str | None:
    """Return the label column, if its name tells.

    Raises:
        InputError: if several names do.
    """
    return by_name(raw, [name for name in raw.columns if name not in taken], LABEL_NAMES, "label")


def find_label(raw: Raw, taken: Collection[str | None] = (), *, numbers: bool = False) -> str:
    """Return the name of the label column, which is none of those taken.

    Args:
        raw: the split.
        taken: columns that it cannot be.
        numbers: whether any column of numbers may be it (regression), else those whose values recur, else lists.

    Raises:
        InputError: if none or several columns could be it.
    """
    others = [name for name in raw.columns if name not in taken]
    if numbers:
        return only([name for name in others if is_numeric(raw, name)], raw, "label")
    lists = [name for name in others if is_list(raw, name)]
    return only([name for name in others if _recurs(raw, name)] or lists, raw, "label")


def find_words(raw: Raw, taken: Collection[str | None] = ()) -> str:
    """Return the column of lists of words, as :func:`find_text` does."""
    others = [name for name in raw.columns if name not in taken and is_list(raw, name, of_text=True)]
    others = [name for name in others if name.lower() not in TAG_NAMES] or others
    return by_name(raw, others, WORD_NAMES, "text") or only(others, raw, "text")


def find_tags(raw: Raw, taken: Collection[str | None] = ()) -> str:
    """Return the column of lists of tags, as :func:`find_label` does."""
    others = [name for name in raw.columns if name not in taken and is_list(raw, name)]
    return by_name(raw, others, TAG_NAMES, "label") or only(others, raw, "label")


def flags(raw: Raw, taken: Collection[str | None] = ()) -> tuple[str, ...]:
    """Return the columns that hold nothing but 0 and 1."""
    return tuple(name for name in raw.columns if name not in taken and _is_flag(raw, name))


def by_name(raw: Raw, columns: Sequence[str], known: Sequence[str], role: str) -> str | None:
    """Return the column with a usual name, the first of these before the others; None if there is none.

    Raises:
        InputError: if several have one.
    """
    usual = [name for name in columns if name.lower() in known]
    exact = [name for name in usual if name.lower() == known[0]]
    choice = exact or usual
    return only(choice, raw, role) if choice else None


def only(candidates: Sequence[str], raw: Raw, role: str) -> str:
    """Return the one candidate.

    Raises:
        InputError: if there is none, or more than one.
    """
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise InputError(
            f"{raw.name} has no {role} column that can be told by name or content; its columns are "
            f"{quote_names(raw.columns)}: name one with --data.{role}, and see that the first line of a table "
            "names them."
        )
    raise SeveralColumnsError(
        f"{raw.name} has several columns that could be the {role} ({quote_names(candidates)}); choose with "
        f"--data.{role}.",
        role,
        candidates,
    )


def kind_of(raw: Raw, name: str) -> pa.DataType:
    """Return the type of a column's values, with dictionary encoding undone."""
    kind = raw.table[name].type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_string(kind: pa.DataType) -> bool:
    """Tell text of any Arrow type."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_text(raw: Raw, name: str) -> bool:
    """Tell text from numbers, also where the format writes numbers as text."""
    if not is_string(kind_of(raw, name)):
        return name in raw.mixed
    return raw.typed or not all_numbers(raw.column(name))


def is_list(raw: Raw, name: str, *, of_text: bool = False) -> bool:
    """Tell a column of lists (of words)."""
    kind = raw.table[name].type
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in checks) and (not of_text or is_string(kind.value_type))


def is_numeric(raw: Raw, name: str) -> bool:
    """Tell a column of numbers, also where the format writes them as text."""
    kind = kind_of(raw, name)
    if is_string(kind):
        return not raw.typed and all_numbers(raw.column(name), NULL_WORDS)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def has_decimals(raw: Raw, name: str) -> bool:
    """Tell a column of numbers of which one is not whole."""
    if name in raw.mixed or not is_numeric(raw, name):
        return False
    values = raw.column(name)
    if is_string(values.type):
        return bool(pc.any(pc.match_substring_regex(values, r"\.0*[1-9]|[eE]-")).as_py())
    values = values.cast(pa.float64())
    return bool(pc.any(pc.and_(pc.is_finite(values), pc.not_equal(values, pc.floor(values)))).as_py())


def _is_flag(raw: Raw, name: str) -> bool:
    if pa.types.is_boolean(kind_of(raw, name)):
        return True
    if name in raw.mixed or not is_numeric(raw, name):
        return False
    values = raw.column(name)
    zero_one = pa.array(["0", "1", "0.0", "1.0"]) if is_string(values.type) else pa.array([0, 1]).cast(values.type)
    return bool(pc.all(pc.is_in(values, value_set=zero_one), min_count=0).as_py())


def _recurs(raw: Raw, name: str) -> bool:
    column = raw.table[name]
    if pa.types.is_nested(column.type) or pa.types.is_floating(column.type) or name in raw.mixed:
        return False
    return count_distinct(column) * ROWS_PER_CLASS <= len(column)


def count_distinct(column: pa.ChunkedArray) -> int:
    """Return how many different values a column has, nulls apart; texts are told apart by 64 bits of a hash."""
    if not is_string(column.type):
        return int(pc.count_distinct(column).as_py())
    found = [hash_texts(pc.unique(piece).drop_null()) for piece in pieces(column)]
    return len(np.unique(np.concatenate(found))) if found else 0


def all_numbers(texts: pa.ChunkedArray, others: pa.Array | None = None) -> bool:
    """Tell whether every value that is not empty, and none of the ``others``, reads as a number."""
    return all(_are_numbers(piece, others) for piece in pieces(texts))


def _are_numbers(texts: pa.Array, others: pa.Array | None) -> bool:
    numbers = pc.match_substring_regex(texts, r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
    fitting = pc.or_(numbers, pc.equal(texts, ""))
    if others is not None:
        fitting = pc.or_(fitting, pc.is_in(texts, value_set=others.cast(texts.type)))
    return bool(pc.all(fitting, min_count=0).as_py())
