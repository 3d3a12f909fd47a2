"""What is taken out of a text that a reader does not see: a normaliser that stands before the tokenizer's own.

It is built of the tokenizers library's parts, so it is saved in ``tokenizer.json`` and goes wherever that goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers

from toughen.errors import InputError

INVISIBLE = (
    r"[\p{Default_Ignorable_Code_Point}\p{Cc}\x{fff9}-\x{fffb}&&[^\x08\t\n\r\x{85}\x{200c}\x{200d}\x{180b}-\x{180f}]]"
)
"""Characters without a glyph, joiners and Mongolian selectors apart: zero-width ones, bidirectional marks, controls."""
JOINERS = r"[\x{200c}\x{200d}\x{180b}-\x{180f}]"
JOINED = (
    r"[\p{Arabic}\p{Syriac}\p{Mongolian}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}"
    r"\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{So}\x{1f3fb}-\x{1f3ff}]"
)
"""Behind these, joiners and selectors are part of the writing (Persian, Hindi, emoji) and stay."""
UNJOINED = rf"{JOINERS}(?<!{JOINED}.)"
BACKSPACE, BACKSPACES = r"[^\x08]\x08", 4  # a backspace and what it deletes; so many may follow each other
MARKS, MOST_MARKS = r"[\p{Mn}\p{Me}]", 4
TOO_MANY_MARKS = f"{MARKS}(?<={MARKS}{{{MOST_MARKS + 1}}})"

_COUPLES = (
    # Cyrillic
    "аa еe оo рp сc хx уy ѕs іi јj һh ԁd ԛq ԝw ѵv ӏl үy гr "
    "АA ВB ЕE КK МM НH ОO РP СC ТT ХX УY ЅS ІI ЈJ ҮY ԚQ ԜW ԌG ѴV ӀI "
    # Greek
    "αa οo νv ρp ιi υu ϳj γy σo ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "
    # Armenian, and Latin letters of phonetic writing
    "օo ոn սu հh ցg զq ՕO ՍU ՏS ԼL ɑa ɡg"
)
LOOKALIKES: dict[str, str] = {pair[0]: pair[1] for pair in _COUPLES.split()}
"""Letters by the ASCII letter that they look like, of Unicode's confusables (UTS 39)."""
REACH = 31  # letters of a word that are looked at to either side
ALPHABETS = r"['\x{2019}\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Mn}]"
LATIN = r"[\p{Latin}&&[^ɑɡ]]"
UNLIKE = rf"[\p{{Greek}}\p{{Cyrillic}}\p{{Armenian}}&&[^{''.join(LOOKALIKES)}]]"
_FAR = f"{ALPHABETS}{{0,{REACH - 1}}}"
IN_MIXED_WORD = rf"(?!{_FAR}{UNLIKE})(?<!{UNLIKE}{_FAR}.)(?:(?={_FAR}{LATIN})|(?<={LATIN}{_FAR}.))"
"""Behind a letter: its word has a Latin letter, and no Greek, Cyrillic or Armenian one that looks like no Latin one."""


def sanitize(tokenizer: Any) -> None:
    """Put the sanitizer before a tokenizer's own normaliser, once.

    Args:
        tokenizer: a fast transformers tokenizer, which is changed.

    Raises:
        InputError: if the tokenizer is not of the tokenizers library.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise InputError(
            f"data.sanitize needs a fast tokenizer, and {type(tokenizer).__name__} is none; choose a model that has a "
            "tokenizer.json, or leave data.sanitize out."
        )
    if not is_sanitized(inner):
        own = [] if inner.normalizer is None else [inner.normalizer]
        inner.normalizer = normalizers.Sequence([*_steps(), *own])


def is_sanitized(inner: Any) -> bool:
    """Tell whether a tokenizer of the tokenizers library begins with the sanitizer."""
    if inner.normalizer is None:
        return False
    step = json.loads(inner.normalizer.__getstate__())
    while step["type"] == "Sequence" and step["normalizers"]:
        step = step["normalizers"][0]
    return bool(step["type"] == "Replace" and step["pattern"].get("Regex") == INVISIBLE)


def restore_sanitizer(tokenizer: Any, folder: Path, *, noted: bool) -> None:
    """Give a tokenizer the normaliser that stands in its folder, if that has the sanitizer.

    transformers builds the normaliser of many families anew and forgets the saved one.

    Args:
        tokenizer: as transformers loaded it, which is changed.
        folder: holds tokenizer.json.
        noted: whether the model was trained with the sanitizer.

    Raises:
        InputError: if it was, and the folder's tokenizer has none.
    """
    path = folder / "tokenizer.json"
    saved = Tokenizer.from_file(str(path)) if path.is_file() else None
    if saved is not None and is_sanitized(saved):
        tokenizer.backend_tokenizer.normalizer = saved.normalizer
    elif noted:
        raise InputError(
            f"the model in {folder} was trained with data.sanitize, but its tokenizer.json has no sanitizer: the file "
            "was written by another program; put the one that toughen train wrote back."
        )


def _steps() -> Iterator[Any]:
    yield normalizers.Replace(Regex(INVISIBLE), "")
    yield normalizers.Replace(Regex(UNJOINED), "")
    for _ in range(BACKSPACES):
        yield normalizers.Replace(Regex(BACKSPACE), "")
    yield normalizers.Replace("\b", "")
    yield normalizers.NFKC()
    yield normalizers.Replace(Regex(TOO_MANY_MARKS), "")
    for letter, made in LOOKALIKES.items():
        yield normalizers.Replace(Regex(letter + IN_MIXED_WORD), made)
    yield normalizers.NFC()  # marks with the letters just made


@cache
def sanitizer() -> Any:
    """Return the sanitizer alone, as a normaliser of the tokenizers library."""
    return normalizers.Sequence(list(_steps()))


def sanitized(text: str) -> str:
    """Return what a model trained with ``data.sanitize`` reads of a text, before its tokenizer's own rules."""
    found: str = sanitizer().normalize_str(text)
    return found
