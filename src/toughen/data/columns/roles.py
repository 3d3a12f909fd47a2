"""Decide which columns of a split are what, and which task they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow.compute as pc

from toughen.data.columns.find import (
    TEXT_NAMES,
    WORD_NAMES,
    find_label,
    find_pair,
    find_tags,
    find_text,
    find_words,
    flags,
    has_decimals,
    is_list,
    is_string,
    kind_of,
    partner,
    present,
    usual_label,
)
from toughen.data.columns.renames import Renames
from toughen.data.config import Data, parse_renames
from toughen.data.read.raw import Raw, brief, quote_names
from toughen.errors import InputError
from toughen.tasks import TaskName

NO_LABELS: tuple[str, ...] = ()
Soft = Literal["probabilities", "votes"]


@dataclass(frozen=True)
class Columns:
    """The columns of a source that are read.

    Attributes:
        text: the text; for tokens the words.
        label: the label; several 0/1 columns for multi-label; of soft labels their columns.
        pair: the second text, if there is one.
        group: what keeps rows together, if anything does.
        weight: what each row counts for, if not all count alike.
        renames: what labels are read as (`data.rename_labels`).
        soft: what the label columns hold, if labels are soft.
    """

    text: str
    label: tuple[str, ...] = NO_LABELS
    pair: str | None = None
    group: str | None = None
    weight: str | None = None
    renames: Renames = field(default_factory=dict, hash=False)
    soft: Soft | None = None


def choose(raw: Raw, config: Data, *, pairs: bool | None = None) -> tuple[Columns, TaskName]:
    """Return the columns of the training rows and the task that they make.

    A text of lists of words beside a list of tags makes tokens; a label of lists, or several 0/1 columns, multi-label;
    a label with decimals regression; anything else single-label, as are soft labels. ``config`` overrides each of
    these. ``pairs`` is as in :func:`choose_texts`.

    Raises:
        InputError: if a column is missing or cannot be told, or if settings contradict the data.
    """
    group, weight = (
        None if name is None else present(raw, name, part)
        for name, part in ((config.group, "group"), (config.weight, "weight"))
    )
    if config.label_columns is not None or config.vote_columns is not None:
        return _soft_columns(raw, config, group, weight, pairs), "single-label"
    if config.task == "tokens" or (config.task == "auto" and _looks_tagged(raw, config)):
        return _tagged_columns(raw, config, group, weight), "tokens"
    text, pair = choose_texts(raw, config.text, config.text_pair, (config.label, group, weight), pairs=pairs)
    label = _labels(raw, config, (text, pair, group, weight))
    _refuse_row_as_header(raw, label[0])
    renames = parse_renames(config.rename_labels)
    columns = Columns(text or find_text(raw, (*label, group, weight)), label, pair, group, weight, renames)
    task = infer(raw, columns.label) if config.task == "auto" else config.task
    if task != "multi-label" and len(label) > 1:
        raise InputError(
            f"data.label names {len(label)} columns ({quote_names(label)}), which only multi-label has, but data.task "
            f"is {task}; name one of them or leave data.task out."
        )
    return columns, task


def _soft_columns(raw: Raw, config: Data, group: str | None, weight: str | None, pairs: bool | None) -> Columns:
    kind: Soft = "votes" if config.label_columns is None else "probabilities"
    label = soft_label_names(raw, config)
    text, pair = choose_texts(raw, config.text, config.text_pair, (group, weight, *label), pairs=pairs)
    taken = next((name for name in label if name in (text, pair, group, weight)), None)
    if taken is not None:
        raise InputError(
            f"column {taken!r} of {raw.name} is named twice, as a label and as something else; name other columns."
        )
    return Columns(text or find_text(raw, (*label, group, weight)), label, pair, group, weight, soft=kind)


def soft_label_names(raw: Raw, config: Data) -> tuple[str, ...]:
    """Return the columns that ``data.label_columns`` or ``data.vote_columns`` names.

    Raises:
        InputError: if one of them is missing, or one class alone is left.
    """
    setting = "vote_columns" if config.label_columns is None else "label_columns"
    asked = str(getattr(config, setting))
    whole = setting == "vote_columns" and asked in raw.columns
    names = (asked,) if whole else tuple(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    missing = [name for name in names if name not in raw.columns]
    if missing:
        raise InputError(
            f"{raw.name} has no column {quote_names(missing)}, which data.{setting} names; its columns are "
            f"{quote_names(raw.columns)}."
        )
    if setting == "label_columns" and len(names) < 2:
        raise InputError(f"data.label_columns {asked!r} names one column; name one for each of two classes or more.")
    return names


def columns_of_split(raw: Raw, columns: Columns) -> Columns:
    """Return the columns of one split, of which validation and test may have one class per row beside soft labels.

    Raises:
        InputError: if a split has neither the soft labels, whole, nor another label.
    """
    there = [name for name in columns.label if name in raw.columns]
    if columns.soft is None or len(there) == len(columns.label):
        return columns
    lost = quote_names([name for name in columns.label if name not in there])
    taken = (columns.text, columns.pair, columns.group, columns.weight)
    try:
        if there:
            raise InputError(f"it has {quote_names(there)} of them")
        return replace(columns, label=(usual_label(raw, taken) or find_label(raw, taken),), soft=None)
    except InputError as error:
        raise InputError(
            f"{raw.name} has no column {lost}, which holds soft labels in train, and no one column of a class per row "
            f"in their place; its columns are {quote_names(raw.columns)}."
        ) from error


def _refuse_row_as_header(raw: Raw, label: str) -> None:
    """Refuse a table without a header, whose first row would be lost and name the columns."""
    if raw.typed or not is_string(kind_of(raw, label)):
        return
    if pc.any(pc.equal(pc.utf8_trim_whitespace(raw.column(label)), label)).as_py():
        raise InputError(
            f"{raw.name} seems to have no header: {label!r}, the name of the label column, is one of its values; see "
            "that the first line of a table names its columns."
        )


def choose_texts(
    raw: Raw, text: str | None, pair: str | None, taken: tuple[str | None, ...] = (), *, pairs: bool | None = None
) -> tuple[str | None, str | None]:
    """Return the text and the second text; None for what nothing names.

    Args:
        raw: the split.
        text: what the user calls the text.
        pair: what the user calls the second text.
        taken: columns that are neither.
        pairs: whether there must be a second text, or must not; None = whatever is found. A text that is named alone
            is read alone.

    Raises:
        InputError: if a named column is missing, or a second text that there must be.
    """
    text = None if text is None else present(raw, text, "text")
    if pair is not None:
        pair = present(raw, pair, "text_pair")
        return text or partner(raw, pair) or find_text(raw, (*taken, pair)), pair
    found = find_pair(raw, taken) if pairs is not False and (pairs or text is None) else None
    if found and text in (None, found[0]):
        return found
    if pairs:
        raise InputError(
            f"{raw.name} has no second text, which the training data have; its columns are {quote_names(raw.columns)}: "
            "name one with --data.text_pair."
        )
    return text, None


def infer(raw: Raw, label: tuple[str, ...]) -> TaskName:
    """Return the task that the label columns of text make."""
    if len(label) > 1:
        return "multi-label"
    if is_list(raw, label[0]):
        return "multi-label"
    return "regression" if has_decimals(raw, label[0]) else "single-label"


def _labels(raw: Raw, config: Data, taken: tuple[str | None, ...]) -> tuple[str, ...]:
    """Return the label columns: those named, the one with a usual name, or those whose content tells."""
    if config.label is not None:
        return named_labels(raw, config.label)
    usual = usual_label(raw, taken)
    if usual is not None:
        return (usual,)
    taken = (*taken, taken[0] or find_text(raw, taken))
    marks = flags(raw, taken) if config.task == "multi-label" else ()
    return marks if len(marks) > 1 else (find_label(raw, taken, numbers=config.task == "regression"),)


def choose_scored(
    raw: Raw, config: Data, label_names: Sequence[str], *, pairs: bool | None = None
) -> tuple[Columns, TaskName]:
    """Return the columns to score a model on, whose task ``config`` names; the label may be called as in training.

    Args:
        raw: the split.
        config: names the task, and the columns where the user does.
        label_names: the model's labels; for regression the label column of the training data, for multi-label
            perhaps its 0/1 columns.
        pairs: as in :func:`choose_texts`.

    Raises:
        InputError: as :func:`choose`.
    """
    columns = [name for name in label_names if name in raw.columns]
    as_trained = config.task == "regression" or (config.task == "multi-label" and len(columns) > 1)
    if config.label is None and as_trained and len(columns) == len(label_names):
        config = replace(config, label=",".join(columns))
    return choose(raw, config, pairs=pairs)


def named_labels(raw: Raw, label: str) -> tuple[str, ...]:
    """Return the columns that ``a,b,c`` names; a column of that very name goes first.

    Raises:
        InputError: if one of them is missing.
    """
    if label in raw.columns or "," not in label:
        return (present(raw, label, "label"),)
    names = tuple(dict.fromkeys(name.strip() for name in label.split(",") if name.strip()))
    return tuple(present(raw, name, "label") for name in names)


def _looks_tagged(raw: Raw, config: Data) -> bool:
    """Tell lists of words beside lists of tags from texts that are strings."""
    if config.text_pair is not None or not all(_holds_lists(raw, name) for name in (config.text, config.label)):
        return False
    words = [name for name in raw.columns if is_list(raw, name, of_text=True)]
    if config.text is not None:
        return config.text in words
    strings = any(name.lower() in TEXT_NAMES and is_string(kind_of(raw, name)) for name in raw.columns)
    usual = any(name.lower() in WORD_NAMES for name in words)
    return usual and not strings and sum(is_list(raw, name) for name in raw.columns) > 1


def _holds_lists(raw: Raw, name: str | None) -> bool:
    return name is None or (name in raw.columns and is_list(raw, name))


def _tagged_columns(raw: Raw, config: Data, group: str | None, weight: str | None) -> Columns:
    text, label = config.text, config.label
    if text is not None and not is_list(raw, present(raw, text, "text"), of_text=True):
        raise InputError(
            f"data.task is tokens, but the text column {text!r} of {raw.name} holds "
            f"{brief(raw.table[text].type)}, not lists of words; give JSON lines or parquet with lists, or name "
            "another task."
        )
    tags = None if label is None else present(raw, label, "label")
    words = text or _words(raw, (tags, group))
    return Columns(words, (tags or find_tags(raw, (words, group)),), None, group, weight)


def _words(raw: Raw, taken: tuple[str | None, ...]) -> str:
    """Return the column of words, which is not the column with the usual name of tags."""
    if not any(is_list(raw, name, of_text=True) for name in raw.columns):
        raise InputError(
            f"data.task is tokens, but {raw.name} has no column of lists of words, only {quote_names(raw.columns)}; "
            "give JSON lines or parquet with lists, or name another task."
        )
    return find_words(raw, taken)
