"""What the command prints: one JSON object, or tables."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from toughen.assess.definition import of_positive_class
from toughen.assess.headline import headlines


def is_main_process() -> bool:
    """Tell whether this process speaks for all of a launcher's."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Send to stderr whatever is printed inside, where stdout must hold nothing but one JSON object."""
    if not wanted:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def progress(doing: str, limit: int | None = None) -> Iterator[Callable[[int | str], None]]:
    """Show on stderr how far a command is.

    Args:
        doing: what it does before it says anything.
        limit: texts, at most; None is not known.

    Yields:
        A function that takes in the texts that are done, to be added, or the name of the part that is begun or done.
    """
    from rich.console import Console

    done, part = 0, ""
    with Console(stderr=True, highlight=False).status(doing) as status:

        def tell(step: int | str) -> None:
            nonlocal done, part
            done, part = (done + step, part) if isinstance(step, int) else (0, f"{step}: ")
            most = "" if limit is None else f" of at most {limit:,}"
            status.update(f"{part}{done:,} texts done{most}" if done else part.removesuffix(": "))

        yield tell


def say_report(folder: Path | str | None, say: Callable[[str], object]) -> None:
    """Write the report of a folder of results, where there is one, and say where it is, or why there is none."""
    from toughen.report.write import say_report as write_and_say  # loads every page there is

    write_and_say(folder, say)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object; a number that JSON has no word for (NaN, infinity) becomes null."""
    print(json.dumps(_plain(value), ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def print_pairs(pairs: list[tuple[str, str]]) -> None:
    """Print two columns, the second wrapped to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in pairs:
        table.add_row(name, text)
    Console(highlight=False, markup=False).print(table)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose columns stand at the right, but for the first."""
    from rich.console import Console
    from rich.table import Table

    table = Table(heads[0], box=None, pad_edge=False)
    for head in heads[1:]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def print_metrics(splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one column per split, one row per metric, and below why one is undefined."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", box=None, pad_edge=False)
    for name in splits:
        table.add_column(name, justify="right")
    rows = dict.fromkeys(key for split in splits.values() for key, value in split.items() if _is_score(value))
    for row in rows:
        table.add_row(row, *(_number(split.get(row)) for split in splits.values()))
    console = Console(highlight=False, markup=False)
    console.print(table)
    for whose in dict.fromkeys(filter(None, map(of_positive_class, splits.values()))):
        console.print(whose)
    for name, split in splits.items():
        for metric, reason in (split.get("undefined") or {}).items():
            console.print(f"{name}: {metric} is undefined: {reason}")


def print_run(metrics: Mapping[str, Any]) -> None:
    """Print what a run scored: validation and test, or out of fold, mean and spread of the folds, and test."""
    _print_scores(metrics)
    print_verdict(metrics)


def print_verdict(result: Mapping[str, Any]) -> None:
    """Print what was learnt, and what to do now, in a line each."""
    for line in ("verdict", "next"):
        if result.get(line):
            print(f"{line}: {result[line]}")


def _print_scores(metrics: Mapping[str, Any]) -> None:
    folds = metrics.get("folds")
    if folds is None:
        scored = {name: metrics[name] for name in ("validation", "test") if metrics.get(name)}
        print_metrics(scored)
        for line in headlines(metrics.get("baselines") or {}, scored):
            print(line)
        return
    spread = metrics["mean_sd"]
    columns = {
        "out of fold": metrics["out_of_fold"],
        f"mean of {len(folds)}": {name: value["mean"] for name, value in spread.items()},
        "sd": {name: value["sd"] for name, value in spread.items()},
    }
    print_metrics(columns | ({"test": metrics["test"]} if metrics.get("test") else {}))
    for line in headlines(metrics.get("baselines") or {}, metrics):
        print(line)


def _is_score(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
