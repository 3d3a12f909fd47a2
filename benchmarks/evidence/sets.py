"""The rows of each data set: drawn once with a fixed seed, none of them in two places.

``train`` and ``validation`` are what a run sees, ``screen`` are other rows of the training split, on which choices are
made, and ``test`` is the test split, which only the finals read. Row ids are positions in the source file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAIN, VALIDATION, SCREEN = "train", "validation", "screen"
HELD_OUT = 1000
"""Rows that a source without a test split lends to one; drawn first."""


@dataclass(frozen=True)
class Set:
    """One data set.

    Attributes:
        train: file of the training rows, below the data folder.
        test: file of the test rows; None draws ``HELD_OUT`` of the training file's.
        rows: how many to train on.
        validation: how many choose the epoch.
        screen: how many of the left-over rows score a choice.
        max_length: tokens per text.
        drop: file whose flagged rows may not be trained on.
    """

    train: str
    test: str | None
    rows: int
    validation: int = 400
    screen: int = 2000
    max_length: int = 64
    drop: str | None = None


_SST = ("sst_kim/sst2_sentences_train.parquet", "sst_kim/sst2_sentences_test.parquet")
_IMDB = ("imdb/train.parquet", "imdb/test.parquet")
SETS = {
    "sst-2000": Set(*_SST, 2000),
    "sst-500": Set(*_SST, 500, 200),
    "cr": Set("cr/all.parquet", None, 700, 200, 1500),
    "trec": Set("trec/train.parquet", "trec/test.parquet", 1000, 300, 2000, 32),
    "subj": Set("subj/all.parquet", None, 500, 200, 2000),
    "agnews": Set("agnews/dev.parquet", "agnews/test.parquet", 1500, 300, 2000, 64),
    "imdb": Set(*_IMDB, 1000, 300, 1000, 128, "imdb/train_overlap.parquet"),
}


def draw(name: str, root: Path) -> dict[str, Any]:
    """Return the parts of a data set as frames with the columns id, text and label."""
    import pandas as pd

    chosen = SETS[name]
    pool = _frame(root / chosen.train)
    if chosen.drop is not None:
        flags = pd.read_parquet(root / chosen.drop)
        pool = pool[~pool["id"].isin(set(flags.index[flags["overlaps_cad_or_contrast"].astype(bool)]))]
    pool = pool.sample(frac=1, random_state=0)
    if chosen.test is None:
        test, pool = pool[:HELD_OUT], pool[HELD_OUT:]
    else:
        test = _frame(root / chosen.test)
        pool = pool[~pool["text"].isin(set(test["text"]))]
    sizes = {TRAIN: chosen.rows, VALIDATION: chosen.validation, SCREEN: chosen.screen}
    parts: dict[str, Any] = {"test": test}
    for part, size in sizes.items():
        parts[part], pool = pool[:size], pool[size:]
    return {part: rows.reset_index(drop=True) for part, rows in parts.items()}


def _frame(path: Path) -> Any:
    import pandas as pd

    rows = pd.read_parquet(path)
    rows = rows[["text", "label"]].reset_index(names="id")
    return rows.drop_duplicates("text")
