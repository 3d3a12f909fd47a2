"""Texts to token ids, cut but not padded; and how long a model lets them be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import datasets
from datasets.fingerprint import generate_random_fingerprint

from toughen.data.encode import Encoder, Truncation, texts_of
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
NO_LIMIT = 10**9  # tokenizers without a limit say 10**30


def tokenise(
    dataset: datasets.Dataset,
    tokenizer: Any,
    *,
    max_length: int,
    task: TaskName = "single-label",
    truncation: Truncation = "head",
    overlap: int = 0,
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

    Returns:
        The dataset with ``input_ids`` and ``attention_mask`` (and ``token_type_ids`` where the tokenizer makes them),
        lists of int without padding; ``length`` (int, tokens); and ``labels`` if it has a ``label``: the same, but for
        tokens a list as long as ``input_ids``, -100 at special tokens and at all but the first piece of a word. For
        tokens also ``word``: the number of the word, from 0, at its first piece, else -1.

        Windows give a row each, all of a text's after one another, and leave ``text`` out: they have ``row`` (the
        text's), ``window`` (its number within the text, from 0), and ``weight``, 1 / the number of the text's windows.

    Raises:
        InputError: if truncation, overlap or tokenizer do not fit the task, or a window has no room for new tokens.
    """
    encoder = Encoder(tokenizer, max_length, task, truncation, overlap)
    encoder.check("text_pair" in dataset.column_names)
    drop = dataset.column_names if truncation == "windows" else None
    if drop is not None and "row" not in drop:
        numbers, mark = list(range(len(dataset))), generate_random_fingerprint()
        dataset = dataset.add_column("row", numbers, new_fingerprint=mark)
    with _no_progress_bars():
        return dataset.map(encoder, batched=True, remove_columns=drop, new_fingerprint=generate_random_fingerprint())


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def cut_share(tokenised: datasets.Dataset, tokenizer: Any, *, max_length: int) -> float:
    """Return the share of texts, 0 to 1, of which ``max_length`` cut something off; windows cut nothing.

    Only texts that fill ``max_length`` are looked at again: those that fit it exactly are not cut.
    """
    import numpy as np

    if not len(tokenised) or "window" in tokenised.column_names:
        return 0.0
    full = np.flatnonzero(np.asarray(tokenised.data.column("length")) >= max_length).tolist()
    cut = 0
    for start in range(0, len(full), 1000):
        texts = texts_of(tokenised[full[start : start + 1000]], tokenizer)
        longer = tokenizer(**texts, truncation=True, max_length=max_length + 1, padding=False)["input_ids"]
        cut += sum(len(ids) > max_length for ids in longer)
    return cut / len(tokenised)


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
