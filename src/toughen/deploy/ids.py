"""Texts to token ids with the tokenizers library alone: what transformers does with a fast tokenizer, no more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.errors import InputError

Batch = dict[str, NDArray[np.int64]]


class Ids(dict[str, Any]):
    """Columns of ids, lists of int per text, as transformers' tokenizers return them."""

    def __init__(self, found: Sequence[Any], names: Sequence[str]) -> None:
        self.encodings = found
        columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        super().__init__({name: [getattr(one, columns[name]) for one in found] for name in names})

    def word_ids(self, row: int) -> Any:
        """Return the word of each token, None of special ones."""
        return self.encodings[row].word_ids


class FastTokenizer:
    """A tokenizer.json, called as transformers' tokenizers are called by `toughen.data.tokens.encode.Encoder`.

    Args:
        path: the file.
        settings: of the description: truncation_side, padding_side, pad_id, pad_type_id, add_prefix_space, inputs.
        max_length: tokens per text where a call cuts.
        sha256: of the file, in hexadecimal; None where the export does not say.

    Raises:
        InputError: if the file is not there, is no tokenizer or another model's.
    """

    is_fast = True

    def __init__(self, path: Path, settings: Mapping[str, Any], max_length: int, sha256: str | None = None) -> None:
        self.truncation_side: str = settings["truncation_side"]
        self.padding_side: str = settings["padding_side"]
        self.add_prefix_space: bool | None = settings["add_prefix_space"]
        self.model_input_names: list[str] = settings["inputs"]
        self._fill = {"input_ids": settings["pad_id"], "token_type_ids": settings["pad_type_id"]}
        # Two, so that no call changes what another thread's call sees.
        content = _content(path, sha256)
        self._whole, self._cut = _load_tokenizer(path, content), _load_tokenizer(path, content)
        self._cut.enable_truncation(max_length, strategy="longest_first", direction=self.truncation_side)

    @property
    def backend_tokenizer(self) -> Any:
        """The tokenizers library's object, which never cuts."""
        return self._whole

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: Sequence[str] | None = None,
        *,
        is_split_into_words: bool = False,
        add_special_tokens: bool = True,
        truncation: bool = False,
        **_: Any,
    ) -> Ids:
        """Encode one text (as lists of ids), N texts, N pairs, or N lists of words."""
        single = isinstance(text, str)
        given: Sequence[Any] = [text] if single else text
        if text_pair is not None:
            given = list(zip(given, text_pair, strict=True))
        inner = self._cut if truncation else self._whole
        how = {"is_pretokenized": is_split_into_words, "add_special_tokens": add_special_tokens}
        made = Ids(inner.encode_batch(given, **how), self.model_input_names)
        if single:
            made.update({name: rows[0] for name, rows in made.items()})
        return made

    def pad(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> Batch:
        """Return the rows as int64 [B, T], T that of the longest."""
        width = max(len(row["input_ids"]) for row in rows)
        batch = {name: np.full((len(rows), width), self._fill.get(name, 0), np.int64) for name in rows[0]}
        for i, row in enumerate(rows):
            for name, values in row.items():
                place = slice(width - len(values), width) if self.padding_side == "left" else slice(len(values))
                batch[name][i, place] = values
        return batch


def _content(path: Path, sha256: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path.parent} has no {path.name}; export the model again.") from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path} is another model's than the graph beside it; export the model again.")
    return content


def _load_tokenizer(path: Path, content: bytes) -> Any:
    from tokenizers import Tokenizer

    try:
        inner = Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing more special
        raise InputError(f"{path} is no tokenizer ({error}); export the model again.") from error
    inner.no_truncation()
    inner.no_padding()
    return inner
