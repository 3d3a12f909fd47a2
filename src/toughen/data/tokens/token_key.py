"""A key for the tokens of some texts: equal if and only if tokenising them again would give the same."""

from __future__ import annotations

import hashlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toughen.data.columns.find import is_string
from toughen.data.read.chunks import pieces
from toughen.data.tokens.encode import Encoder

FORMAT = 1  # of the entries; raise it when the same settings come to other tokens
LIBRARIES = ("transformers", "tokenizers", "pyarrow")


def key_of(table: pa.Table, encoder: Encoder) -> str:
    """Return a name for the tokens of a table of texts (and labels), 40 characters.

    It depends on every byte of the columns and on their order, on the tokenizer, the settings of the encoder, and the
    versions of the libraries; not on how the table is cut into chunks.
    """
    settings = {
        "format": FORMAT,
        "versions": [version(name) for name in LIBRARIES],
        "tokenizer": _tokenizer(encoder.tokenizer),
        "encoder": [encoder.max_length, encoder.task, encoder.truncation, encoder.overlap],
        "columns": [[name, str(table[name].type), _content(table[name])] for name in table.column_names],
    }
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=20).hexdigest()


def _tokenizer(tokenizer: Any) -> list[Any]:
    """Return what a tokenizer does, by its class, its special settings and its own description."""
    kind = f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"
    names = ("truncation_side", "model_input_names", "add_prefix_space", "split_special_tokens", "special_tokens_map")
    settings = {name: str(getattr(tokenizer, name, None)) for name in names}
    return [kind, settings, hashlib.blake2b(_describe_tokenizer(tokenizer)).hexdigest()]


def _describe_tokenizer(tokenizer: Any) -> bytes:
    """Return the serialised backend, less what the last call left in it; of others, the files that they save."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        whole = json.loads(backend.to_str())
        return json.dumps({k: v for k, v in whole.items() if k not in ("truncation", "padding")}).encode()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return b"".join(path.name.encode() + path.read_bytes() for path in files)


def _content(column: pa.ChunkedArray) -> str:
    """Return a hash of a column's values: of the lengths of lists and texts, and of all bytes one after the other."""
    hashes: list[Any] = []
    for piece in pieces(column):
        for depth, part in enumerate(_layers(piece)):
            if depth == len(hashes):
                hashes.append(hashlib.blake2b(digest_size=20))
            hashes[depth].update(part)
    return "".join(found.hexdigest() for found in hashes)


def _layers(values: pa.Array) -> list[bytes]:
    layers = [pc.is_valid(values).cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes()]
    while pa.types.is_nested(values.type):
        layers.append(_lengths(pc.list_value_length(values)))
        values = values.flatten()
    if not is_string(values.type):
        return [*layers, np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).tobytes()]
    text = values.cast(pa.large_string())
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
    data = text.buffers()[2]
    found = b"" if data is None else data[int(offsets[0]) : int(offsets[-1])].to_pybytes()
    return [*layers, _lengths(pc.binary_length(text)), found]


def _lengths(lengths: pa.Array) -> bytes:
    return np.asarray(pc.fill_null(lengths, -1), np.int64).tobytes()
