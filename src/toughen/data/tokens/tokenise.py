"""Texts to token ids, cut but not padded; and how long a model lets them be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.fingerprint import generate_random_fingerprint

from toughen.data.config import SOFT_LABEL
from toughen.data.read import spill
from toughen.data.read.chunks import ROWS, numbers_of, table_of_dataset
from toughen.data.read.spill import collect
from toughen.data.tokens import token_cache, token_key
from toughen.data.tokens.encode import Encoder, Truncation, texts_of
from toughen.data.tokens.token_cache import Facts
from toughen.errors import InputError
from toughen.tasks import TaskName

__all__ = ["Truncation", "cut_share", "effective_max_length", "tokenise"]

# Families whose positions count up from pad_token_id + 1, so that two of RoBERTa's 514 are never used.
# fmt: off
OFFSET_POSITIONS = frozenset((
    "roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "longformer", "data2vec-text",
    "mpnet", "esm", "ibert", "luke", "xmod", "lilt", "layoutlmv3", "markuplm",
))
# fmt: on
TEXTS = ("text", "text_pair")
READ = (*TEXTS, "label", SOFT_LABEL)  # the columns that tokens are made of
NARROW = {  # types as in `datasets`
    "input_ids": pa.int32(), "attention_mask": pa.int8(), "token_type_ids": pa.int8(), "special_tokens_mask": pa.int8(),
}  # fmt: skip
NO_LIMIT = 10**9  # tokenizers without a limit say 10**30


def tokenise(
    dataset: datasets.Dataset,
    tokenizer: Any,
    *,
    max_length: int,
    task: TaskName = "single-label",
    truncation: Truncation = "head",
    overlap: int = 0,
    note: Callable[[str], None] | None = None,
) -> datasets.Dataset:
    """Add token ids to a dataset with a ``text`` column (and ``text_pair``).

    Args:
        dataset: from :func:`load_splits`, :func:`load_labelled` or :func:`load_texts`.
        tokenizer: a Hugging Face tokenizer.
        max_length: tokens per row, special tokens included; longer texts are cut.
        task: what a label is; tokens takes lists of words.
        truncation: what is kept of a longer text: its head, its tail, half of each (head+tail), or all of it in
            windows; of a pair the longer text is cut first, and only at its end.
        overlap: tokens that a window shares with the one before.
        note: told in one line where the tokens come from, if it is not the tokenizer.

    Large texts (``spill.IN_RAM``) are encoded onto the disk, and once: see :mod:`toughen.data.tokens.token_cache`.

    Returns:
        The dataset with ``input_ids`` and ``attention_mask`` (and ``token_type_ids`` where the tokenizer makes them),
        lists of int without padding; ``length`` (int, tokens); and ``labels`` if it has a ``label``: the same, or its
        ``soft_label`` where it has one; but for tokens a list as long as ``input_ids``, -100 at special tokens and at
        all but the first piece of a word. For tokens also ``word``: the number of the word, from 0, at its first piece,
        else -1.

        Windows give a row each, all of a text's after one another, and leave ``text`` out: they have ``row`` (the
        text's), ``window`` (its number within the text, from 0), and ``weight``, the text's (1 unless the dataset has a
        ``weight``) / the number of its windows.

    Raises:
        InputError: if truncation, overlap or tokenizer do not fit the task, or a window has no room for new tokens.
    """
    encoder = Encoder(tokenizer, max_length, task, truncation, overlap)
    encoder.check("text_pair" in dataset.column_names)
    if not len(dataset):
        return dataset
    table = table_of_dataset(dataset)
    whole = truncation != "windows"
    if not whole and "row" not in table.column_names:
        table = table.append_column("row", pa.array(np.arange(table.num_rows)))
    read = table.select([name for name in table.column_names if name in (*READ, *(() if whole else ("row", "weight")))])
    made, facts = _encode_table(read, encoder, note)
    kept = {name: table[name] for name in table.column_names if whole or name in made.column_names}
    columns = kept | {name: made[name] for name in made.column_names}
    info = datasets.DatasetInfo(description=json.dumps(facts))
    return datasets.Dataset(pa.table(columns), info=info, fingerprint=generate_random_fingerprint())


def _encode_table(table: pa.Table, encoder: Encoder, note: Callable[[str], None] | None) -> tuple[pa.Table, Facts]:
    """Return the encoded rows and what `cut_share` wants to know of them; large ones from the cache, or into it."""
    if sum(table[name].nbytes for name in table.column_names if name in TEXTS) <= spill.IN_RAM:
        stream = _Stream(table, encoder)
        return collect(stream.batches(), stream.schema), stream.facts()
    key = token_key.key_of(table, encoder)
    with token_cache.entry_folder(key) as folder:
        found = None if folder is None else token_cache.load(folder, key)
        if found is not None:
            if note is not None:
                note(f"tokens of {table.num_rows:,} texts were read from the cache in {folder}")
            return found
        stream = _Stream(table, encoder)
        if folder is None:
            return collect(stream.batches(), stream.schema), stream.facts()
        return token_cache.store(folder, key, stream.batches(), stream.schema, stream.facts)


class _Stream:
    """The encoded rows of a table, batch by batch.

    Attributes:
        schema: of the batches.
    """

    def __init__(self, table: pa.Table, encoder: Encoder) -> None:
        self._max_length, self._rows = encoder.max_length, 0
        self._cut: list[int | None] = []
        parts = table.to_batches(max_chunksize=ROWS)
        self._encoded = (encoder.encode(part.to_pydict()) for part in parts if part.num_rows)
        self._first = next(self._encoded)
        kinds = {n: pa.list_(NARROW[n]) if n in NARROW else pa.array(v).type for n, v in self._first[0].items()}
        self.schema = pa.schema(list(kinds.items()))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield every batch, once."""
        for columns, cut in chain([self._first], self._encoded):
            self._cut.append(cut)
            self._rows += len(columns["length"])
            yield pa.record_batch([pa.array(columns[f.name], f.type) for f in self.schema], schema=self.schema)

    def facts(self) -> Facts:
        """Return, after the last batch, the rows, the length to which they were cut, and how many were."""
        known = [cut for cut in self._cut if cut is not None]
        cut = sum(known) if len(known) == len(self._cut) else None
        return {"rows": self._rows, "max_length": self._max_length, "cut": cut}


