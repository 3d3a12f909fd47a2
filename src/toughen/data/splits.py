"""From a source to checked splits: train, validation, test and texts without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import datasets
import numpy as np
import pyarrow as pa
from datasets.fingerprint import generate_random_fingerprint

from toughen.data.checks import check_classes, check_labels, check_seen, check_texts, has_no_labels
from toughen.data.columns import find_columns, find_text
from toughen.data.config import Data
from toughen.data.labels import Labels, match_names, name_classes, read_labels
from toughen.data.memory import WHOLE
from toughen.data.overlap import count_repeats, count_shared, hold_out, without
from toughen.data.raw import Raw, listed
from toughen.data.sources import read_source
from toughen.data.summary import Summary, count_labels, measure
from toughen.errors import InputError

LABELLED = ("train", "validation", "test")
PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


@dataclass(frozen=True)
class Splits:
    """Data ready for the tokenizer.

    Every labelled dataset has exactly the columns ``text`` (str), ``label`` (int, position in ``label_names``) and
    ``row`` (int, row number in its source split, from 0); ``unlabelled`` has ``text`` and ``row``.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    test: datasets.Dataset | None
    unlabelled: datasets.Dataset | None
    label_names: tuple[str, ...]
    summary: Summary


def load_splits(config: Data, *, seed: int, data: object | None = None) -> Splits:
    """Read, check and divide labelled texts.

    Args:
        config: the `data` part of a recipe.
        seed: fixes which rows are held out when the source has no validation split.
        data: in place of ``config.source``: a path, DataFrame, Dataset, DatasetDict, list of (text, label) or of
            dicts, or a dict of splits of those.

    Raises:
        InputError: in one sentence, at the first thing that is wrong with the data.
    """
    raws = read_source(config.source if data is None else data)
    train = raws.get(WHOLE) or raws.get("train")
    if train is None:
        raise InputError(f"The data has no train split, only {listed(list(raws))}; add one, or give a single file.")
    columns = find_columns(train, config.text, config.label)
    tables, names, notes = _read_splits({**raws, "train": train}, columns)
    divided, summary = _divide(tables, names, config, seed, train.name)
    unlabelled, more = _read_unlabelled(config, divided)
    summary = replace(summary, unlabelled=unlabelled.num_rows if unlabelled else 0, notes=notes + summary.notes + more)
    made = {split: _dataset(table) for split, table in divided.items()}
    texts = _dataset(unlabelled) if unlabelled else None
    return Splits(made["train"], made["validation"], made.get("test"), texts, names, summary)


def load_labelled(
    source: object,
    *,
    text: str | None = None,
    label: str | None = None,
    label_names: Sequence[str],
    split: str = "test",
) -> datasets.Dataset:
    """Read labelled texts to score a model on: the asked split, or the whole of undivided data.

    Args:
        source: hub id, file, folder or an object in memory.
        text: text column; None = found.
        label: label column; None = found.
        label_names: the model's names by id; the labels may be these names or the ids.
        split: which split of a divided source.

    Returns:
        A dataset with the columns ``text``, ``label`` and ``row``.

    Raises:
        InputError: in one sentence, also at a label that the model does not know.
    """
    raws = read_source(source)
    raw = raws.get(WHOLE) or raws.get(split)
    if raw is None:
        raise InputError(f"The data has no {split} split, only {listed(list(raws))}; give a single file or name one.")
    text, label = find_columns(raw, text, label)
    texts, labels = check_texts(raw, text), read_labels(raw, label)
    check_labels(raw, label, labels)
    return _dataset(_table(texts, match_names(labels, raw, label, label_names), label_names))


def load_texts(source: object, *, text: str | None = None, split: str | None = None) -> datasets.Dataset:
    """Read texts and leave labels alone.

    Args:
        source: hub id, file (also ``.txt`` with one text per line), folder or an object in memory.
        text: text column; None = found.
        split: which split of a divided source; None = the unlabelled one, or else train, or else the only one.

    Returns:
        A dataset with the columns ``text`` and ``row``.

    Raises:
        InputError: in one sentence, at the first thing that is wrong.
    """
    raws = read_source(source, lines=True)
    wanted = (split,) if split else (WHOLE, "unlabelled", "train", *(raws if len(raws) == 1 else ()))
    raw = next((raws[name] for name in wanted if name in raws), None)
    if raw is None:
        raise InputError(f"The data has no {split or 'train'} split, only {listed(list(raws))}; name one of them.")
    texts = check_texts(raw, find_text(raw, text))
    return _dataset(pa.table({"text": texts, "row": np.arange(len(texts))}))


