"""Texts without their labels: which split holds them, in which columns they stand, and what they must satisfy."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.checks import check_texts, check_words, lenient_texts
from toughen.data.columns.find import find_text, find_words, is_list, present
from toughen.data.columns.roles import Columns, choose_texts
from toughen.data.read.chunks import map_chunks
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.raw import Raw, quote_names
from toughen.data.read.sources import read_source
from toughen.errors import InputError
from toughen.tasks import TaskName


def pick(source: object, split: str | None, encoding: str | None = None) -> Raw:
    """Return the split that holds texts without labels, if there are several.

    Raises:
        InputError: if the source cannot be read or has no such split.
    """
    raws = read_source(source, lines=True, encoding=encoding)
    wanted = (split,) if split else (WHOLE, "unlabelled", "train", *(raws if len(raws) == 1 else ()))
    raw = next((raws[name] for name in wanted if name in raws), None)
    if raw is None:
        raise InputError(f"The data has no {split or 'train'} split, only {quote_names(list(raws))}; name one of them.")
    return raw


def text_columns(raw: Raw, text: str | None, text_pair: str | None, *, pairs: bool, task: TaskName) -> Columns:
    """Return the columns of the texts; arguments as for `toughen.data.splits.load_texts`.

    Raises:
        InputError: if one is missing or cannot be told.
    """
    if task != "tokens":
        found, second = choose_texts(raw, text, text_pair, pairs=pairs or text_pair is not None)
        return Columns(found or find_text(raw), pair=second)
    lists = any(is_list(raw, name, of_text=True) for name in raw.columns)
    return Columns(present(raw, text, "text") if text else find_words(raw) if lists else find_text(raw))


def read_texts(raw: Raw, columns: Columns, task: TaskName, *, divide: bool = False) -> dict[str, pa.ChunkedArray]:
    """Return the checked texts of a split by the names that they get: text, and text_pair of pairs.

    Args:
        raw: the split.
        columns: where they stand.
        task: tokens has lists of words.
        divide: whether texts stand for lists of words, which they are divided into at white space.

    Raises:
        InputError: at the first thing that is wrong.
    """
    if task == "tokens":
        strings = divide and not is_list(raw, columns.text)
        return {"text": _split_words(check_texts(raw, columns.text)) if strings else check_words(raw, columns.text)}
    texts = {"text": check_texts(raw, columns.text)}
    return texts if columns.pair is None else texts | {"text_pair": check_texts(raw, columns.pair, "text_pair")}


def read_to_answer(raw: Raw, columns: Columns, task: TaskName) -> dict[str, pa.ChunkedArray]:
    """Return texts to be answered by the names that :func:`read_texts` gives them; null where there is nothing to read.

    Raises:
        InputError: at what is no text at all.
    """
    if task == "tokens":
        words = raw.column(columns.text)
        return {"text": words if is_list(raw, columns.text) else _split_words(lenient_texts(raw, columns.text))}
    texts = {"text": lenient_texts(raw, columns.text)}
    return texts if columns.pair is None else texts | {"text_pair": lenient_texts(raw, columns.pair, "text_pair")}


def _split_words(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return map_chunks(texts, lambda p: pc.utf8_split_whitespace(pc.utf8_trim_whitespace(p)), pa.list_(pa.string()))
