"""Data: read, check, split, tokenise, and bucket texts by length.

Everything here is imported when it is first used, so that reading a recipe does not load `datasets`.
Imports from `machine` and the ground alone; every room above may import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from toughen.data.config import Data

if TYPE_CHECKING:
    from toughen.data.batches import Collator, LengthBuckets, Rows, padding_share
    from toughen.data.divide.fold_assignment import fold_assignment
    from toughen.data.divide.overlap import text_hashes
    from toughen.data.divide.summary import Summary
    from toughen.data.splits import Splits, load_labelled, load_splits, load_texts
    from toughen.data.tokens.tokenise import cut_share, effective_max_length, tokenise

__all__ = [
    "Collator",
    "Data",
    "LengthBuckets",
    "Rows",
    "Splits",
    "Summary",
    "cut_share",
    "effective_max_length",
    "fold_assignment",
    "load_labelled",
    "load_splits",
    "load_texts",
    "padding_share",
    "text_hashes",
    "tokenise",
]

_HOMES = {
    "batches": ("Collator", "LengthBuckets", "Rows", "padding_share"),
    "divide.fold_assignment": ("fold_assignment",),
    "divide.overlap": ("text_hashes",),
    "splits": ("Splits", "load_labelled", "load_splits", "load_texts"),
    "summary": ("Summary",),
    "tokens.tokenise": ("cut_share", "effective_max_length", "tokenise"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"toughen.data.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
