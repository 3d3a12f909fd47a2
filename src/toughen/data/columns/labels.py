"""Labels of any kind as names, and names as ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.renames import Renames, rename, rename_order
from toughen.data.read.raw import Raw, brief, quote_names
from toughen.errors import InputError

WHOLE_NUMBER = r"^-?(0|[1-9]\d*)(\.0+)?$"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
NULL_WORDS = pa.array(["nan", "NaN", "NA", "N/A", "n/a", "null", "NULL", "None", "none"])
NO_RENAMES: Renames = {}
PLACEHOLDER = re.compile(r"(LABEL_)?\d+")  # names that say no more than the id


@dataclass(frozen=True)
class Labels:
    """The label column of one split.

    Attributes:
        names: the name of each row's class, string [N]; null where there is none.
        order: names of the classes by id, where the source keeps them.
    """

    names: pa.ChunkedArray
    order: tuple[str, ...] | None = None

    def ids(self, label_names: Sequence[str]) -> pa.ChunkedArray:
        """Return each row's position in ``label_names``, int64 [N]; null where its name is not among them."""
        return pc.index_in(self.names, value_set=pa.array(label_names, pa.string())).cast(pa.int64())


def read_labels(raw: Raw, column: str, renames: Renames = NO_RENAMES) -> Labels:
    """Return the label column as names.

    Args:
        raw: the split.
        column: of the labels.
        renames: what some of them are read as.

    Raises:
        InputError: if it mixes types, or holds lists or decimal numbers.
    """
    found = _read_names(raw, column)
    return Labels(rename(found.names, renames), rename_order(found.order, renames)) if renames else found


def _read_names(raw: Raw, column: str) -> Labels:
    values = raw.column(column)
    kind = values.type
    if column in raw.class_names and pa.types.is_integer(kind):
        return _labels_by_id(values, raw, column)
    if pa.types.is_boolean(kind):
        return Labels(pc.if_else(values, "True", "False"))
    if pa.types.is_floating(kind):
        values = _whole(values, raw, column)
    elif not _is_plain(kind):
        raise InputError(
            f"The label column {column!r} of {raw.name} holds {brief(kind)}; give one class per row, as a "
            "number or a word."
        )
    names = pc.utf8_trim_whitespace(values.cast(pa.string()))
    names = pc.if_else(pc.equal(names, ""), pa.scalar(None, pa.string()), names)
    return Labels(_as_whole_numbers(names, raw, column))


def _is_plain(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return pa.types.is_null(kind) or any(check(kind) for check in checks)


def _labels_by_id(values: pa.ChunkedArray, raw: Raw, column: str) -> Labels:
    """Look ids up in the source's class names; -1 is how the hub writes "no label"."""
    names = raw.class_names[column]
    values = pc.if_else(pc.equal(values, -1), pa.scalar(None, values.type), values)
    outside = first_row(pc.or_(pc.less(values, 0), pc.greater_equal(values, len(names))))
    if outside is not None:
        raise InputError(
            f"{raw.place(outside)}: label {values[outside].as_py()} is none of the {len(names)} classes of "
            f"{column!r}; correct it."
        )
    return Labels(
        pa.chunked_array([pa.array(names, pa.string()).take(chunk) for chunk in values.chunks], pa.string()), names
    )


def _whole(values: pa.ChunkedArray, raw: Raw, column: str) -> pa.ChunkedArray:
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    row = first_row(pc.not_equal(values, pc.floor(values)))
    if row is not None:
        _refuse_decimals(raw, column, row, values[row].as_py())
    large = first_row(pc.greater_equal(pc.abs(values), 2.0**53))  # from here on several whole numbers are one float
    if large is not None:
        raise InputError(
            f"{raw.place(large)}: label {values[large].as_py():g} in column {column!r} is too large to be told from "
            "its neighbours; write labels as words, or as smaller numbers."
        )
    return values.cast(pa.int64())


def _refuse_decimals(raw: Raw, column: str, row: int, value: object) -> None:
    raise InputError(
        f"{raw.place(row)}: label {value} in column {column!r} is a decimal number; give one class per row, "
        "as a whole number or a word."
    )


def _as_whole_numbers(names: pa.ChunkedArray, raw: Raw, column: str) -> pa.ChunkedArray:
    """Write 1, "1" and "1.0" alike; in an untyped column that holds numbers, refuse words and decimals."""
    numbers = pc.fill_null(pc.match_substring_regex(names, NUMBER), False)
    if not raw.typed and pc.any(numbers).as_py():
        nulls = pc.is_in(names, value_set=NULL_WORDS)
        _refuse_words(names, numbers, pc.or_(nulls, pc.is_null(names)), raw, column)
        names = pc.if_else(nulls, pa.scalar(None, pa.string()), names)
    if pc.all(pc.match_substring_regex(names, WHOLE_NUMBER), min_count=0).as_py():
        return pc.replace_substring_regex(names, r"\.0+$", "")
    return names


def _refuse_words(names: pa.ChunkedArray, numbers: Any, nulls: Any, raw: Raw, column: str) -> None:
    word = first_row(pc.invert(pc.or_(numbers, nulls)))
    if word is not None:
        number = first_row(numbers) or 0
        raise InputError(
            f"The label column {column!r} of {raw.name} mixes types: row {number + 1} holds the number "
            f"{names[number].as_py()} but row {word + 1} the word {names[word].as_py()!r}; use one kind."
        )
    decimal = first_row(pc.match_substring_regex(names, r"\.0*[1-9]"))
    if decimal is not None:
        _refuse_decimals(raw, column, decimal, names[decimal].as_py())


def check_renames(raws: Collection[Raw], column: str, renames: Renames) -> None:
    """Refuse a rename of a label that no split has: a slip of the pen would pass unseen.

    Raises:
        InputError: naming it.
    """
    if not renames:
        return
    found = dict.fromkeys(name for raw in raws if column in raw.columns for name in _names(_read_names(raw, column)))
    missing = [name for name in renames if name not in {label.casefold() for label in found}]
    if missing:
        where = " and ".join(raw.name for raw in raws)
        raise InputError(
            f"data.rename_labels renames {quote_names(missing)}, which is no label of {where}; its labels are "
            f"{quote_names(list(found))}."
        )


def name_classes(labels: Labels) -> tuple[str, ...]:
    """Return the names of the classes by id: the source's own order, else numbers by size, else words by alphabet.

    The alphabet (upper and lower case alike) puts neg before pos, no before yes and False before True, so that id 1
    is the positive class.
    """
    if labels.order:
        return labels.order
    names = _names(labels)
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names, key=lambda name: (name.casefold(), name)))


