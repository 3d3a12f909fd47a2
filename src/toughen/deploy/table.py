"""Compile a Hugging Face fast tokenizer into tokenizer.bin, from which the C++ runtime repeats its ids exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

from toughen.data.tokens.sanitizer import is_sanitized, restore_sanitizer
from toughen.deploy import unicode
from toughen.deploy.binary import VERSION, WITHOUT_SANITIZER, Writer
from toughen.deploy.decoding import write_decoding
from toughen.deploy.normalise import Json, NormaliserWriter, refuse
from toughen.deploy.probes import SANITIZER_TEST, SELF_TEST
from toughen.errors import InputError
from toughen.files import write_whole

BERT, WHITE, METASPACE, BYTE_LEVEL, PUNCTUATION, WORDS = range(1, 7)
WORD_PIECE, BPE, UNIGRAM = 1, 2, 3
_TRUNCATIONS = ("head", "tail", "head+tail", "windows")
_SCHEMES = ("always", "first", "never")
_ENDLESS, _LONGEST = 10**9, 512  # a tokenizer that names no length says 10**30
_UNKNOWN_PENALTY = 10.0  # below the least score, as SentencePiece has it


@dataclass(frozen=True)
class Reading:
    """How texts are read: see `toughen.classifier.classifier.Classifier`."""

    max_length: int
    truncation: str = "head"
    overlap: int = 0
    words: bool = False


def compile_table(tokenizer: Any, reading: Reading) -> bytes:
    """Return the content of tokenizer.bin.

    Args:
        tokenizer: a transformers tokenizer; only fast ones say how they work.
        reading: what is kept of a long text.

    Raises:
        InputError: if the tokenizer has a part that the table cannot hold, which is named.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise refuse("class", f"{type(tokenizer).__name__}, which is no fast tokenizer,")
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    out = Writer()
    _settings(out, tokenizer, reading)
    _write_added(out, tokenizer, backend["added_tokens"])
    NormaliserWriter(out).write(backend["normalizer"])
    _pre_tokenisers(out, backend["pre_tokenizer"])
    strings = _model(out, backend)
    _templates(out, tokenizer)
    write_decoding(out, tokenizer, backend, strings)
    _self_test(out, tokenizer)
    return out.finish(VERSION if is_sanitized(tokenizer.backend_tokenizer) else WITHOUT_SANITIZER)


def compile_tokenizer(source: str, target: Path, reading: Reading) -> None:
    """Write the table of any tokenizer that `compile_table` takes.

    Args:
        source: folder with a tokenizer, or its id on the hub.
        target: file to write; its folder exists.
        reading: what is kept of a long text; a ``max_length`` of 0 is the tokenizer's own.

    Raises:
        InputError: if there is no such tokenizer, or it has a part that the table cannot hold.
    """
    from transformers import AutoTokenizer  # loads torch

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{source} is no tokenizer ({reason}); name a folder or a hub id.") from error
    restore_sanitizer(tokenizer, Path(source), noted=False)
    own = int(tokenizer.model_max_length)
    length = reading.max_length or (own if own < _ENDLESS else _LONGEST)
    content = compile_table(tokenizer, replace(reading, max_length=length))
    write_whole(target, lambda path: path.write_bytes(content))


def _settings(out: Writer, tokenizer: Any, reading: Reading) -> None:
    spaced = reading.words and getattr(tokenizer, "add_prefix_space", None) is False
    out.u32(reading.max_length, reading.overlap)
    out.u8(_TRUNCATIONS.index(reading.truncation), tokenizer.truncation_side == "left", reading.words, spaced)
    out.u8(tokenizer.padding_side == "left", "token_type_ids" in tokenizer.model_input_names)
    if tokenizer.pad_token_id is None:
        raise InputError("the tokenizer has no padding token; set tokenizer.pad_token (GPT-2: to its eos_token).")
    out.u32(tokenizer.pad_token_id, tokenizer.pad_token_type_id)


def _write_added(out: Writer, tokenizer: Any, tokens: Sequence[Json]) -> None:
    """Write the tokens that are found before all else, and the white space that some of them swallow."""
    normaliser = tokenizer.backend_tokenizer.normalizer
    out.u32(len(tokens))
    for token in tokens:
        if token["single_word"]:
            raise refuse("added token", f"{token['content']!r} (single_word)")
        normal = bool(token["normalized"])
        content = normaliser.normalize_str(token["content"]) if normal and normaliser else token["content"]
        out.numbers(map(ord, content))
        out.u32(token["id"])
        out.u8(token["lstrip"], token["rstrip"], normal)
    out.numbers(unicode.white_space() if any(token["lstrip"] or token["rstrip"] for token in tokens) else [])


def _pre_tokenisers(out: Writer, step: Json | None) -> None:
    steps = _flat(step)
    out.u32(len(steps))
    for one in steps:
        _pre_tokeniser(out, one)


def _flat(step: Json | None) -> list[Json]:
    if step is None:
        return []
    if step["type"] == "Sequence":
        return [inner for outer in step["pretokenizers"] for inner in _flat(outer)]
    return [step]


def _pre_tokeniser(out: Writer, step: Json) -> None:
    kind = step["type"]
    if kind == "BertPreTokenizer":
        out.u8(BERT)
        _classes(out, "BertPreTokenizer")
    elif kind == "WhitespaceSplit":
        out.u8(WHITE)
        _classes(out, "WhitespaceSplit")
    elif kind == "Punctuation" and step["behavior"] == "Isolated":
        out.u8(PUNCTUATION)
        _classes(out, "Punctuation", "isolated")
    elif kind == "Whitespace":
        out.u8(WORDS)
        _classes(out, "Whitespace")
    elif kind == "Metaspace":
        out.u8(METASPACE)
        out.numbers(map(ord, step["replacement"]))
        out.u8(_SCHEMES.index(step["prepend_scheme"]), step["split"])
    elif kind == "ByteLevel":
        out.u8(BYTE_LEVEL, step["add_prefix_space"], step["use_regex"])
        for found in _byte_level_classes():
            out.numbers(found)
    else:
        raise refuse("pre-tokeniser", kind)


