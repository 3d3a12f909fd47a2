"""Write what a step was measured to cost into the cards of docs/techniques, from speed.jsonl.

    python benchmarks/card_costs.py

The line is the last paragraph of a card's "Cost"; techniques that were not measured have none.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "techniques"
BEGIN = "Measured: "
CARD_OF = {"rdrop": "r-drop"}
"""Measured under another name than the card's."""
SHAPE = {"a": {"size": "roberta-base", "batch": 4, "length": 128}, "e": {"size": "roberta-base", "length": 256}}
SECTION = re.compile(r"(?<=\n## Cost\n\n).*?(?=\n\n## )", re.S)


def main() -> None:
    for name, line in costs().items():
        path = CARDS / f"{name}.md"
        path.write_text(with_cost(path.read_text(), line))


def costs() -> dict[str, str]:
    """Return {card: its line} of every technique that was measured on roberta-base's shape."""
    rows = [json.loads(line) for line in (ROOT / "benchmarks/results/speed.jsonl").read_text().splitlines()]
    times = {row["what"]: row for row in rows if _of(row, "a")}
    peaks = {row["what"]: row for row in rows if _of(row, "e")}
    found = {CARD_OF.get(name, name): _line(row, peaks.get(name)) for name, row in times.items()}
    return {name: line for name, line in found.items() if (CARDS / f"{name}.md").exists()}


def with_cost(text: str, line: str) -> str:
    """Return a card with this line as the last paragraph of its "Cost", in place of the one before."""
    stated = SECTION.search(text)
    assert stated, "a card has a section Cost"
    kept = stated[0].partition(f"\n\n{BEGIN}")[0]
    return text[: stated.start()] + f"{kept}\n\n{line}" + text[stated.end() :]


def _of(row: dict[str, Any], part: str) -> bool:
    return row["part"] == part and SHAPE[part].items() <= row["setting"].items()


def _line(time: dict[str, Any], peak: dict[str, Any] | None) -> str:
    took = f"{time['ratio']:.2f} times a plain step ({time['lower']:.2f} to {time['upper']:.2f}; {time['pairs']} pairs)"
    held = f", at its peak {peak['ratio']:.2f} times the memory" if peak else ""
    held += " (its own copy left out)" if peak and peak["shadow_bytes_left_out"] else ""
    return (
        f"{BEGIN}{took}{held}, with\na model of roberta-base's size in bfloat16 on one thread "
        "([speed](../../benchmarks/results/speed.md))."
    )


if __name__ == "__main__":
    main()
