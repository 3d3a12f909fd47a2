"""Write the table of the technique cards, and into each card what a step was measured to cost.

    python scripts/cards.py

The table in docs/techniques/README.md is made of each card's title, its first line and its cost; the last paragraph of
a card's "Cost" is made of benchmarks/results/speed.jsonl, and missing where nothing was measured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from toughen.recipe.recipe import Recipe
from toughen.recipe.slots import techniques

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "techniques"
TABLE = CARDS / "README.md"
SPELT = {"rdrop": "r-drop", "rat": "r-at"}
"""Cards that are not called what a recipe calls the technique."""
SETTINGS_WITH_A_CARD = {
    "objective": {
        "label-smoothing": {"label_smoothing"},
        "class-weights": {"class_weights", "effective_beta"},
        "focal": {"focal_gamma"},
        "multi-sample-dropout": {"dropout_samples"},
        "r-drop": {"alpha"},
    },
    "training": {"layer-wise-rate-decay": {"layer_decay"}, "schedule": {"schedule", "warmup"}},
}
"""Techniques that are settings of something larger, by slot."""
ORDER = ("objective", "adversary", "inputs", "average", "training")

BEGIN = "Measured: "
SHAPE = {"a": {"size": "roberta-base", "batch": 4, "length": 128}, "e": {"size": "roberta-base", "length": 256}}
COST = re.compile(r"(?<=\n## Cost\n\n).*?(?=\n\n## )", re.S)
HEAD = re.compile(r"# (?P<title>.+)\n\n(?P<line>.+)\.\n\n## ")
UNITS = re.compile(r"\n## Cost\n\nPasses: (\d+)\. Units: (\d+) ")


def main() -> None:
    """Write all of them."""
    for name, line in measured_costs().items():
        path = CARDS / f"{name}.md"
        path.write_text(with_cost(path.read_text(), line))
    TABLE.write_text(with_table(TABLE.read_text()))


def slots() -> dict[str, str]:
    """Return {card: its slot}, in the table's order."""
    found = {
        SPELT.get(name, name): slot for slot in ("inputs", "adversary", "average") for name in techniques(Recipe, slot)
    } | {card: slot for slot, cards in SETTINGS_WITH_A_CARD.items() for card in cards}
    return dict(sorted(found.items(), key=lambda item: ORDER.index(item[1])))


def with_table(text: str) -> str:
    """Return the page with the rows of its table made of the cards."""
    lines = [line for line in text.splitlines() if not line.startswith("| [")]
    at = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = [row(name, slot, (CARDS / f"{name}.md").read_text()) for name, slot in slots().items()]
    return "\n".join([*lines[: at + 1], *rows, *lines[at + 1 :]]) + "\n"


def row(name: str, slot: str, card: str) -> str:
    """Return a card's line of the table."""
    head, units = HEAD.match(card), UNITS.search(card)
    if head is None or units is None:
        raise SystemExit(
            f"{name}.md needs a title, one line that ends in a full stop, and 'Passes: P. Units: U ' in Cost"
        )
    first, line = head["line"].split()[0], head["line"]
    line = line if sum(map(str.isupper, first)) > 1 else line[0].lower() + line[1:]
    return f"| [{head['title']}]({name}.md) | {slot} | {units[1]} | {units[2]} | {line} |"


def measured_costs() -> dict[str, str]:
    """Return {card: its line} of every technique that was measured on roberta-base's shape."""
    rows = [json.loads(line) for line in (ROOT / "benchmarks/results/speed.jsonl").read_text().splitlines()]
    times = {row["what"]: row for row in rows if _of(row, "a")}
    peaks = {row["what"]: row for row in rows if _of(row, "e")}
    found = {SPELT.get(name, name): _line(row, peaks.get(name)) for name, row in times.items()}
    return {name: line for name, line in found.items() if name in slots()}


def with_cost(text: str, line: str) -> str:
    """Return a card with this line as the last paragraph of its "Cost", in place of the one before."""
    stated = COST.search(text)
    if stated is None:
        raise SystemExit("a card has no section Cost")
    kept = stated[0].partition(f"\n\n{BEGIN}")[0]
    return text[: stated.start()] + f"{kept}\n\n{line}" + text[stated.end() :]


def _of(row: dict[str, Any], part: str) -> bool:
    return bool(row["part"] == part and SHAPE[part].items() <= row["setting"].items())


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
