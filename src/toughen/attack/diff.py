"""Original and adversarial text side by side, with what differs marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import TYPE_CHECKING, Literal

from toughen.data.words import IDEOGRAPH

if TYPE_CHECKING:
    from rich.table import Table

    from toughen.attack.results import AttackResult, Outcome

_PIECES = re.compile(rf"[{IDEOGRAPH}]|(?:(?![{IDEOGRAPH}])\w)+|\s+|.", re.DOTALL)
Piece = tuple[str, bool]


def mark_differences(original: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Return both texts in pieces, each with whether it differs; the pieces joined are the texts."""
    one, two = _PIECES.findall(original), _PIECES.findall(other)
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        left += [(piece, kind != "equal") for piece in one[a:b]]
        right += [(piece, kind != "equal") for piece in two[c:d]]
    return left, right


def side_by_side(result: AttackResult, *, most: int = 10) -> Table:
    """Return a table for the terminal: row, original, adversarial text, answers."""
    from rich.table import Table
    from rich.text import Text

    beside = ["beside"] if result.side else []
    table = Table("row", *beside, "original", "adversarial", "answer", show_lines=True)
    for outcome in result.pairs[:most]:
        sides = [Text() for _ in range(2)]
        for side, pieces in zip(sides, mark_differences(outcome.text, outcome.adversarial or ""), strict=True):
            for piece, differs in pieces:
                side.append(piece, style="bold reverse" if differs else "")
        stays = [Text(outcome.beside or "")] if result.side else []
        table.add_row(str(outcome.row), *stays, *sides, Text(_answers(result, outcome)))
    return table


def as_html(results: AttackResult | Sequence[AttackResult], *, most: int = 50) -> str:
    """Return one self-contained HTML page of attacks: their numbers, and their pairs side by side."""
    chosen = [results] if not isinstance(results, Sequence) else list(results)
    body = "\n".join(line for result in chosen for line in _section(result, most))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{_HEAD}</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _section(result: AttackResult, most: int) -> Iterator[str]:
    yield f"<h1>{escape(result.attack)}</h1>\n<table>"
    for name, value in result.rows():
        yield f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
    yield "</table>"
    shown = result.pairs[:most]
    if not shown:
        yield "<p>No adversarial texts.</p>"
        return
    yield f"<h2>{len(shown)} of {len(result.pairs)} pairs</h2>\n<table>"
    names = ("row", *(["beside"] if result.side else []), "original", "adversarial", "answer")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    yield f"<tr>{heads}</tr>"
    for outcome in shown:
        left, right = mark_differences(outcome.text, outcome.adversarial or "")
        stays = [escape(outcome.beside or "")] if result.side else []
        cells = (str(outcome.row), *stays, _html(left, "del"), _html(right, "ins"), escape(_answers(result, outcome)))
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _html(pieces: Sequence[Piece], tag: Literal["del", "ins"]) -> str:
    return "".join(f"<{tag}>{escape(piece)}</{tag}>" if differs else escape(piece) for piece, differs in pieces)


def _answers(result: AttackResult, outcome: Outcome) -> str:
    return f"{result.label_names[outcome.before]} → {result.label_names[outcome.after]}"


_HEAD = """
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Attack</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 75rem; margin: auto; padding: 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin-block: 1rem; }
th, td { border: 1px solid; padding: .3rem .6rem; text-align: left; vertical-align: top; }
del, ins { font-weight: bold; text-decoration: underline; }
del { text-decoration: line-through; }
</style>
"""
