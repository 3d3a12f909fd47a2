"""Write small tables with every kind of step, splitter and model, for the fuzzer to begin with: seeds.py FOLDER"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from toughen.deploy.binary import MAGIC, VERSION, Writer, checksum

SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "a", "very", "good", "film", "##m", "##s", "é", "中", "文", "▁a", "▁", "'", "t"]
SPACE = [9, 10, 13, 32, 0xA0, 0x3000]
MARKS = [(0x301, 230), (0x323, 220), (0x94D, 9)]


def codes(out: Writer, text: str) -> None:
    """Write the code points of a text after their number."""
    out.numbers(map(ord, text))


def steps() -> list[bytes]:
    """Return one step of each kind."""
    made = [Writer() for _ in range(11)]
    for kind, step in enumerate(made, 1):
        step.u8(kind)
    entries = {"A": "a", "é": "e\u0301", "中": " 中 ", "\u0301": "", "\ufb01": "fi"}
    made[0].u32(len(entries))
    for before, after in entries.items():
        made[0].u32(ord(before))
        codes(made[0], after)
    for step in made[1:3]:
        step.u32(len(MARKS), *(number for mark in MARKS for number in mark))
    made[2].u32(1, ord("e"), 0x301, ord("é"))
    made[3].u32(2)
    for before, after in (("\ufb01", "fi"), ("e\u0301", "é")):
        codes(made[3], before)
        codes(made[3], after)
    made[3].u32(5, 0x301, 1, 0x600, 2, 13, 3, 0x915, 4, 0x94D, 5)
    codes(made[4], "``")
    codes(made[4], '"')
    made[5].u32(2)
    codes(made[5], " ")
    codes(made[5], "\t")
    codes(made[5], " ")
    made[6].u8(1, 1)
    made[6].numbers(SPACE)
    codes(made[7], "▁")
    codes(made[8], "\u0301\u200d")
    made[8].u32(2)
    made[8].u8(1)
    codes(made[8], "\u0301e")
    made[9].u32(2)
    made[10].u32(3)
    for letters in ("abcdefgoаоб", "abcdefgo", "б"):
        codes(made[10], letters)
    made[10].u32(2, ord("а"), ord("a"), ord("о"), ord("o"))
    return [step.finish_bare() for step in made]


def splitter(kind: int) -> bytes:
    """Return a splitter of a kind."""
    out = Writer()
    out.u8(kind)
    if kind == 3:
        codes(out, "▁")
        out.u8(0, 1)
    elif kind == 4:
        out.u8(1, 1)
        codes(out, "averygodfilmst")
        codes(out, "0123")
        out.numbers(SPACE)
    else:
        out.numbers(SPACE)
        codes(out, ".,'!-")
    return out.finish_bare()


def model(kind: int) -> bytes:
    """Return a model of a kind."""
    out = Writer()
    out.u8(kind)
    if kind == 1:
        out.blob("##")
        out.u32(0, 100, len(WORDS))
        for number, word in enumerate(WORDS):
            out.blob(word)
            out.u32(number)
    elif kind == 2:
        out.u8(1)
        out.u32(258)
        for byte in range(256):
            out.blob(bytes([byte]))
            out.u32(byte)
        for number, word in ((256, "go"), (257, "goo")):
            out.blob(word)
            out.u32(number)
        out.u32(2, ord("g"), ord("o"), 256, 256, ord("o"), 257)
    else:
        out.u32(0)
        out.f64(-20.0)
        known = sorted((word.encode(), number) for number, word in enumerate(WORDS))
        out.u32(len(known))
        for word, number in known:
            out.blob(word)
            out.u32(number)
            out.f64(-1.0 - number)
    return out.finish_bare()


def decoding(kind: int) -> bytes:
    """Return how places are trimmed and ids decoded: by a decoder of a kind."""
    out = Writer()
    out.u32(2 if kind == 2 else 0)
    out.u8(*((1, 0) if kind == 2 else ()))
    out.numbers(SPACE)
    out.u8(kind)
    if kind == 1:
        out.blob("##")
        out.u8(1)
    elif kind == 3:
        codes(out, "▁")
        out.u8(1)
    elif kind == 4:
        out.blob("Fuse")
    out.u32(2, 3)
    out.blob("[MASK]")
    out.u32(300)
    out.blob("▁Ġ é")
    out.numbers([1, 2, 3])
    return out.finish_bare()


def table(
    normalisers: list[bytes], splitters: list[bytes], bare_model: bytes, truncation: int, words: bool, decoder: int
) -> bytes:
    """Return a table of these parts, of at most 16 tokens."""
    out = Writer()
    out.u32(16, 2 if truncation == 3 else 0)
    out.u8(truncation, 0, words, 1, 0, 1)
    out.u32(0, 0)
    added = (("[MASK]", 3, 1, 0, 0), ("[CLS]", 1, 0, 1, 1))
    out.u32(len(added))
    for text, number, left, right, normal in added:
        codes(out, text)
        out.u32(number)
        out.u8(left, right, normal)
    out.numbers(SPACE)
    out.u32(len(normalisers))
    for step in normalisers:
        out.blob(step)
    parts = Writer()
    parts.u32(len(splitters))
    rest = Writer()
    rest.u32(3, 0, 1, 0, 1, 0, 0, 0, 2, 0)
    rest.u32(5, 0, 1, 0, 1, 0, 0, 0, 2, 0, 2, 0, 1, 0, 2, 1)
    payload = b"".join([out.finish_bare(), parts.finish_bare(), *splitters, bare_model, rest.finish_bare()])
    payload += decoding(decoder) + struct.pack("<I", 0)  # and no test texts
    return struct.pack("<8sIQQ", MAGIC, VERSION, len(payload), checksum(payload)) + payload


def main() -> None:
    """Write one table after the other."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    every = steps()
    kinds = {
        "wordpiece": (every[:3] + every[6:7], [splitter(1)], model(1), 0, False, 1),
        "windows": (every[:1], [splitter(2), splitter(5)], model(1), 3, False, 0),
        "bytes": (every[:3], [splitter(4)], model(2), 1, False, 2),
        "words": ([], [splitter(6), splitter(4)], model(2), 0, True, 2),
        "unigram": (every[3:7], [splitter(3)], model(3), 2, False, 3),
        "sanitized": (every[8:], [splitter(1)], model(1), 0, False, 1),
        "pieces": (every[3:4] + every[7:8], [splitter(3)], model(3), 0, False, 4),
    }
    for name, parts in kinds.items():
        (folder / f"{name}.bin").write_bytes(table(*parts))


if __name__ == "__main__":
    main()
