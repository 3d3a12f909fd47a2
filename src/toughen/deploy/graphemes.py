"""Where the tokenizers library ends a grapheme: its Precompiled normaliser looks at whole ones below 6 bytes.

The library does not tell, but a Precompiled with a map of our own does: one that makes "X" of whatever starts with any
byte makes one "X" of a short grapheme, and one per code point of a long one.
"""

from __future__ import annotations

import base64
import json
import struct
from functools import cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from toughen.deploy.unicode import every

ATTACHED, PREPENDED, CONTROL, CONSONANT, LINKER = 1, 2, 3, 4, 5
_LEAF, _VALUE = 1 << 8, 1 << 31
_KA, _VIRAMA, _GRAVE = "\u0915", "\u094d", "\u0300"


def charsmap_entries(blob: bytes) -> dict[bytes, bytes]:
    """Return what a precompiled map replaces (a Darts double array of keys, then zero-ended values)."""
    (size,) = struct.unpack_from("<I", blob)
    units = np.frombuffer(blob, "<u4", size // 4, 4).astype(np.int64)
    values = blob[4 + size :]
    labels = np.arange(1, 256)
    found: dict[bytes, bytes] = {}
    pending = [(b"", _offset(int(units[0])))]
    while pending:
        key, base = pending.pop()
        places = base ^ labels
        inside = places < len(units)
        unit = np.where(inside, units[np.where(inside, places, 0)], -1)
        for label in labels[inside & ((unit & (_VALUE | 0xFF)) == labels)]:
            place = base ^ int(label)
            child = key + bytes([label])
            below = place ^ _offset(int(units[place]))
            if units[place] & _LEAF:
                start = int(units[below]) & (_VALUE - 1)
                found[child] = values[start : values.index(b"\0", start)]
            pending.append((child, below))
    return found


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & (1 << 9)) >> 6)


@cache
def classes() -> dict[int, int]:
    """Return the class of each code point that does not stand alone between two others."""
    count = _counter()
    found: dict[int, int] = {}
    for char in every():
        if count("a" + char) == 1:
            found[ord(char)] = ATTACHED
        elif count(char + "a") == 1:
            found[ord(char)] = PREPENDED
        elif len(char.encode()) < 4 and count(char + _GRAVE) == 2:  # of 6 bytes nobody asks
            found[ord(char)] = CONTROL
    return found | _conjuncts(count, found)


def _conjuncts(count: Any, found: dict[int, int]) -> dict[int, int]:
    """Return Indic consonants and the signs that join two: such a cluster is long, so each of its points counts."""
    if count(_KA + _VIRAMA + _KA + _GRAVE) != 4:
        return {}  # a library from before Unicode 15.1 does not join them
    letters = [chr(c) for c in range(0x0900, 0x12000) if not 0xD800 <= c < 0xE000]
    linkers = [c for c in letters if found.get(ord(c)) == ATTACHED and count(_KA + c + _KA + _GRAVE) == 4]
    joined = [c for c in letters if ord(c) not in found and count(c + _VIRAMA + _KA + _GRAVE) == 4]
    return dict.fromkeys(map(ord, linkers), LINKER) | dict.fromkeys(map(ord, joined), CONSONANT)


def _counter() -> Any:
    """Return a function that counts graphemes below 6 bytes once, and the code points of longer ones."""
    blob = base64.b64encode(_one_byte_keys()).decode()
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    normaliser = {"type": "Precompiled", "precompiled_charsmap": blob}
    keys = ("truncation", "padding", "pre_tokenizer", "post_processor", "decoder")
    whole = {"version": "1.0", "added_tokens": [], "normalizer": normaliser, "model": model} | dict.fromkeys(keys)
    normalise = Tokenizer.from_str(json.dumps(whole)).normalizer.normalize_str
    return lambda text: len(normalise(text))


def _one_byte_keys() -> bytes:
    """Return a map whose keys are all single bytes, each for "X": root, 256 children, and one leaf each."""
    units = [0] * 1024
    units[0] = 256 << 10  # children of the root at 256 ^ label
    for label in range(1, 256):
        place = 256 ^ label
        target = 512 + label  # its leaf, alone
        units[place] = ((place ^ target) << 10) | _LEAF | label
        units[target] = _VALUE  # the value at 0
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + b"X\0"
