"""What a tokenizer's table says besides ids: how places are trimmed, and how ids become a text again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toughen.deploy import unicode
from toughen.deploy.binary import Writer
from toughen.deploy.normalise import Json

SPACES, WORD_PIECE, BYTE_LEVEL, METASPACE, OTHER = range(5)


def write_decoding(out: Writer, tokenizer: Any, backend: Json, strings: Mapping[int, str]) -> None:
    """Write trimming, decoder, and the strings of ids that the model's part of the table does not give.

    Args:
        out: gets the fields.
        tokenizer: a fast transformers tokenizer.
        backend: its tokenizer.json.
        strings: what the model's part of the table gives.
    """
    trims = [step["add_prefix_space"] for step in _steps(backend["post_processor"]) if step.get("trim_offsets")]
    out.u32(len(trims))
    out.u8(*trims)
    out.numbers(unicode.white_space() if trims else [])
    _write_decoder(out, backend["decoder"])
    inner = tokenizer.backend_tokenizer
    added: list[Json] = backend["added_tokens"]
    real = {i: inner.id_to_token(i) for i in sorted({*strings, *(token["id"] for token in added)})}
    other = {i: token for i, token in real.items() if token is not None and (strings.get(i) != token or not token)}
    out.u32(len(other))
    for i, token in other.items():
        out.u32(i)
        out.blob(token)
    special = {token["content"] for token in added if token["special"]}
    out.numbers(i for i, token in real.items() if token in special)


def _steps(step: Json | None) -> Iterator[Json]:
    if step is None:
        return
    if step["type"] == "Sequence":
        for inner in step["processors"]:
            yield from _steps(inner)
    else:
        yield step


def _write_decoder(out: Writer, decoder: Json | None) -> None:
    kind = decoder["type"] if decoder else None
    if decoder is None:
        out.u8(SPACES)
    elif kind == "WordPiece":
        out.u8(WORD_PIECE)
        out.blob(decoder["prefix"])
        out.u8(decoder["cleanup"])
    elif kind == "ByteLevel":
        out.u8(BYTE_LEVEL)
    elif kind == "Metaspace":
        out.u8(METASPACE)
        out.numbers(map(ord, decoder["replacement"]))
        out.u8(decoder["prepend_scheme"] != "never")
    else:
        out.u8(OTHER)
        out.blob(str(kind))