def cut_share(tokenised: datasets.Dataset, tokenizer: Any, *, max_length: int) -> float:
    """Return the share of texts, 0 to 1, of which ``max_length`` cut something off; windows cut nothing.

    Where the tokenizer did not say, texts that fill ``max_length`` are looked at again: those that fit it exactly are
    not cut.
    """
    if not len(tokenised) or "window" in tokenised.column_names:
        return 0.0
    cut = _count_truncated(tokenised, max_length)
    return (_count_cut(tokenised, tokenizer, max_length) if cut is None else cut) / len(tokenised)


def _count_truncated(tokenised: datasets.Dataset, max_length: int) -> int | None:
    """Return how many texts were cut while they were encoded, if that is known of these rows and this length."""
    try:
        facts = json.loads(tokenised.info.description)
    except ValueError:
        return None
    same = facts["rows"] == len(tokenised) and facts["max_length"] == max_length
    cut: int | None = facts["cut"] if same else None
    return cut


def _count_cut(tokenised: datasets.Dataset, tokenizer: Any, max_length: int) -> int:
    full = np.flatnonzero(numbers_of(tokenised, "length") >= max_length).tolist()
    cut = 0
    for start in range(0, len(full), 1000):
        texts = texts_of(tokenised[full[start : start + 1000]], tokenizer)
        longer = tokenizer(**texts, truncation=True, max_length=max_length + 1, padding=False)["input_ids"]
        cut += sum(len(ids) > max_length for ids in longer)
    return cut


def effective_max_length(requested: int, tokenizer: Any, config: Any, *, pairs: bool = False) -> int:
    """Return the tokens per text (or pair of texts) that the model can take, at most ``requested``.

    Raises:
        InputError: if ``requested`` leaves no room for text beside the special tokens.
    """
    special = int(tokenizer.num_special_tokens_to_add(pair=pairs))
    if requested <= special + pairs:
        raise InputError(
            f"training.max_length is {requested}, but the tokenizer adds {special} special tokens to every "
            f"{'pair' if pairs else 'text'}; set it above {special + pairs}."
        )
    limit = min(_positions(config), _tokenizer_limit(tokenizer))
    return min(requested, limit)


def _positions(config: Any) -> int:
    """Return how many tokens have a position; relative positions (DeBERTa-v2, T5) have no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or positions < 0 or getattr(config, "position_biased_input", True) is False:
        return NO_LIMIT
    if getattr(config, "model_type", "") in OFFSET_POSITIONS:
        padding = getattr(config, "pad_token_id", 1)
        return int(positions) - 1 - (1 if padding is None else int(padding))
    return int(positions)


def _tokenizer_limit(tokenizer: Any) -> int:
    limit = getattr(tokenizer, "model_max_length", None)
    return int(limit) if limit and limit < NO_LIMIT else NO_LIMIT
