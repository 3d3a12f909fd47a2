"""The columns of a model's training data, by which a file of the same layout is read without naming them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toughen.data.columns.roles import Columns
from toughen.data.config import SOFT_COLUMNS, Data
from toughen.data.read.raw import Raw

Known = Mapping[str, Any]
"""``text``, ``text_pair`` (None where there was none), ``label`` (a list of column names; of soft labels none, and
``label_columns`` or ``vote_columns`` in its place) and, where labels were renamed, ``rename_labels`` (the setting)."""


def noted_columns(columns: Columns, config: Data) -> Known:
    """Return what is remembered of the columns of training."""
    texts = {"text": columns.text, "text_pair": columns.pair}
    renamed = {} if config.rename_labels is None else {"rename_labels": config.rename_labels}
    if columns.soft is None:
        return {**texts, "label": list(columns.label), **renamed}
    role = "label_columns" if columns.soft == "probabilities" else "vote_columns"
    return {**texts, "label": [], role: list(columns.label)}


def recalled_texts(raw: Raw, known: Known | None, text: str | None, pair: str | None) -> tuple[str | None, str | None]:
    """Return the columns of the texts: those that are named, else those of training where the source has them all."""
    if known is None or text is not None or pair is not None:
        return text, pair
    wanted = [known["text"]] + ([] if known["text_pair"] is None else [known["text_pair"]])
    return (known["text"], known["text_pair"]) if all(name in raw.columns for name in wanted) else (None, None)


def recalled_label(raw: Raw, known: Known | None, label: str | None, texts: tuple[str | None, ...]) -> str | None:
    """Return the label, several joined by commas: what is named, else what training had, where the source has it."""
    if known is None or label is not None or not known["label"]:
        return label
    names = known["label"]
    if any(name not in raw.columns or name in texts for name in names):
        return None
    return str(names[0]) if len(names) == 1 else None if any("," in name for name in names) else ",".join(names)


def recalled_soft_labels(raw: Raw, known: Known | None) -> dict[str, str]:
    """Return the setting, such as ``label_columns``, that names training's soft labels, where the source has all."""
    found = {name: list((known or {}).get(name) or ()) for name in SOFT_COLUMNS}
    return {name: ",".join(columns) for name, columns in found.items() if columns and set(columns) <= set(raw.columns)}
