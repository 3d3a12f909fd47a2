"""The filters that a user names slices by: `long: length > 200 and label = positive`, read without running any code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.errors import InputError

Mask = NDArray[np.bool_]
_NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_EXAMPLE = 'such as "long: length > 200" or "negated: text contains not and label = positive"'
# FIELD OP VALUE; a field of several words, or a value with " and ", stands in double quotes.
_TERM = re.compile(
    r'\s*(?P<field>"[^"]+"|[^\s"<>=!]+)\s*'
    r"(?P<op><=|>=|!=|==|=|<|>|\bnot\s+contains\b|\bcontains\b)\s*"
    r'(?P<value>"[^"]*"|.+?)\s*(?:\s(?P<more>and)\s|$)',
    re.DOTALL,
)
_BEYOND = "㐀-䶿一-鿿豈-﫿"  # written without spaces: a word has no edges there


@dataclass(frozen=True)
class Term:
    """One comparison.

    Attributes:
        field: length, text, text_pair, label, prediction, confidence, or a column of the data.
        op: one of < <= > >= = != contains, not contains.
        value: what it is compared with.
    """

    field: str
    op: str
    value: str

    def mask(self, values: Sequence[Any]) -> Mask:
        """Say of each row whether the comparison holds; a missing value (None) never does.

        Raises:
            InputError: if an order is asked for among values that are no numbers.
        """
        return np.array([value is not None and self._holds(value) for value in values], dtype=bool)

    def _holds(self, value: Any) -> bool:
        if self.op in _NUMBERS:
            return _NUMBERS[self.op](
                self._number(value, "the data have"), self._number(self.value, "it is compared with")
            )
        if self.op in ("=", "!="):
            return self._equal(value) == (self.op == "=")
        words = (
            value if isinstance(value, str) else " ".join(map(str, value)) if isinstance(value, list) else str(value)
        )
        return bool(_phrase(self.value).search(words)) == (self.op == "contains")

    def _equal(self, value: Any) -> bool:
        if isinstance(value, list):  # several labels: one of them
            return any(self._equal(part) for part in value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return str(value).casefold() == self.value.casefold()
        return _as_number(self.value) == value

    def _number(self, value: Any, what: str) -> float:
        number = _as_number(value)
        if number is None:
            raise InputError(
                f"--slice: {self.field} {self.op} {self.value} compares numbers, but {what} {str(value)[:40]!r}; use "
                "=, != or contains."
            )
        return number


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _phrase(value: str) -> re.Pattern[str]:
    """Match whole words in any case: "not" is in "is not bad" and not in "nothing"."""
    edge = rf"[^\W{_BEYOND}]"
    before = rf"(?<!{edge})" if re.match(edge, value) else ""
    after = rf"(?!{edge})" if re.search(edge + r"\Z", value) else ""
    return re.compile(before + re.escape(value) + after, re.IGNORECASE)


@dataclass(frozen=True)
class Filter:
    """A named slice: the rows for which all terms hold."""

    name: str
    terms: tuple[Term, ...]


def parse(asked: str, columns: Sequence[str] = ()) -> Filter | str:
    """Read what ``--slice`` was given: a column of the data (returned as it is), or ``[NAME:] FILTER``.

    FILTER is ``FIELD OP VALUE``, several joined by ``and``.

    Args:
        asked: what the user wrote.
        columns: of the data; one of these very names is no filter, whatever it holds.

    Raises:
        InputError: if it is neither.
    """
    if asked.strip() in columns:
        return asked.strip()
    name, colon, rest = asked.partition(":")
    if not colon:
        terms = _terms(asked)
        return Filter(asked.strip(), terms) if terms else _column(asked)
    terms = _terms(rest)
    if not (name.strip() and terms):
        raise InputError(f"--slice {asked!r} is no filter; write NAME: FIELD OPERATOR VALUE, {_EXAMPLE}.")
    return Filter(name.strip(), terms)


def _column(asked: str) -> str:
    if not asked.strip():
        raise InputError(f"--slice was given nothing; name a column of the data or a filter, {_EXAMPLE}.")
    return asked.strip()


def _terms(text: str) -> tuple[Term, ...]:
    """Return the comparisons of a filter, none if it is no filter."""
    found, start = [], 0
    while match := _TERM.match(text, start):
        op = " ".join(match["op"].split())
        if match["value"].endswith(" and"):
            return ()
        found.append(Term(match["field"].strip('"'), "=" if op == "==" else op, match["value"].strip('"')))
        start = match.end()
        if not match["more"]:
            return tuple(found) if start == len(text) else ()
    return ()
