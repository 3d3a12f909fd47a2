"""From a source to checked splits: train, validation, test and texts without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.fingerprint import generate_random_fingerprint

from toughen.data.columns.bad_rows import bad_rows, describe_bad_rows, without_rows
from toughen.data.columns.checks import check_groups
from toughen.data.columns.corrections import leave_out, relabel
from toughen.data.columns.find import find_text
from toughen.data.columns.labels import check_renames, put_last
from toughen.data.columns.numeric import read_weights
from toughen.data.columns.recall import noted_columns, recalled_label, recalled_soft_labels, recalled_texts
from toughen.data.columns.roles import Columns, choose, choose_scored, choose_texts
from toughen.data.columns.soft_labels import list_column, soft_label_notes
from toughen.data.columns.spelling import fold_spellings, like_missing, said_positive
from toughen.data.columns.targets import Probabilities, Votes, target_of
from toughen.data.columns.texts import pick, read_texts, text_columns
from toughen.data.config import SOFT_LABEL, Data
from toughen.data.divide.division import Facts, divide, select_scored_tables
from toughen.data.divide.overlap import sketch, without
from toughen.data.divide.summary import Summary
from toughen.data.read.chunks import select_rows
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.raw import Raw, quote_names
from toughen.data.read.sources import read_source
from toughen.errors import InputError, count
from toughen.tasks import TaskName

LABELLED = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Data ready for the tokenizer.

    Every labelled dataset has the columns ``text`` (str; for tokens list of str), ``text_pair`` (str) where the data
    are pairs, ``label``, ``row`` (int, row number in its source split, from 0), ``group`` (str) and ``weight`` (float
    above 0, what the row counts for) where one is named; validation and test have a weight if their source has it.
    A label is an int (single-label: position in ``label_names``), a list of K floats 0 or 1 (multi-label), a float
    (regression, whose one label name is the column's) or a list of int, one per word (tokens). Where labels are soft,
    ``soft_label`` has the probabilities [K] and ``label`` the most probable class; validation and test may have one
    class per row beside it, and no ``soft_label``. ``unlabelled`` has
    ``text``, ``text_pair`` and ``row``. ``held_out`` says that validation was taken from train, none being given.
    ``columns`` are the names in the source, as `toughen.data.columns.recall.noted_columns` has them.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    test: datasets.Dataset | None
    unlabelled: datasets.Dataset | None
    label_names: tuple[str, ...]
    summary: Summary
    task: TaskName = "single-label"
    held_out: bool = False
    columns: Mapping[str, Any] | None = None


def splits_of(raws: Mapping[str, Raw], config: Data, seed: int) -> Splits:
    """Check and divide what was read.

    Args:
        raws: the splits, as they were read.
        config: the `data` part of a recipe.
        seed: fixes which rows are held out when there is no validation split.

    Raises:
        InputError: in one sentence, at the first thing that is wrong with the data.
    """
    train = raws.get(WHOLE) or raws.get("train")
    if train is None:
        raise InputError(
            f"The data has no train split, only {quote_names(list(raws))}; add one, or give a single file."
        )
    columns, task = choose(train, config)
    _check_fit(config, task, train)
    train, dropped = (train, ()) if config.drop is None else leave_out(train, columns, config.drop)
    tables, names, notes = _read_splits({**raws, "train": train}, columns, task, config)
    sketches = {split: sketch(table) for split, table in tables.items()}
    divided, summary = divide(sketches, Facts(task, names, train.name), config, seed)
    unlabelled, more = _unlabelled_to_use(config, divided, columns)
    read = [note for raw in raws.values() for note in raw.notes]
    notes = (*read, *dropped, *_notes_on_columns(task, names, columns, train), *notes, *summary.notes, *more)
    summary = replace(summary, unlabelled=unlabelled.num_rows if unlabelled else 0, notes=notes)
    made = {s: _dataset(select_rows(tables.get(s, tables["train"]), np.asarray(divided[s]["row"]))) for s in divided}
    texts = _dataset(unlabelled) if unlabelled else None
    held_out = "validation" not in tables
    known = noted_columns(columns, config)
    return Splits(made["train"], made["validation"], made.get("test"), texts, names, summary, task, held_out, known)


def _check_fit(config: Data, task: TaskName, train: Raw) -> None:
    """Refuse settings that the task has no use for, where the task was told from the data."""
    if config.positive_label is not None and task != "single-label":
        raise InputError(
            f"data.positive_label {config.positive_label!r} is for two classes of which a text has one, but "
            f"{train.name} is {task}; leave it out."
        )
    if config.unlabelled is not None and task == "tokens":
        raise InputError(
            f"data.unlabelled was given, but {train.name} is tokens, whose every term needs labels; leave it out."
        )
    for name in ("relabel", "rename_labels"):
        value = getattr(config, name)
        if value is None or task == "single-label":
            continue
        raise InputError(
            f"data.{name} {value!r} is for one class per text, but {train.name} is {task}; correct the "
            "labels in the data."
        )


def _notes_on_columns(task: TaskName, names: tuple[str, ...], columns: Columns, train: Raw) -> list[str]:
    """Return what was told from the data: the task, pairs, and which columns are read where there are others."""
    notes = []
    if task != "single-label":
        what = f"label {names[0]!r}" if task == "regression" else f"{len(names)} labels"
        notes.append(f"task: {task}, {what}")
    if columns.pair is not None:
        notes.append(f"pairs: {columns.text!r} with {columns.pair!r}")
    read = (columns.text, columns.pair, *columns.label, columns.group, columns.weight)
    if unread := [name for name in train.columns if name not in read]:
        notes.append(
            f"columns: text {columns.text!r}, label {quote_names(columns.label)}; not read: {quote_names(unread)}"
        )
    return notes


def load_labelled(
    source: object,
    *,
    text: str | None = None,
    label: str | None = None,
    label_columns: str | None = None,
    vote_columns: str | None = None,
    label_names: Sequence[str],
    split: str = "test",
    task: TaskName = "single-label",
    text_pair: str | None = None,
    pairs: bool | None = None,
    encoding: str | None = None,
    known: Mapping[str, Any] | None = None,
) -> datasets.Dataset:
    """Read labelled texts to score a model on: the asked split, or the whole of undivided data.

    Args:
        source: hub id, file, folder or an object in memory.
        text: text column (tokens: of lists of words); None = found.
        label: label column, or several ``a,b,c``; None = found, as in the training data where they had no usual name.
        label_columns: columns ``a,b,c`` of a probability of each class, in place of ``label``.
        vote_columns: columns ``a,b,c`` of annotators' votes, or one of lists of votes, in place of ``label``.
        label_names: the model's names by id; labels may be these or the ids. Regression: the column it learnt from.
        split: which split of a divided source.
        task: what the model does.
        text_pair: column of the second text; None = found.
        pairs: whether the model takes pairs; None = whatever is found in the data.
        encoding: of text files; None = UTF-8.
        known: the columns of the training data; those of them that the source has are taken where none is named.

    Returns:
        A dataset with the columns ``text``, ``text_pair`` (of pairs), ``label``, ``soft_label`` (if there are any) and
        ``row``, as in :class:`Splits`.

    Raises:
        InputError: in one sentence, also at a label that the model does not know.
    """
    raws = read_source(source, encoding=encoding)
    raw = raws.get(WHOLE) or raws.get(split)
    if raw is None:
        raise InputError(
            f"The data has no {split} split, only {quote_names(list(raws))}; give a single file or name one."
        )
    text, text_pair = recalled_texts(raw, known, text, text_pair)
    named = {"label_columns": label_columns, "vote_columns": vote_columns}
    more: dict[str, Any] = {name: columns for name, columns in named.items() if columns is not None}
    if not more and label is None:
        more = recalled_soft_labels(raw, known)
    if not more:
        label = recalled_label(raw, known, label, (text, text_pair))
        more["rename_labels"] = (known or {}).get("rename_labels") if task == "single-label" else None
    config = Data(task=task, text=text, text_pair=text_pair, label=label, **more)
    columns, _ = choose_scored(raw, config, label_names, pairs=pairs)
    texts, target = read_texts(raw, columns, task), target_of(task, raw, columns)
    target.check()
    target.match(names := tuple(label_names))
    return _dataset(_table(texts, target.values(names), _soft_labels(target, names)))


def load_texts(
    source: object,
    *,
    text: str | None = None,
    split: str | None = None,
    text_pair: str | None = None,
    pairs: bool = False,
    task: TaskName = "single-label",
    known: Mapping[str, Any] | None = None,
) -> datasets.Dataset:
    """Read texts and leave labels alone.

    Args:
        source: hub id, file (also ``.txt`` with one text per line), folder or an object in memory.
        text: text column; None = found.
        split: which split of a divided source; None = the unlabelled one, or else train, or else the only one.
        text_pair: column of the second text; None = none, or found where ``pairs`` is true.
        pairs: whether every text must have a second one.
        task: tokens reads lists of words; texts that are strings are divided at white space.
        known: as for :func:`load_labelled`.

    Returns:
        A dataset with the columns ``text``, ``text_pair`` (if asked for) and ``row``.

    Raises:
        InputError: in one sentence, at the first thing that is wrong.
    """
    raw = pick(source, split)
    text, text_pair = recalled_texts(raw, known, text, text_pair)
    columns = text_columns(raw, text, text_pair, pairs=pairs, task=task)
    return _dataset(_table(read_texts(raw, columns, task, divide=True), None))


def _read_splits(
    raws: Mapping[str, Raw], columns: Columns, task: TaskName, config: Data
) -> tuple[dict[str, pa.Table], tuple[str, ...], tuple[str, ...]]:
    """Check every split and return (tables by split, label names, notes)."""
    texts: dict[str, dict[str, pa.ChunkedArray]] = {}
    targets: dict[str, Any] = {}
    read: dict[str, Raw] = {}
    notes: list[str] = []
    for split in (split for split in LABELLED if split in raws):
        raw = raws[split]
        if split == "test" and task != "tokens" and target_of(task, raw, columns).withheld():
            notes.append(f"{raw.name} keeps its labels to itself (all -1): there will be no test score")
            continue
        if config.bad_rows == "drop":
            bad = bad_rows(raw, columns, task)
            notes += describe_bad_rows(raw, bad)
            raw = without_rows(raw, bad)
        texts[split], targets[split] = read_texts(raw, columns, task), target_of(task, raw, columns)
        read[split] = raw
        if split == "train" and config.relabel is not None:
            targets[split].labels, note = relabel(targets[split].labels, raw, columns, config.relabel)
            notes.append(note)
        targets[split].check()
    if task == "single-label":
        check_renames([raws[split] for split in read], columns.label[0], columns.renames)
    notes += fold_spellings(targets.values()) if config.labels == "folded" else []
    names = targets["train"].label_names()
    names = names if config.positive_label is None else put_last(names, config.positive_label, raws["train"])
    notes += [*like_missing(names), *([said_positive(names)] if task == "single-label" and len(names) == 2 else [])]
    for target in targets.values():
        target.check_seen(targets["train"], names)
    more = {split: read_facts(raw, columns, split) | _soft_labels(targets[split], names) for split, raw in read.items()}
    notes += soft_label_notes(more, read, columns)
    tables = {s: _table(texts[s], targets[s].values(names), more[s], read[s].numbers()) for s in texts}
    return tables, names, tuple(notes)


def read_facts(raw: Raw, columns: Columns, split: str) -> dict[str, Any]:
    """Return the groups and weights of a split; validation and test may have none.

    Raises:
        InputError: at the first row that lacks one, or a column that holds something else.
    """
    asked = (("group", columns.group, check_groups), ("weight", columns.weight, read_weights))
    return {
        name: read(raw, column)
        for name, column, read in asked
        if column is not None and (split == "train" or column in raw.columns)
    }


def _soft_labels(target: Any, label_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the column ``soft_label`` of a split whose labels are soft."""
    soft = isinstance(target, (Probabilities, Votes))
    return {SOFT_LABEL: list_column(target.soft_labels(label_names))} if soft else {}


