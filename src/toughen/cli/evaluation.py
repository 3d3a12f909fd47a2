"""An evaluation as tables on the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

from toughen.assess.definition import of_positive_class

Sets = Mapping[str, Mapping[str, Any]]
_MOST_CLASSES = 12
_LONGEST = 160  # characters of a mistake's text that are shown
_CALIBRATION = {
    "ece": "ECE (equal mass)",
    "ece_equal_width": "ECE (equal width)",
    "brier": "Brier score",
    "aurc": "AURC",
    "mean_confidence": "mean confidence",
}
_DROPOUT = {
    "flip_rate": "answers that flip",
    "unstable": "texts with a flip",
    "kl_clean": "symmetric KL to the clean pass",
    "kl_passes": "symmetric KL between passes",
    "squared_clean": "squared difference to the clean pass",
    "squared_passes": "squared difference between passes",
}


def print_evaluation(sets: Sets) -> None:
    """Print everything of one or several evaluated sets; what was not asked for is not there."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    _metrics(console, sets)
    _calibration(console, sets)
    _drop(console, {name: found for name, found in sets.items() if "drop" in found})
    main = next(iter(sets.values()))
    _confusion(console, main.get("confusion"))
    _slices(console, main.get("slices") or [])
    _dropout(console, main.get("dropout"))
    _novelty(console, main.get("ood"))
    _mistakes(console, main.get("mistakes") or [])
    whose = of_positive_class(main)
    if whose:
        console.print(whose)
    for name, found in sets.items():
        for metric, reason in (found.get("undefined") or {}).items():
            console.print(f"{name}: {metric} is undefined: {reason}")
    for what, reason in (main.get("left_out") or {}).items():
        console.print(f"no {what.replace('_', ' ')}: {reason}")


def _metrics(console: Console, sets: Sets) -> None:
    rows = dict.fromkeys(name for found in sets.values() for name, value in found.items() if _is_number(value))
    cells = {
        row: [_value(found.get(row), (found.get("intervals") or {}).get(row)) for found in sets.values()]
        for row in rows
    }
    _print(console, ["metric", *sets], [[name, *values] for name, values in cells.items()])
    if any(found.get("intervals") for found in sets.values()):
        console.print("[low, high]: 95 % bootstrap intervals over the texts")


def _calibration(console: Console, sets: Sets) -> None:
    told = {name: found["calibration"] for name, found in sets.items() if found.get("calibration")}
    rows = [row for row in _CALIBRATION if any(row in found for found in told.values())]
    cells = [
        [_CALIBRATION[row], *(_value(found.get(row), found.get("intervals", {}).get(row)) for found in told.values())]
        for row in rows
    ]
    if cells:
        _print(console, ["calibration", *told], cells)


def _drop(console: Console, sets: Sets) -> None:
    if not sets:
        return
    rows = dict.fromkeys(metric for found in sets.values() for metric in found["drop"])
    told = [[found["drop"].get(row, {}) for found in sets.values()] for row in rows]
    cells = [
        [row, *(_value(one.get("drop"), one.get("interval"), sign=True) for one in values)]
        for row, values in zip(rows, told, strict=True)
    ]
    _print(console, ["drop from data to", *sets], cells)


def _confusion(console: Console, found: Mapping[str, Any] | None) -> None:
    if found is None:
        return
    if "per_label" in found:
        names = ("true_positive", "false_positive", "false_negative", "true_negative")
        rows = [[label, *(str(counts[name]) for name in names)] for label, counts in found["per_label"].items()]
        _print(console, ["label", *(name.replace("_", " ") for name in names)], rows)
    elif len(found["labels"]) <= _MOST_CLASSES:
        rows = [[f"is {name}", *map(str, row)] for name, row in zip(found["labels"], found["matrix"], strict=True)]
        _print(console, ["confusion", *(f"said {name}" for name in found["labels"])], rows)


def _slices(console: Console, slices: Sequence[Mapping[str, Any]]) -> None:
    if not slices:
        return
    metrics = list(slices[0]["metrics"])
    rows = []
    for one in slices:
        cells = [_value(one["metrics"][name], one["intervals"][name]) for name in metrics]
        rows.append([f"{one['by']}: {one['name']}", f"{one['n']}{'*' if one['small'] else ''}", *cells])
    _print(console, ["slice", "n", *metrics], rows)
    if any(one["small"] for one in slices):
        console.print("* too few texts to say much")


def _dropout(console: Console, found: Mapping[str, Any] | None) -> None:
    if found is not None:
        rows = [
            [text, _value(found[name], found["intervals"][name])] for name, text in _DROPOUT.items() if name in found
        ]
        _print(console, [f"dropout left on, {found['passes']} passes", ""], rows)


def _novelty(console: Console, found: Mapping[str, Any] | None) -> None:
    if found is not None:
        rows = [[name, _value(found[name]["auroc"], found[name]["interval"])] for name in ("max_softmax", "energy")]
        _print(console, [f"separated from {found['n_ood']} out-of-distribution texts", "AUROC"], rows)


def _mistakes(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        return
    rows = []
    for one in found:
        text = one["text"] if isinstance(one["text"], str) else " ".join(one["text"])
        text = " | ".join([text, *([one["text_pair"]] if "text_pair" in one else [])])
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        rows.append(
            [str(one["row"]), _label_text(one, "label"), _label_text(one, "prediction"), f"{one['score']:.3f}", text]
        )
    table = _table(["row", "is", "said", "score"], rows)
    table.add_column("worst mistakes", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)


def _label_text(mistake: Mapping[str, Any], name: str) -> str:
    """Say a label; of tags those of the surest wrong word."""
    value = mistake[name]
    if "word" in mistake:
        return str(value[mistake["word"]])
    return (
        ", ".join(value) or "none"
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right")
    return table


def _print(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = _table(heads, rows)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _value(value: Any, interval: Any = None, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    shown = f"{value:{'+' if sign else ''}.4f}" if isinstance(value, float) else str(value)
    return shown if interval is None else f"{shown} [{interval[0]:.3f}, {interval[1]:.3f}]"