def put_last(names: tuple[str, ...], positive: str, raw: Raw) -> tuple[str, ...]:
    """Return two classes in the order that makes ``positive`` id 1.

    Raises:
        InputError: if there are not two classes, or none of that name.
    """
    if len(names) != 2:
        raise InputError(
            f"data.positive_label {positive!r} is for two classes, but {raw.name} has {len(names)} "
            f"({quote_names(names)}); leave it out."
        )
    found = [name for name in names if name == positive] or [n for n in names if n.casefold() == positive.casefold()]
    if len(found) != 1:
        raise InputError(f"data.positive_label {positive!r} is no class of {raw.name}; it has {quote_names(names)}.")
    return names if names[1] == found[0] else names[::-1]


def match_names(
    labels: Labels,
    raw: Raw,
    column: str,
    label_names: Sequence[str],
    place: Callable[[int], str] | None = None,
) -> Labels:
    """Rewrite a column of names or ids into a model's label names.

    Names go first; then names whose case alone differs; then ids, unless the model's names are numbers themselves.
    ``place`` says where a label stands, if the labels are not one per row.

    Raises:
        InputError: naming the first label that the model does not know.
    """
    found = _names(labels)
    for table in _translations(labels, label_names):
        if all(name in table for name in found):
            return translate_labels(labels.names, table)
    unknown = pc.invert(pc.is_in(labels.names, value_set=pa.array(label_names, pa.string())))
    row = first_row(pc.and_(unknown, pc.is_valid(labels.names))) or 0
    where = (place or raw.place)(row)
    raise InputError(
        f"{where}: label {labels.names[row].as_py()!r} in column {column!r} is unknown to the model, whose "
        f"labels are {quote_names(label_names)}; rename it to one of them."
    )


def _translations(labels: Labels, label_names: Sequence[str]) -> list[dict[str, str]]:
    """Return the ways to read a column, the most literal first."""
    tables = [{name: name for name in label_names}, {name.casefold(): name for name in label_names}]
    folded = tables[1] if len(tables[1]) == len(label_names) else {}
    tables[1] = {name: folded[name.casefold()] for name in _names(labels) if name.casefold() in folded}
    numeric = all(re.fullmatch(r"-?\d+", name) for name in label_names)
    if not numeric:
        tables.append({str(index): name for index, name in enumerate(label_names)})
    if labels.order and len(labels.order) == len(label_names) and all(map(PLACEHOLDER.fullmatch, label_names)):
        tables.append(dict(zip(labels.order, label_names, strict=True)))
    return tables


def _names(labels: Labels) -> list[str]:
    return [str(name) for name in labels.names.unique().drop_null().to_pylist()]


def translate_labels(names: pa.ChunkedArray, table: dict[str, str]) -> Labels:
    """Return labels under other names: ``table`` has one for each name there is."""
    values = pa.array(list(table.values()), pa.string())
    positions = pc.index_in(names, value_set=pa.array(list(table), pa.string()))
    return Labels(pa.chunked_array([values.take(chunk) for chunk in positions.chunks], pa.string()))


def first_row(mask: Any) -> int | None:
    """Return the first row at which a mask is true, or None."""
    row = int(pc.index(pc.fill_null(mask, False), pa.scalar(True)).as_py())
    return None if row < 0 else row
