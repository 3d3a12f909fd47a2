"""A fast tokenizer's normaliser as steps of the table, each a map of code points or one of few rules."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from toughen.deploy import graphemes, unicode
from toughen.deploy.binary import Writer
from toughen.errors import InputError

Json = Mapping[str, Any]
MAP, REORDER, COMPOSE, PRECOMPILED, REPLACE, COLLAPSE, STRIP, PREPEND = range(1, 9)


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
        if normaliser is not None:
            self._add(normaliser)
        self._out.u32(len(self._steps))
        for step in self._steps:
            self._out.blob(step.finish_bare())

    def _add(self, step: Json) -> None:
        kind = step["type"]
        if kind == "Sequence":
            for inner in step["normalizers"]:
                self._add(inner)
        elif kind in ("NFD", "NFKD", "NFC", "NFKC"):
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

    def _add_strip(self, step: Json) -> None:
        out = self._step(STRIP)
        out.u8(step["strip_left"], step["strip_right"])
        out.numbers(unicode.white_space())

    def _add_prepend(self, step: Json) -> None:
        self._step(PREPEND).numbers(map(ord, step["prepend"]))


def _runs(regex: str) -> tuple[int, list[int], list[int]]:
    """Return the least length of a run that is replaced, its code points, and those that are replaced alone."""
    if regex == " {2,}":
        return 2, [ord(" ")], []
    if regex == r"\s+":
        return 1, unicode.pattern_space(), []
    if regex == r"\s{2,}|[\n\r\t]":
        return 2, unicode.pattern_space(), [ord(char) for char in "\n\r\t"]
    raise refuse("normaliser", f"Replace with the pattern {regex!r}")
