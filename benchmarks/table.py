"""Write the measured tables into benchmarks/results/techniques.md and docs/measured.md, from techniques-*.jsonl.

python benchmarks/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
TITLES = {
    "sst2": "SST-2 sentences: 2,000 training rows, 872 for validation, 1,821 for test",
    "imdb": "IMDb: 2,000 training rows of at most 256 tokens, 500 for validation, 1,000 for test",
}
NAMES = {"vat+unlabelled": "vat, 4,000 unlabelled rows"}
ORDER = ("plain", "ema", "rdrop", "fgm", "vat", "freelb", "pgd", "tough-stack", "vat+unlabelled")


def main() -> None:
    page = render()
    head = "# What each technique scores and costs\n\n"
    (RESULTS / "techniques.md").write_text(head + page + "\n")
    measured = ROOT / "docs" / "measured.md"
    before, rest = measured.read_text().split(BEGIN)
    measured.write_text(f"{before}{BEGIN}\n\n{page}\n\n{END}{rest.split(END)[1]}")


def render() -> str:
    """Return the tables of all tasks that have results, with what they were measured on."""
    parts = [table(task, rows) for task in TITLES if (rows := read(task))]
    return "\n\n".join([*parts, NOTE]) if parts else "Not measured yet."


def read(task: str) -> list[dict[str, Any]]:
    path = RESULTS / f"techniques-{task}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return sorted(rows, key=lambda row: ORDER.index(row["run"]))


def table(task: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        f"**{TITLES[task]}**; {settings(rows[0])}",
        "",
        "| recipe | validation F1 | test F1 | test accuracy | test AUC | passes | units | CPU seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        train, test = r["train"], r["test"]
        cells = [
            NAMES.get(r["run"], f"`{r['run']}`"),
            f"{r['validation']['f1']:.3f}",
            *(with_interval(test, r["test_intervals"], metric) for metric in ("f1", "accuracy", "roc_auc")),
            f"{train['passes_per_step']:.0f}",
            f"{train['units_per_step']:.0f}",
            f"{train['cpu_seconds_of_the_whole_run']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_interval(test: dict[str, Any], intervals: dict[str, list[float]], metric: str) -> str:
    low, high = intervals[metric]
    return f"{test[metric]:.3f} ({low:.3f} to {high:.3f})"


def settings(row: dict[str, Any]) -> str:
    where, how = row["environment"], row["settings"]
    return (
        f"{how['epochs']} epoch{'s' * (how['epochs'] != 1)}, batch 16, learning rate {how['learning_rate']:g}, seed "
        f"{row['seed']}, {where['precision']} on one thread of a shared {where['device']}."
    )


NOTE = (
    "all-MiniLM-L6-v2 (22.7 M parameters, contrastively trained) with a new head; every recipe with the same "
    "settings, the best epoch chosen on validation, the test split scored once. In brackets: 95 % bootstrap "
    "intervals over the test rows. One seed. On the short sentences all intervals overlap: no recipe is shown to be"
    " better than another. On IMDb, where one epoch is 125 steps, every recipe with a term of its own has a lower "
    "F1 than `plain` and `ema` while all intervals of AUC overlap (the answers are shifted more than their order), "
    "and the interval of F1 of `vat` lies below that of `plain`; longer training was not measured there. Neither "
    "table is evidence for a technique; they show what each costs. CPU seconds are those of the whole run with "
    "loading and scoring, on a machine that did other work at the same time (the wall-clock seconds in the results "
    "include waiting and pauses and compare nothing); the units are the exact cost of a step. With unlabelled rows "
    "a pass of vat has three times the rows. The runs: `python benchmarks/techniques.py --task sst2` and `--task "
    "imdb`; every number of theirs is in `benchmarks/results/`."
)


if __name__ == "__main__":
    main()
