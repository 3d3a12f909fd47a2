"""What is confused in Chinese: sounds, shapes, the two scripts; and symbols put between characters."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache

from toughen.attack.noise.confusables import LOOK_ALIKES, SYMBOLS, VARIANTS
from toughen.data.words import IDEOGRAPH
from toughen.errors import InputError

CHARACTER = re.compile(f"[{IDEOGRAPH}]")
BETWEEN = re.compile(f"(?<=[{IDEOGRAPH}])(?=[{IDEOGRAPH}])")


def homophone(character: str, rng: random.Random) -> str | None:
    """Replace a character by a common one of the same sound and tone.

    Raises:
        InputError: if pypinyin is not installed.
    """
    others = [other for other in _by_sound().get(_sound(character), ()) if other != character]
    return rng.choice(others) if others else None


def look_alike(character: str, rng: random.Random) -> str | None:
    """Replace a character by one of similar shape."""
    return rng.choice(LOOK_ALIKES[character]) if character in LOOK_ALIKES else None


def variant(character: str, rng: random.Random) -> str | None:
    """Write a simplified character in its traditional form, a traditional one in its simplified form."""
    return rng.choice(VARIANTS[character]) if character in VARIANTS else None


def insert_symbol(_: str, rng: random.Random) -> str:
    """Return a symbol to stand between two characters."""
    return rng.choice(SYMBOLS)


def is_chinese(text: str) -> bool:
    """Tell whether most letters of a text are Chinese characters."""
    letters = sum(map(str.isalpha, text))
    return letters > 0 and 2 * len(CHARACTER.findall(text)) > letters


@cache
def _by_sound() -> Mapping[str, tuple[str, ...]]:
    """Group the 3,755 characters of GB 2312's first level, the common ones, by their first sound."""
    groups: dict[str, list[str]] = {}
    for high in range(0xB0, 0xD8):
        for low in range(0xA1, 0xFF):
            character = bytes((high, low)).decode("gb2312", "ignore")
            if character:
                groups.setdefault(_sound(character), []).append(character)
    return {sound: tuple(characters) for sound, characters in groups.items()}


def _sound(character: str) -> str:
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError:
        raise InputError(
            "Chinese homophones (zh-homophone) need the package pypinyin, which is not installed; pip install "
            "pypinyin, or name other corruptions."
        ) from None
    return str(lazy_pinyin(character, style=Style.TONE3)[0])
