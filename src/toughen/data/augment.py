"""Adversarial data training from a file: what an attack found on training texts joins them, with their labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toughen.data.config import SOFT_LABEL
from toughen.data.divide.overlap import hashes_of, text_hashes
from toughen.data.read.chunks import as_dataset
from toughen.errors import InputError

if TYPE_CHECKING:
    from toughen.data.splits import Splits

COLUMNS = ("text", "adversarial", "label")
"""Columns of the file that are read: those of an attack's pairs.parquet."""


def augment_train(splits: Splits, file: str | Path) -> tuple[Splits, dict[str, Any]]:
    """Add the adversarial texts of a file to train, each with its original's label; other splits stay as they are.

    A pair counts only if its original stands in train (by its hash, with the same label) and its adversarial text in
    no split: so nothing derived from a scored text is learnt. An adversarial text that stands there twice joins once.
    Their ``row`` is below 0, so that it is no row of train.

    Args:
        splits: checked data of single texts with one class each.
        file: pairs.parquet of an attack on the training texts, or any parquet file with these columns.

    Returns:
        The splits, and for metrics.json {file, pairs, added, left_out}.

    Raises:
        InputError: if the file is no such file, the task is another one, or no pair is left.
    """
    if splits.task != "single-label" or "text_pair" in splits.train.column_names:
        what = "pairs of texts" if splits.task == "single-label" else splits.task
        raise InputError(f"--augment is for single texts with one class each, but the data are {what}; leave it out.")
    pairs = _read_examples(Path(file))
    added = _usable(splits, pairs)
    if not len(added["text"]):
        raise InputError(
            f"--augment {file}: none of its {pairs.num_rows:,} pairs has an original in train (and a text that no "
            "split has); attack the rows that are trained on, not validation or test."
        )
    count = len(added["text"])
    report = {"file": str(file), "pairs": pairs.num_rows, "added": count, "left_out": pairs.num_rows - count}
    return replace(splits, train=_append_rows(splits.train, added)), report


def line(report: dict[str, Any]) -> str:
    """Say in one line what was added."""
    left = f"; {report['left_out']:,} left out: their original is not in train, or they stand in a split already"
    return f"augmented: {report['added']:,} adversarial texts join train{left if report['left_out'] else ''}"


def _read_examples(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"--augment {path} is no file; give the pairs.parquet of toughen attack.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"--augment {path} is no parquet file; give the pairs.parquet of toughen attack.") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"--augment {path} has no column {missing[0]!r}; give the pairs.parquet of toughen attack.")
    texts = table.select(COLUMNS).cast(pa.schema([(name, pa.string()) for name in COLUMNS]))
    return texts.drop_null()


def _usable(splits: Splits, pairs: pa.Table) -> dict[str, list[Any]]:
    """Return texts and label ids of the pairs that count, each text once."""
    hashes = text_hashes(splits.train).tolist()
    labels = dict(zip(hashes, splits.train["label"][:], strict=True))
    carried = {name: dict(zip(hashes, splits.train[name][:], strict=True)) for name in _carried(splits.train)}
    scored = [text_hashes(rows) for rows in (splits.validation, splits.test) if rows is not None]
    taken = {*labels, *(number for numbers in scored for number in numbers.tolist())}
    ids = {name: i for i, name in enumerate(splits.label_names)}
    originals, made = (hashes_of(pa.table({"text": pairs[name]})).tolist() for name in ("text", "adversarial"))
    found: dict[str, list[Any]] = {name: [] for name in ("text", "label", *carried)}
    rows = zip(originals, made, pairs["adversarial"].to_pylist(), pairs["label"].to_pylist(), strict=True)
    for original, new, text, label in rows:
        if labels.get(original, -1) == ids.get(label) and new not in taken:
            taken.add(new)
            found["text"].append(text)
            found["label"].append(ids[label])
            for name, values in carried.items():
                found[name].append(values[original])
    return found


def _carried(rows: Any) -> list[str]:
    """Return the columns that an adversarial text has from its original, beside the label."""
    return [name for name in ("weight", SOFT_LABEL) if name in rows.column_names]


def _append_rows(train: Any, added: dict[str, list[Any]]) -> Any:
    table = train.with_format("arrow")[:].select(["text", "label", "row", *_carried(train)])
    new = pa.table({**added, "row": -1 - np.arange(len(added["text"]))}).select(table.column_names)
    return as_dataset(pa.concat_tables([table, new.cast(table.schema)]))
