"""Beginnings of long texts that have the same first tokens, so that the rest, which is cut off, is never read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

_PER_TOKEN, _LEAST = 8, 256  # characters tried first: so many per token, and besides
_KNOWN = {"BertPreTokenizer", "ByteLevel", "Metaspace", "Punctuation", "Whitespace", "WhitespaceSplit"}
_PATTERNS = {" {2,}", r"\s+", r"\s{2,}|[\n\r\t]"}  # of Replace: runs of white space, of which one is no run
_SPACES = " \n\t\r"
# Letters, digits and signs that no rule of Unicode joins with white space beside them.
_PLAIN = (
    "\u0021-\u007e\u00c0-\u024f\u0391-\u03c9\u0400-\u0481\u048a-\u052f\u05d0-\u05ea\u0621-\u064a\u0904-\u0939"
    "\u0e01-\u0e2e\u2010-\u2027\u3001-\u3002\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\uff01-\uff60\U0001f300-\U0001f3fa\U0001f400-\U0001f64f"
)
_IDEOGRAPH = "\u4e00-\u9fff"


@lru_cache(maxsize=8)
def beginnings_of(tokenizer: Any) -> Beginnings:
    """Return what cuts a tokenizer's texts; it is found out once."""
    return Beginnings(tokenizer)


class Beginnings:
    """Finds where a tokenizer's long texts may be cut; as ``cpp/src/table.cpp`` does.

    A place between a sign and single white space will do if the tokenizer's own normaliser and pre-tokeniser make a
    piece end there whatever follows; between two ideographs likewise.

    Args:
        tokenizer: one whose ``backend_tokenizer`` is of the tokenizers library; others' texts are left whole.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._inner: Any = getattr(tokenizer, "backend_tokenizer", None)
        self._place = None if self._inner is None else _places(self._inner)

    def of(self, text: str, tokens: int) -> str:
        """Return a beginning with more than so many tokens, special ones apart, or the whole text."""
        for part in self._parts(text, tokens):
            if self._count(part) > tokens:
                return part
        return text

    def of_words(self, words: Sequence[str], tokens: int) -> Sequence[str]:
        """Return the first words that have more than so many tokens, or all of them."""
        size = 2 * tokens
        while self._inner is not None and size < len(words):
            part = words[:size]
            if self._count(part, is_pretokenized=True) > tokens:
                return part
            size *= 4
        return words

    def _count(self, given: Any, **how: bool) -> int:
        found = self._inner.encode(given, add_special_tokens=False, **how)
        # A tokenizer may have been set to cut by the call before.
        return len(found.ids) + sum(len(rest.ids) for rest in found.overflowing)

    def _parts(self, text: str, tokens: int) -> Iterator[str]:
        size = _LEAST + _PER_TOKEN * tokens
        while self._place is not None and size < len(text):
            found = self._place.search(text, size, size + max(size, 65536))
            if found:
                yield text[: found.start()]
            size *= 4


def _places(inner: Any) -> re.Pattern[str] | None:
    """Return the pattern of places at which a text may be cut; None where nothing is known of them."""
    if any(step["type"] not in _KNOWN for step in _steps(inner.pre_tokenizer, "pretokenizers")):
        return None
    spans = [step["pattern"] for step in _steps(inner.normalizer, "normalizers") if step["type"] == "Replace"]
    if any("Regex" in pattern and pattern["Regex"] not in _PATTERNS for pattern in spans):
        return None
    added = (token.content for token in inner.get_added_tokens_decoder().values())
    joined = [text for text in (*(pattern.get("String", "") for pattern in spans), *added) if len(text) > 1]
    spaces = [c for c in _SPACES if _parts_at(inner, f"a{c}a") and not any(_is_mixed(text, c) for text in joined)]
    ways = [f"(?<=[{_PLAIN}])[{''.join(spaces)}](?=[{_PLAIN}])"] if spaces else []
    if _parts_at(inner, "\u4e00\u4e00") and not any(re.search(f"[{_IDEOGRAPH}]", text) for text in joined):
        ways.append(f"(?<=[{_IDEOGRAPH}])(?=[{_IDEOGRAPH}])")
    return re.compile("|".join(ways)) if ways else None


def _steps(part: Any, inner: str) -> Iterator[Any]:
    """Yield the settings of a normaliser's or pre-tokeniser's steps."""
    waiting = [] if part is None else [json.loads(part.__getstate__())]
    while waiting:
        step = waiting.pop()
        if step["type"] == "Sequence":
            waiting += step[inner]
        else:
            yield step


def _parts_at(inner: Any, text: str) -> bool:
    """Say whether the first character is read as if nothing followed it."""

    def pieces(given: str) -> list[str]:
        normal = given if inner.normalizer is None else inner.normalizer.normalize_str(given)
        if inner.pre_tokenizer is None:
            return [normal]
        return [piece for piece, _ in inner.pre_tokenizer.pre_tokenize_str(normal)]

    whole, first = pieces(text), pieces(text[0])
    return len(first) == 1 and len(whole) > 1 and whole[0] == first[0]


def _is_mixed(text: str, space: str) -> bool:
    """Say whether a text has white space, or its mark in a vocabulary, beside something else."""
    marks = {space, "\u2581", " "}
    return bool(marks & set(text)) and bool(set(text) - marks)