def _table(
    texts: Mapping[str, pa.ChunkedArray], labels: Any, more: Mapping[str, Any] | None = None, rows: Any = None
) -> pa.Table:
    label = {} if labels is None else {"label": labels}
    row = np.arange(len(texts["text"])) if rows is None else rows
    return pa.table({**texts, **label, "row": row, **(more or {})})


def _unlabelled_to_use(
    config: Data, divided: Mapping[str, pa.Table], columns: Columns
) -> tuple[pa.Table | None, tuple[str, ...]]:
    """Read the texts without labels, less those that are scored later."""
    if config.unlabelled is None:
        return None, ()
    texts = read_unlabelled(config, columns)
    kept = without(texts, *select_scored_tables(divided)) if config.drop_shared else texts
    if kept.num_rows == 0:
        raise InputError(
            f"Every text of {config.unlabelled} also stands in validation or test and was dropped; give others."
        )
    dropped = texts.num_rows - kept.num_rows
    note = f"{count(dropped, 'unlabelled row')} dropped: text that stands in validation or test"
    return kept, (note,) if dropped else ()


def read_unlabelled(config: Data, columns: Columns) -> pa.Table:
    """Read the texts of ``config.unlabelled``, under usual names; of pairs, under the training data's where they stand.

    Raises:
        InputError: in one sentence, at the first thing that is wrong.
    """
    raw = pick(config.unlabelled, None)
    text: str | None = None
    second: str | None = None
    if columns.pair is not None:
        known = {columns.text, columns.pair} <= set(raw.columns)
        text, second = (columns.text, columns.pair) if known else choose_texts(raw, None, None, pairs=True)
    return _table(read_texts(raw, Columns(text or find_text(raw), pair=second), "single-label"), None)


def _dataset(table: pa.Table) -> datasets.Dataset:
    # A given fingerprint spares hashing every byte; nothing here is cached by it.
    return datasets.Dataset(table, fingerprint=generate_random_fingerprint())
