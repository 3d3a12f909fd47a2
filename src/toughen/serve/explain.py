"""Two looks at one answer: which words it rests on, and whether typing errors change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from toughen.attack.noise.chinese import is_chinese
from toughen.attack.noise.corruptions import CHINESE, GENERAL, Corruption
from toughen.data.words import Words
from toughen.serve.cut import Cut
from toughen.serve.model import Row, Served, Text
from toughen.serve.refusals import invalid

_MOST_WORDS = 100
"""Occluded one by one; of a longer text neighbours go together."""

MOST_KINDS = max(len(GENERAL), len(CHINESE))
"""Kinds of errors that one text is given."""


@dataclass(frozen=True)
class Occluded:
    """A text with each of its words (or runs of them) left out once.

    Attributes:
        texts: the text itself, then one text for each piece left out; as much of each as the model reads.
        pieces: of each part of the text (two of a pair) strings that make it up, each with the index in ``texts`` at
            which it is left out; None is never.
    """

    texts: list[Text]
    pieces: list[list[tuple[str, int | None]]]


def occlude_words(parts: Sequence[Cut], most: int) -> Occluded:
    """Leave out every word once.

    Args:
        parts: a text, or the two of a pair.
        most: texts that may be made.
    """
    text = join_parts(parts)
    most = min(most - 1, _MOST_WORDS) // len(parts)
    texts: list[Text] = [text]
    pieces: list[list[tuple[str, int | None]]] = []
    for number, part in enumerate(parts):
        found: list[tuple[str, int | None]] = []
        end, gap = 0, part.left_out
        for start, stop in _spans(Words.of(part.text), max(most, 1)):
            if gap and part.at <= start:
                place = max(part.at, end)
                found += [(part.text[end:place], None), (gap, None)]
                end, gap = place, ""
            found += [(part.text[end:start], None), (part.text[start:stop], len(texts))]
            texts.append(_with(text, number, _without(part.text, start, stop)))
            end = stop
        place = max(part.at, end) if gap else end
        found += [(part.text[end:place], None), (gap, None), (part.text[place:], None)]
        pieces.append([piece for piece in found if piece[0]])
    return Occluded(texts, pieces)


def join_parts(parts: Sequence[Cut]) -> Text:
    """Return the text that some parts are."""
    return parts[0].text if len(parts) == 1 else (parts[0].text, parts[1].text)


def _spans(words: Words, most: int) -> list[tuple[int, int]]:
    """Return where the words start and end in the text; at most so many spans, of several words each if need be."""
    size = -(-len(words) // most)
    return [
        (words.spans[start][0], words.spans[min(start + size, len(words)) - 1][1])
        for start in range(0, len(words), size or 1)
    ]


def _without(text: str, start: int, stop: int) -> str:
    """Return a text without a piece, and without one of the spaces on both sides of it."""
    before, after = text[:start], text[stop:]
    return before + (after[1:] if (not before or before.endswith(" ")) and after.startswith(" ") else after)


def _with(text: Text, number: int, part: str) -> Text:
    """Put another string in the place of a part of a text."""
    if isinstance(text, str):
        return part
    return (part, text[1]) if number == 0 else (text[0], part)


def explanation(served: Served, label: str | None, made: Occluded, rows: Sequence[Row]) -> dict[str, Any]:
    """Say what each word did for one label: its score with the word, less its score without.

    Args:
        served: the model.
        label: which; None is the one predicted (of several labels the likeliest).
        made: what was asked.
        rows: the outputs for ``made.texts``.
    """
    index = _label(served, label, rows[0])
    whole = float(rows[0][index])
    texts = [
        [{"text": piece, "effect": None if at is None else whole - float(rows[at][index])} for piece, at in part]
        for part in made.pieces
    ]
    predictions = served.predictions(made.texts[0], rows[0])
    return {"predictions": predictions, "label": served.labels[index], "score": whole, "texts": texts}


def check_label(served: Served, label: str | None) -> None:
    """Refuse a label that the model does not have, before anything is computed for it.

    Raises:
        Refusal: if there is no such label.
    """
    if label is not None and label not in served.labels:
        names = ", ".join(served.labels[:20])
        raise invalid(f"The model has no such label; label must be one of: {names}.")


def _label(served: Served, label: str | None, row: Row) -> int:
    if label is not None:
        return served.labels.index(label)
    chosen = served.chosen(row)
    return chosen[0] if len(chosen) == 1 else int(row.argmax())


def corruptions_for(text: Text) -> list[Corruption]:
    """Return the corruptions that fit the script of a text and need nothing that is not installed."""
    whole = text if isinstance(text, str) else " ".join(text)
    kinds = CHINESE if is_chinese(whole) else GENERAL
    return [kind for kind in kinds if kind.needs is None or find_spec(kind.needs) is not None]


def corrupt_text(
    text: Text, *, severity: int, seed: int, wanted: Callable[[], bool] = lambda: True
) -> list[tuple[str, Text]]:
    """Return a text with each kind of error, by the kind's name; kinds that change nothing are left out.

    Args:
        text: the text.
        severity: 1 to 5.
        seed: of the errors.
        wanted: asked before each kind whether the answer is still waited for.
    """
    made: list[tuple[str, Text]] = []
    for kind in corruptions_for(text):
        if not wanted():
            return []
        new = _each(text, lambda part, kind=kind: kind(part, severity=severity, seed=seed))  # type: ignore[misc]
        if new != text:
            made.append((kind.name, new))
    return made


def _each(text: Text, change: Callable[[str], str]) -> Text:
    if isinstance(text, str):
        return change(text)
    return (change(text[0]), change(text[1]))


def robustness(served: Served, text: Text, made: Sequence[tuple[str, Text]], rows: Sequence[Row]) -> dict[str, Any]:
    """Say how the answers to corrupted texts differ from the answer to the text.

    Args:
        served: the model.
        text: as it was written.
        made: corruption and corrupted text.
        rows: the outputs for the text, and then for each of ``made``.
    """
    first, *others = rows
    before = served.chosen(first)
    texts = [
        {
            "corruption": name,
            "inputs": new if isinstance(new, str) else list(new),
            "predictions": served.predictions(new, row),
            "changed": None if served.task == "regression" else served.chosen(row) != before,
        }
        for (name, new), row in zip(made, others, strict=True)
    ]
    return {"predictions": served.predictions(text, first), "texts": texts}
