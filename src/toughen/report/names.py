"""Names of models and data sources as they may be shown to others: a hub id whole, a local path by its last part."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def hub_id(source: object) -> str | None:
    """Return a source that is named by a hub id; None of a local path, of data in memory and of nothing."""
    if not isinstance(source, str) or not _HUB_ID.fullmatch(source) or source.startswith((".", "-")):
        return None
    return None if Path(source).exists() or Path(source).suffix in _FILES else source


_FILES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt"})


def model_name(model: object) -> str:
    """Return a model's hub id, or the name of its folder."""
    return "–" if not model else hub_id(model) or Path(str(model)).name


def source_label(source: object) -> str:
    """Return a source's hub id, or the name of its file or folder."""
    if not source:
        return "in memory"
    text = str(source)
    if text.startswith("in memory"):
        return text
    return hub_id(text) or Path(text).name
