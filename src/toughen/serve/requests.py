"""What clients send: JSON, taken apart with one sentence for everything that can be wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from toughen.serve.model import Text
from toughen.serve.refusals import Refusal, invalid

_SHAPES = {
    "texts": 'a string, or a list of strings, such as {"inputs": "a good film"}',
    "pairs": 'a pair of strings, or a list of pairs, such as {"inputs": [["a question", "an answer"]]}',
    "tokens": 'a string, or a list of strings or of lists of words, such as {"inputs": [["a", "good", "film"]]}',
}


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        texts: at least one, of the model's kind.
        many: whether they came as a list, and are answered as one.
        options: whatever else the request had, checked where it is used.
    """

    texts: list[Text]
    many: bool
    options: dict[str, Any]

    def flag(self, name: str, default: bool) -> bool:
        """Return an option that is true or false; null is the default."""
        value = self.options.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false, got {_kind(value)}.")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return an option that is a whole number within bounds; null is the default."""
        value = self.options.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = value if isinstance(value, int) and abs(value) < 10**9 else _kind(value)
            raise invalid(f"{name} must be a whole number from {least} to {most}, got {shown}.")
        return value


def read(body: bytes, kind: str, most: int) -> Asked:
    """Take a request's body apart.

    Args:
        body: JSON: {"inputs": ..., ...}.
        kind: what the model takes: texts, pairs or tokens.
        most: texts per request.

    Raises:
        Refusal: if it is not JSON, has no inputs, or they are of another kind than the model takes.
    """
    content = _parsed(body)
    if not isinstance(content, dict) or "inputs" not in content:
        raise invalid(f"The body must be a JSON object with inputs: {_SHAPES[kind]}.")
    inputs = content.pop("inputs")
    if isinstance(inputs, list) and not inputs:
        raise invalid("inputs is an empty list; send at least one text.")
    many = _is_many(inputs, kind)
    if many and len(inputs) > most:
        raise Refusal(413, f"inputs has {len(inputs):,} texts and one request may have {most:,}; send them in parts.")
    texts = [_text(one, kind, i) for i, one in enumerate(inputs if many else [inputs])]
    return Asked(texts, many, content)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise invalid("The body is nested too deeply to be read; send inputs as a string or a list.") from None
    except ValueError as error:  # of json, and of bytes that are not UTF-8
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise invalid(f"The body is not valid JSON in UTF-8{where}; send an object with inputs.") from None


def _is_many(inputs: Any, kind: str) -> bool:
    """Tell whether inputs are a list of texts; a list of two strings is one pair where the model takes pairs."""
    if not isinstance(inputs, list):
        return False
    return not (kind == "pairs" and len(inputs) == 2 and all(isinstance(one, str) for one in inputs))


def _text(given: Any, kind: str, position: int) -> Text:
    """Return one text, as the model takes it."""
    strings = [given] if isinstance(given, str) else given
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise invalid(f"Text {position + 1} of inputs is {_kind(given)}; inputs must be {_SHAPES[kind]}.")
    for one in strings:
        _check_unicode(one, position)
    if kind == "tokens":
        return list(strings) if isinstance(given, list) else given.split()
    if len(strings) != (2 if kind == "pairs" else 1):
        was = "one string" if isinstance(given, str) else f"a list of {len(strings)} strings"
        raise invalid(f"Text {position + 1} of inputs is {was}; this model takes {_SHAPES[kind]}.")
    return (strings[0], strings[1]) if kind == "pairs" else strings[0]


def _check_unicode(text: str, position: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(f"Text {position + 1} of inputs has half of a surrogate pair; send whole characters.") from None


def _kind(value: Any) -> str:
    """Say in JSON's words what a value is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "something else")