def _classes(out: Writer, name: str, *settings: str) -> None:
    for found in _separating_code_points(name, *settings):
        out.numbers(found)


@cache
def _separating_code_points(name: str, *settings: str) -> tuple[list[int], list[int]]:
    """Return the code points that vanish between two words, and those that part them and stay."""
    split = getattr(pre_tokenizers, name)(*settings).pre_tokenize_str
    gone, apart = [], []
    for char in unicode.every():
        pieces = split(f"a{char}a")
        if len(pieces) == 2:
            gone.append(ord(char))
        elif len(pieces) == 3:
            apart.append(ord(char))
    return gone, apart


@cache
def _byte_level_classes() -> tuple[list[int], ...]:
    """Return letters, numbers and white space, as the pattern of GPT-2 tells them apart."""
    split = ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str
    letters: list[int] = []
    numbers: list[int] = []
    spaces: list[int] = []
    for char in unicode.every():
        # A letter goes on with "a", a number with "1", another sign with "-"; white space with none of them.
        if len(split("-" + char)) > 1:
            found = letters if len(split("a" + char)) == 1 else numbers if len(split("1" + char)) == 1 else spaces
            found.append(ord(char))
    return letters, numbers, spaces


def _model(out: Writer, backend: Json) -> dict[int, str]:
    """Write the model; return the strings of ids that a reader finds in it."""
    model = backend["model"]
    kind = model["type"]
    if kind == "WordPiece":
        out.u8(WORD_PIECE)
        out.blob(model["continuing_subword_prefix"])
        out.u32(model["vocab"][model["unk_token"]], model["max_input_chars_per_word"])
        _vocabulary(out, {token.encode(): i for token, i in model["vocab"].items()})
        return {i: token for token, i in model["vocab"].items()}
    if kind == "BPE":
        return _bpe(out, model, [step["type"] for step in _flat(backend["pre_tokenizer"])])
    if kind == "Unigram":
        return _unigram(out, model)
    raise refuse("model", kind)


def _vocabulary(out: Writer, vocabulary: dict[bytes, int]) -> None:
    out.u32(len(vocabulary))
    for token, i in sorted(vocabulary.items()):
        out.blob(token)
        out.u32(i)


def _bpe(out: Writer, model: Json, before: Sequence[str]) -> dict[int, str]:
    if before[-1:] != ["ByteLevel"]:
        raise refuse("model", "BPE that is not byte-level")
    odd = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if any(model.get(name) for name in odd):
        raise refuse("model", f"BPE with {next(name for name in odd if model.get(name))}")
    to_byte = {char: byte for byte, char in _byte_alphabet().items()}
    ids: dict[str, int] = model["vocab"]
    out.u8(BPE)
    out.u8(bool(model.get("ignore_merges")))
    known = {bytes(to_byte[c] for c in t): i for t, i in ids.items() if all(c in to_byte for c in t)}
    _vocabulary(out, known)
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    out.u32(len(pairs))
    for left, right in pairs:
        out.u32(ids[left], ids[right], ids[left + right])
    return {i: token for token, i in ids.items() if all(c in to_byte for c in token)}


def _byte_alphabet() -> dict[int, str]:
    """Return the visible character that stands for each byte in byte-level vocabularies (GPT-2's choice)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _unigram(out: Writer, model: Json) -> dict[int, str]:
    if model.get("byte_fallback"):
        raise refuse("model", "Unigram with byte_fallback")
    if model["unk_id"] is None:
        raise refuse("model", "Unigram without an unknown token")
    scores = {token.encode(): (i, score) for i, (token, score) in enumerate(model["vocab"])}
    out.u8(UNIGRAM)
    out.u32(model["unk_id"])
    out.f64(min(score for _, score in model["vocab"]) - _UNKNOWN_PENALTY)
    out.u32(len(scores))
    for token, (i, score) in sorted(scores.items()):
        out.blob(token)
        out.u32(i)
        out.f64(score)
    return {i: token.decode() for token, (i, _) in scores.items()}


def _templates(out: Writer, tokenizer: Any) -> None:
    """Write where special tokens stand in a text and in a pair, read off what the tokenizer does with two letters."""
    for pair in ((), ("b",)):
        full = tokenizer("a", *pair).encodings[0]
        parts: list[tuple[int, int, int]] = []
        for i, kind, sequence in zip(full.ids, full.type_ids, full.sequence_ids, strict=True):
            entry = (0, i, kind) if sequence is None else (sequence + 1, 0, kind)
            if sequence is None or entry not in parts:
                parts.append(entry)
        if sorted(part for part, _, _ in parts if part) != [1, *(2 for _ in pair)]:
            raise refuse("post-processor", "with a text in several places")
        out.u32(len(parts))
        for part in parts:
            out.u32(*part)


def _self_test(out: Writer, tokenizer: Any) -> None:
    """Write texts with ids, offsets and what is decoded, which the runtime repeats whenever it loads the table."""
    texts = SELF_TEST + (SANITIZER_TEST if is_sanitized(tokenizer.backend_tokenizer) else ())
    out.u32(len(texts))
    for text in texts:
        (found,) = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).encodings
        out.blob(text)
        out.numbers(found.ids)
        out.u32(len(found.ids))
        out.u32(*(place for offset in found.offsets for place in offset))
        out.blob(tokenizer.backend_tokenizer.decode(found.ids, skip_special_tokens=False))