def _read_splits(
    raws: Mapping[str, Raw], columns: tuple[str, str]
) -> tuple[dict[str, pa.Table], tuple[str, ...], tuple[str, ...]]:
    """Check every split and return (tables by split, label names, notes)."""
    text, label = columns
    texts: dict[str, pa.ChunkedArray] = {}
    labels: dict[str, Labels] = {}
    notes: list[str] = []
    for split in (split for split in LABELLED if split in raws):
        raw = raws[split]
        found = read_labels(raw, label)
        if split == "test" and label in raw.class_names and has_no_labels(found):
            notes.append(f"{raw.name} keeps its labels to itself (all -1): there will be no test score")
            continue
        texts[split], labels[split] = check_texts(raw, text), found
        check_labels(raw, label, found)
    check_classes(raws["train"], label, labels["train"])
    names = name_classes(labels["train"])
    seen = set(labels["train"].names.unique().to_pylist())
    for split in labels:
        check_seen(raws[split], labels[split], [name for name in names if name in seen])
    return {split: _table(texts[split], labels[split], names) for split in texts}, names, tuple(notes)


def _table(texts: pa.ChunkedArray, labels: Labels, names: Sequence[str]) -> pa.Table:
    return pa.table({"text": texts, "label": labels.ids(names), "row": np.arange(len(texts))})


def _divide(
    tables: Mapping[str, pa.Table], names: tuple[str, ...], config: Data, seed: int, where: str
) -> tuple[dict[str, pa.Table], Summary]:
    """Drop what recurs, hold out a validation split where none is given, and sum up."""
    kept = _drop_shared(tables, names, where) if config.drop_shared else dict(tables)
    repeated, conflicting = count_repeats(kept["train"])
    divided = _with_validation(kept, names, config.validation_share, seed, where)
    summary = Summary(
        counts={split: count_labels(table, names) for split, table in divided.items()},
        lengths={split: measure(table) for split, table in divided.items()},
        shared=_count_pairs(divided) | _count_pairs(tables),  # as they were before rows were dropped
        dropped=tables["train"].num_rows - kept["train"].num_rows,
        repeated=repeated,
        conflicting=conflicting,
        notes=_notes(tables, divided, seed),
    )
    return divided, summary


def _count_pairs(tables: Mapping[str, pa.Table]) -> dict[tuple[str, str], int]:
    return {(a, b): count_shared(tables[a], tables[b]) for a, b in PAIRS if a in tables and b in tables}


def _drop_shared(tables: Mapping[str, pa.Table], names: tuple[str, ...], where: str) -> dict[str, pa.Table]:
    train = without(tables["train"], *_scored(tables))
    before, after = count_labels(tables["train"], names), count_labels(train, names)
    lost = [name for name in names if before[name] and not after[name]]
    if lost:
        raise InputError(
            f"Every row of class {listed(lost)} in {where} also stands in validation or test and was dropped; "
            "give splits that differ, or set data.drop_shared to false."
        )
    return {**tables, "train": train}


def _scored(tables: Mapping[str, pa.Table]) -> list[pa.Table]:
    return [tables[split] for split in ("validation", "test") if split in tables]


def _with_validation(
    tables: Mapping[str, pa.Table], names: tuple[str, ...], share: float, seed: int, where: str
) -> dict[str, pa.Table]:
    found = dict(tables)
    if "validation" not in found:
        found["train"], found["validation"] = hold_out(found["train"], share, seed, names, where)
    return {split: found[split] for split in LABELLED if split in found}


def _notes(tables: Mapping[str, pa.Table], divided: Mapping[str, pa.Table], seed: int) -> tuple[str, ...]:
    notes = []
    if "validation" not in tables:
        rows = divided["validation"].num_rows
        notes.append(f"validation: {rows:,} rows held out of train, stratified by label, seed {seed}")
    if "test" not in tables:
        notes.append("no labelled test split: nothing will be scored as test")
    return tuple(notes)


def _read_unlabelled(config: Data, divided: Mapping[str, pa.Table]) -> tuple[pa.Table | None, tuple[str, ...]]:
    """Read the texts without labels, less those that are scored later."""
    if config.unlabelled is None:
        return None, ()
    texts = load_texts(config.unlabelled).with_format("arrow")[:]
    kept = without(texts, *_scored(divided)) if config.drop_shared else texts
    if kept.num_rows == 0:
        raise InputError(
            f"Every text of {config.unlabelled} also stands in validation or test and was dropped; give others."
        )
    dropped = texts.num_rows - kept.num_rows
    note = f"{dropped:,} unlabelled rows dropped: their text stands in validation or test"
    return kept, (note,) if dropped else ()


def _dataset(table: pa.Table) -> datasets.Dataset:
    # A given fingerprint spares hashing every byte; nothing here is cached by it.
    return datasets.Dataset(table, fingerprint=generate_random_fingerprint())
