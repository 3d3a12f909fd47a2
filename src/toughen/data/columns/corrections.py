"""Training rows to leave out, and labels to read otherwise, by the numbers of the rows: what an audit writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.arrays import Ints
from toughen.data.columns.bad_rows import without_rows
from toughen.data.columns.find import is_string
from toughen.data.columns.labels import Labels, read_labels
from toughen.data.columns.roles import Columns
from toughen.data.columns.spelling import spellings
from toughen.data.read.raw import NoRowsError, Raw, brief, quote_names
from toughen.data.read.readers import read_file
from toughen.errors import InputError, count

WHOLE = r"^\s*\d{1,18}\s*$"


def leave_out(train: Raw, columns: Columns, file: str) -> tuple[Raw, tuple[str, ...]]:
    """Return the training rows without those that a file names in its column ``row``, and what was done.

    Args:
        train: as it was read.
        columns: of the training rows.
        file: ``.csv``, ``.tsv``, ``.jsonl``, ``.json`` or ``.parquet``; where it has the column ``text``, the texts
            must be those of the rows.

    Raises:
        InputError: if it cannot be read, names rows that there are not, or rows of other data; or if none is left.
    """
    rows = _read_rows(train, columns, file, "data.drop")
    if rows is None:
        return train, (f"no row is left out: {file} names none (data.drop)",)
    _, found = rows
    positions = found[found >= 0]
    if len(positions) == train.table.num_rows:
        raise InputError(f"data.drop {file} names every row of {train.name}, so none is left; name fewer.")
    note = f"{count(len(positions), 'row')} left out, named in {file} (data.drop)"
    return without_rows(train, {"named": positions}), (note,)


def relabel(labels: Labels, train: Raw, columns: Columns, file: str) -> tuple[Labels, str]:
    """Return the labels of the training rows with those of a file's column ``label`` in their place, and what was done.

    An empty one leaves a row as it is.

    Args:
        labels: of the training rows.
        train: the training rows; a row that `leave_out` took is passed over.
        columns: of the training rows.
        file: as for `leave_out`.

    Raises:
        InputError: if the file is no such file, or a label is none of the training rows'.
    """
    rows = _read_rows(train, columns, file, "data.relabel")
    if rows is None:
        return labels, f"no row gets another label: {file} names none (data.relabel)"
    table, positions = rows
    if "label" not in table.columns:
        raise InputError(
            f"data.relabel {file} has no column 'label', the label that each row is to have; its columns are "
            f"{quote_names(table.columns)}."
        )
    given = read_labels(table, "label").names.to_pylist()
    known = {name.casefold(): name for name in spellings([labels])}
    names = labels.names.to_pylist()
    spelt, changed, filled = set(names), 0, 0
    for place, (position, label) in enumerate(zip(positions.tolist(), given, strict=True)):
        if label is None:  # a line that nobody has looked at yet
            continue
        if label.casefold() not in known:
            raise InputError(
                f"{table.place(place)}: label {brief(label)!r} is none of {train.name}'s, whose labels are "
                f"{quote_names(list(known.values()))}; correct it, or leave it empty."
            )
        filled += 1
        if position >= 0:
            changed += (names[position] or "").casefold() != label.casefold()
            names[position] = label if label in spelt else known[label.casefold()]
    told = count(changed, "row gets", "rows get")
    note = f"{told} another label, of {filled:,} filled in among the {len(given):,} that {file} names (data.relabel)"
    return replace(labels, names=pa.chunked_array([pa.array(names, pa.string())])), note


def _read_rows(train: Raw, columns: Columns, file: str, option: str) -> tuple[Raw, Ints] | None:
    """Return a file, and the position in train of each row that it names; -1 where train was left without it.

    None where it names no row, as where an audit has found nothing.

    Raises:
        InputError: if it cannot be read so.
    """
    try:
        table = read_file(Path(file).expanduser(), file)
    except NoRowsError:
        return None
    if "row" not in table.columns:
        raise InputError(
            f"{option} {file} has no column 'row', the number of a training row, from 0; its columns are "
            f"{quote_names(table.columns)}."
        )
    rows = _whole_numbers(table, option)
    numbers = train.numbers()
    order = np.argsort(numbers, kind="stable")
    places = order[np.minimum(np.searchsorted(numbers[order], rows), len(numbers) - 1)]
    positions = np.where(numbers[places] == rows, places, -1)
    missing = np.flatnonzero(positions < 0)
    if len(missing) and train.rows is None:  # else it may be one that was left out before
        place = int(missing[0])
        raise InputError(
            f"{table.place(place)}: there is no row {rows[place]} in {train.name}, whose rows are numbered from 0 to "
            f"{numbers.max()}; give {option} a file that an audit of these data wrote."
        )
    _refuse_other_texts(table, train, columns, positions, option)
    return table, positions


def _whole_numbers(table: Raw, option: str) -> Ints:
    values = table.column("row").cast(pa.string())
    wrong = np.flatnonzero(~np.asarray(pc.fill_null(pc.match_substring_regex(values, WHOLE), False)))
    if len(wrong):
        value = values[int(wrong[0])].as_py()
        raise InputError(
            f"{table.place(int(wrong[0]))}: row {'null' if value is None else repr(brief(value))} is no whole number "
            f"from 0; correct it, or give {option} a file that an audit wrote."
        )
    rows = np.asarray(pc.utf8_trim_whitespace(values).cast(pa.int64()).to_numpy(), np.int64)
    found, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        twice = int(found[counts > 1][0])
        place = int(np.flatnonzero(rows == twice)[1])
        raise InputError(f"{table.place(place)}: row {twice} is named twice; leave one of them.")
    return rows


def _refuse_other_texts(table: Raw, train: Raw, columns: Columns, positions: Ints, option: str) -> None:
    texts = train.column(columns.text)
    if "text" not in table.columns or not is_string(texts.type):
        return
    given = table.column("text").cast(pa.string()).to_pylist()
    for place, position in enumerate(positions.tolist()):
        said = given[place]
        if position >= 0 and said and said.split() != (texts[position].as_py() or "").split():
            raise InputError(
                f"{table.place(place)}: the text is not that of row {int(train.numbers()[position])} of {train.name}; "
                f"give {option} a file that was written for these data."
            )
