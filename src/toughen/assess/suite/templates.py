"""The cases of a behavioural test: single texts, texts with what they were changed into, and templates of both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from toughen.errors import InputError

Text = str | tuple[str, str]
"""A text, or a text and its pair."""
_SLOT = re.compile(r"\{(\w+)\}")


def texts_of(where: str, case: object, alone: bool) -> tuple[Text, ...]:
    """Return the texts of a case as its file has it.

    Args:
        where: the case, for refusals.
        case: a text, or a list of texts of which the first is the original; a text of a pair is {text, text_pair}.
        alone: whether it must be one text.

    Raises:
        InputError: if it is something else, or a text is blank.
    """
    if alone:
        return (_text(where, case),)
    if not isinstance(case, list) or len(case) < 2:
        raise InputError(f"{where}: must be a list of a text and what it was changed into.")
    return tuple(_text(f"{where}, text {number}", one) for number, one in enumerate(case, 1))


def _text(where: str, value: object) -> Text:
    if isinstance(value, dict) and set(value) == {"text", "text_pair"}:
        return _single(where, value["text"]), _single(where, value["text_pair"])
    return _single(where, value)


def _single(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: must be a text, or a mapping of text and text_pair; put quotes around it.")
    if not value.strip():
        raise InputError(f"{where}: the text is blank.")
    return value


def expand(
    where: str, texts: Sequence[Text], fill: Mapping[str, Sequence[str]], vary: str | None
) -> Iterator[tuple[Text, ...]]:
    """Yield the cases that a template stands for: one for each way to fill in its {slots}.

    Args:
        where: the case, for refusals.
        texts: of the case; one text where a slot varies.
        fill: values by slot; without any, braces are text.
        vary: slot whose values make the texts of one case, the first being the original.

    Raises:
        InputError: if a slot has no values, or what varies is not in the text.
    """
    slots = list(dict.fromkeys(slot for text in texts for part in _parts(text) for slot in _SLOT.findall(part)))
    if not fill:
        yield tuple(texts)
        return
    unknown = [slot for slot in slots if slot not in fill]
    if unknown:
        raise InputError(f"{where}: {{{unknown[0]}}} is not in fill, which has {', '.join(fill)}.")
    if vary is not None and vary not in slots:
        raise InputError(f"{where}: {{{vary}}} is not in the text, and vary names it.")
    others = [slot for slot in slots if slot != vary]
    for values in product(*(fill[slot] for slot in others)):
        chosen = dict(zip(others, values, strict=True))
        if vary is None:
            yield tuple(_filled(text, chosen) for text in texts)
        else:
            yield tuple(_filled(texts[0], chosen | {vary: value}) for value in fill[vary])


def _parts(text: Text) -> Sequence[str]:
    return (text,) if isinstance(text, str) else text


def _filled(text: Text, values: Mapping[str, str]) -> Text:
    if isinstance(text, str):
        return _SLOT.sub(lambda found: values[found[1]], text)
    one, other = (_SLOT.sub(lambda found: values[found[1]], part) for part in text)
    return one, other
