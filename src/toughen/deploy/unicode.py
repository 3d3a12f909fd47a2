"""What the tokenizers library does with every code point: asked of the library, which has Unicode tables of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tokenizers import Regex, normalizers

CodePoints = dict[int, str]


def every() -> Iterator[str]:
    """Yield all Unicode scalar values: code points but for surrogates."""
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            yield chr(code)


@cache
def changes(name: str, *settings: bool) -> CodePoints:
    """Return what one of the library's normalisers makes of each code point that it changes."""
    normalise = _normaliser(name, *settings).normalize_str
    found = ((char, normalise(char)) for char in every())
    return {ord(char): made for char, made in found if made != char}


def members(test: Callable[[str], bool]) -> list[int]:
    """Return the code points for which a test holds."""
    return [ord(char) for char in every() if test(char)]


@cache
def rank_combining() -> dict[int, int]:
    """Return a rank for each code point that canonical ordering moves: those of one combining class have one rank."""
    order = _normaliser("NFD").normalize_str
    low, high = "\u0334", "\u0345"  # overlay (class 1) sorts before all others, iota subscript (240) after
    moved = [c for c in every() if order(high + c) == c + high or (c != low and order(c + low) == low + c)]
    ranks: dict[int, int] = {ord(high): 255, ord(low): 1}
    representatives: list[str] = []
    for char in moved:
        if not any(_same_class(order, char, known) for known in representatives):
            representatives.append(char)
    # Of two classes, the lower one is put first: as many classes are above as there are swaps.
    below = {r: sum(r != o and order(r + o) == o + r for o in representatives) for r in representatives}
    for char in moved:
        known = next(r for r in representatives if _same_class(order, char, r))
        ranks.setdefault(ord(char), below[known] + 1)
    return ranks


def _same_class(order: Callable[[str], str], first: str, second: str) -> bool:
    return order(first + second) == first + second and order(second + first) == second + first


@cache
def compositions() -> list[tuple[int, int, int]]:
    """Return (first, second, composed) of NFC, Hangul (which is arithmetic) apart."""
    compose = _normaliser("NFC").normalize_str
    found = []
    for code, parts in changes("NFD").items():
        if 0xAC00 <= code <= 0xD7A3 or len(parts) < 2 or compose(chr(code)) != chr(code):
            continue
        first = compose(parts[:-1])
        if len(first) == 1:
            found.append((ord(first), ord(parts[-1]), code))
    return found


@cache
def white_space() -> list[int]:
    """Return the code points that the library strips."""
    strip = _normaliser("Strip").normalize_str
    return members(lambda char: strip("a" + char) == "a")


@cache
def pattern_space() -> list[int]:
    r"""Return the code points that ``\s`` stands for in the library's patterns."""
    mark = _normaliser("Replace", Regex(r"\s"), "X").normalize_str
    return members(lambda char: mark(char) == "X" and char != "X")


@cache
def matching(pattern: str) -> list[int]:
    """Return the code points that a pattern of the library's stands for."""
    erase = _normaliser("Replace", Regex(pattern), "").normalize_str
    found: list[int] = []
    for block in _blocks():
        left = erase(block)
        if len(left) < len(block):
            found += sorted(map(ord, set(block) - set(left)))
    return found


@cache
def _blocks() -> list[str]:
    """Return all code points in strings of 4096; the library is slow with one of them all."""
    chars = "".join(every())
    return [chars[start : start + 4096] for start in range(0, len(chars), 4096)]


def _normaliser(name: str, *settings: Any) -> Any:
    return getattr(normalizers, name)(*settings)
