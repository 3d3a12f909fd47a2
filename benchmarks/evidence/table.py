"""Write the tables of evidence: means over seeds, and differences to plain fine-tuning paired by seed.

    python benchmarks/evidence/table.py

reads benchmarks/results/evidence-STAGE.jsonl and writes benchmarks/results/evidence.md.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from run import RESULTS, SCORED, read
from sets import SETS

from toughen.statistics.seeds import over_seeds

REFERENCE = "plain, rate 0.0001"
MEASURES = {"f1": 100, "accuracy": 100, "auc": 100, "log_loss": 1}
TITLES = {"screen": "Screen: left-over training rows, where choices are made", "finals": "Finals: test rows"}


HEAD = """# The evidence for the defaults

Targets, order and stopping rule: [plan.md](../evidence/plan.md). Written by `python benchmarks/evidence/table.py`.
A data set without three seeds is not finished; until the plan is done the default is on trial.

"""


def main() -> None:
    pages = [page(stage, rows) for stage in SCORED if (rows := read(RESULTS / f"evidence-{stage}.jsonl"))]
    (RESULTS / "evidence.md").write_text(HEAD + "\n".join(pages))


def page(stage: str, rows: list[dict[str, Any]]) -> str:
    """Return the table of a stage: one line per data set and arm."""
    lines = [
        f"## {TITLES[stage]}",
        "",
        f"Differences to `{REFERENCE}` with the model's own head: F1, accuracy and AUC in points, paired by seed, with "
        "Student's 95 % intervals. CPU seconds are those of the whole run, the probe included.",
        "",
        "| data | arm | seeds | F1 | difference | AUC | difference | log loss | difference | CPU seconds / reference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    by: dict[str, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by[row["set"]][row["arm"]][row["seed"]] = row
    for name in SETS:
        reference = by[name].get(REFERENCE, {})
        for arm, runs in by[name].items():
            cells = [cell for of in ("f1", "auc", "log_loss") for cell in _cells(runs, reference, of)]
            lines.append(f"| {name} | {arm} | {len(runs)} | {' | '.join(cells)} | {_cost(runs, reference)} |")
    return "\n".join(lines) + "\n"


def _cells(runs: dict[int, Any], reference: dict[int, Any], of: str) -> tuple[str, str]:
    mean = f"{np.mean([row[of] for row in runs.values()]):.3f}"
    pairs = [MEASURES[of] * (runs[seed][of] - reference[seed][of]) for seed in runs if seed in reference]
    if runs is reference or len(pairs) < 2:
        return mean, ""
    found, digits = over_seeds(pairs), 2 if MEASURES[of] == 100 else 3
    return mean, f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def _cost(runs: dict[int, Any], reference: dict[int, Any]) -> str:
    ratios = [runs[seed]["cpu_seconds"] / reference[seed]["cpu_seconds"] for seed in runs if seed in reference]
    return f"{np.mean(ratios):.2f}" if ratios else ""


if __name__ == "__main__":
    main()
