"""A fast tokenizer's normaliser as steps of the table, each a map of code points or one of few rules."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from toughen.data.tokens import sanitizer
from toughen.deploy import graphemes, unicode
from toughen.deploy.binary import Writer
from toughen.errors import InputError

Json = Mapping[str, Any]
MAP, REORDER, COMPOSE, PRECOMPILED, REPLACE, COLLAPSE, STRIP, PREPEND, ERASE, BACKSPACE, MIXED = range(1, 12)


def refuse(part: str, name: object) -> InputError:
    """Return the error for a part of a tokenizer that the table cannot hold."""
    return InputError(
        f"the tokenizer's {part} {name} cannot be exported: tokenizer.bin holds WordPiece, byte-level BPE and Unigram "
        "with the parts that BERT, RoBERTa, GPT-2, XLM-R, ALBERT and DeBERTa use; choose such a model."
    )


class NormaliserWriter:
    """Writes steps; `write` once."""

    def __init__(self, out: Writer) -> None:
        self._steps: list[Writer] = []
        self._out = out

    def write(self, normaliser: Json | None) -> None:
        """Write the normaliser of a tokenizer.json.

        Raises:
            InputError: if a step of it is not known here.
        """
        for pattern, alike in groupby(_flat(normaliser), _pattern):
            if pattern is None:
                for one in alike:
                    self._add(one)
            else:
                self._sanitize(pattern, list(alike))
        self._out.u32(len(self._steps))
        for step in self._steps:
            self._out.blob(step.finish_bare())

    def _add(self, step: Json) -> None:
        kind = step["type"]
        if kind in ("NFD", "NFKD", "NFC", "NFKC"):
            self._decompose(kind)
        elif kind in ("Lowercase", "StripAccents", "Nmt"):
            self._map(unicode.changes(kind))
        else:
            method = getattr(self, f"_add_{kind.lower()}", None)
            if method is None:
                raise refuse("normaliser", kind)
            method(step)

    def _step(self, kind: int) -> Writer:
        writer = Writer()
        writer.u8(kind)
        self._steps.append(writer)
        return writer

    def _map(self, table: unicode.CodePoints) -> None:
        step = self._step(MAP)
        step.u32(len(table))
        for code, made in table.items():
            step.u32(code)
            step.numbers(map(ord, made))

    def _decompose(self, kind: str) -> None:
        self._map(unicode.changes("NFKD" if "K" in kind else "NFD"))
        ranks = unicode.rank_combining()
        for step in [self._step(REORDER)] + ([self._step(COMPOSE)] if kind.endswith("C") else []):
            step.u32(len(ranks))
            for code, rank in ranks.items():
                step.u32(code, rank)
        if kind.endswith("C"):
            pairs = unicode.compositions()
            step.u32(len(pairs))
            for pair in pairs:
                step.u32(*pair)

    def _add_bertnormalizer(self, step: Json) -> None:
        strip = step["lowercase"] if step["strip_accents"] is None else step["strip_accents"]
        self._map(unicode.changes("BertNormalizer", step["clean_text"], step["handle_chinese_chars"], False, False))
        if strip:
            self._decompose("NFD")
            # Not StripAccents, which takes away more kinds of marks.
            self._map(unicode.changes("BertNormalizer", False, False, True, False))
        if step["lowercase"]:
            self._map(unicode.changes("Lowercase"))

    def _add_precompiled(self, step: Json) -> None:
        entries = graphemes.charsmap_entries(base64.b64decode(step["precompiled_charsmap"]))
        classes = graphemes.classes()
        out = self._step(PRECOMPILED)
        out.u32(len(entries))
        for key, value in entries.items():
            out.numbers(map(ord, key.decode()))
            out.numbers(map(ord, value.decode()))
        out.u32(len(classes))
        for code, name in classes.items():
            out.u32(code, name)

    def _add_replace(self, step: Json) -> None:
        pattern, content = step["pattern"], step["content"]
        if "String" in pattern:
            out = self._step(REPLACE)
            out.numbers(map(ord, pattern["String"]))
            out.numbers(map(ord, content))
            return
        least, runs, single = _runs(pattern["Regex"])
        out = self._step(COLLAPSE)
        out.u32(least)
        out.numbers(runs)
        out.numbers(single)
        out.numbers(map(ord, content))

    def _sanitize(self, pattern: str, alike: Sequence[Json]) -> None:
        """Write steps that follow each other and have one of the sanitizer's patterns; see `sanitizer`."""
        if pattern == sanitizer.INVISIBLE:
            self._map(dict.fromkeys(unicode.matching(pattern), ""))
        elif pattern == sanitizer.BACKSPACE:
            self._step(BACKSPACE).u32(len(alike))
        elif pattern == sanitizer.IN_MIXED_WORD:
            out = self._step(MIXED)
            out.u32(sanitizer.REACH)
            for name in (sanitizer.ALPHABETS, sanitizer.LATIN, sanitizer.UNLIKE):
                out.numbers(unicode.matching(name))
            out.u32(len(alike))
            for step in alike:
                out.u32(ord(step["pattern"]["Regex"][0]), ord(step["content"]))
        else:
            joiners = pattern == sanitizer.UNJOINED
            out = self._step(ERASE)
            out.numbers(unicode.matching(sanitizer.JOINERS if joiners else sanitizer.MARKS))
            out.u32(1 if joiners else sanitizer.MOST_MARKS)
            out.u8(not joiners)
            out.numbers(unicode.matching(sanitizer.JOINED if joiners else sanitizer.MARKS))

    def _add_strip(self, step: Json) -> None:
        out = self._step(STRIP)
        out.u8(step["strip_left"], step["strip_right"])
        out.numbers(unicode.white_space())

    def _add_prepend(self, step: Json) -> None:
        self._step(PREPEND).numbers(map(ord, step["prepend"]))


def _flat(step: Json | None) -> Iterator[Json]:
    """Yield the steps of a normaliser in their order, sequences undone."""
    if step is None:
        return
    if step["type"] != "Sequence":
        yield step
        return
    for inner in step["normalizers"]:
        yield from _flat(inner)


def _pattern(step: Json) -> str | None:
    """Return which of the sanitizer's patterns a step has, all look-alikes one, and None for all other steps."""
    regex = step["pattern"].get("Regex", "") if step["type"] == "Replace" else ""
    if regex[1:] == sanitizer.IN_MIXED_WORD and regex[0] in sanitizer.LOOKALIKES and len(step["content"]) == 1:
        return sanitizer.IN_MIXED_WORD
    erases = (sanitizer.INVISIBLE, sanitizer.UNJOINED, sanitizer.BACKSPACE, sanitizer.TOO_MANY_MARKS)
    return regex if regex in erases and not step["content"] else None


def _runs(regex: str) -> tuple[int, list[int], list[int]]:
    """Return the least length of a run that is replaced, its code points, and those that are replaced alone."""
    if regex == " {2,}":
        return 2, [ord(" ")], []
    if regex == r"\s+":
        return 1, unicode.pattern_space(), []
    if regex == r"\s{2,}|[\n\r\t]":
        return 2, unicode.pattern_space(), [ord(char) for char in "\n\r\t"]
    raise refuse("normaliser", f"Replace with the pattern {regex!r}")
