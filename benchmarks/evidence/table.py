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

REFERENCES = {"plain, rate 0.0001": "with the model's own head", "fast": "plain fine-tuning with the probe's pooling"}
"""What the arms are held against, and what it is."""
MEASURES = {"f1": 100, "accuracy": 100, "auc": 100, "log_loss": 1}
TITLES = {"screen": "Screen: left-over training rows, where choices are made", "finals": "Finals: test rows"}


HEAD = """# The evidence for the defaults

Targets, order and stopping rule: [plan.md](../evidence/plan.md). Written by `python benchmarks/evidence/table.py`.
A data set of the screen without three seeds, or of the finals without ten, is not finished. The arms named after
recipes train three epochs; since the candidates were measured, the recipe `accuracy` trains four: it is the arm
`accuracy, 4 epochs` ([decision 20](../../docs/decisions/0020-four-epochs.md)). Until the plan is done the default is on
trial. By the plan's rule it must not lie more than 0.3 points of F1 below `fast` on any data set.

"""


def main() -> None:
    (RESULTS / "evidence.md").write_text(whole())


def whole() -> str:
    """Return the page of all stages."""
    pages = [page(stage, rows) for stage in SCORED if (rows := read(RESULTS / f"evidence-{stage}.jsonl"))]
    return HEAD + "\n".join(pages)


def page(stage: str, rows: list[dict[str, Any]]) -> str:
    """Return the tables of a stage, one per reference: one line per data set and arm."""
    lines = [
        f"## {TITLES[stage]}",
        "",
        "F1 (of several classes their mean), accuracy and AUC in points, differences paired by seed, with Student's "
        "95 % intervals: over the seeds of a data set, or over the data sets' means. CPU seconds are those of the "
        "whole run, the probe included; only those of one kind of processor are divided by each other. On another one "
        "a training with the same seed differs in its last bits.",
        "",
    ]
    by: dict[str, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by[row["set"]][row["arm"]][row["seed"]] = row
    for number, (reference, what) in enumerate(REFERENCES.items()):
        passed_over = list(REFERENCES)[:number]
        if any(reference in runs for runs in by.values()):
            lines += [f"### Beside `{reference}`: {what}", "", *_table(by, reference, passed_over), ""]
    return "\n".join(lines)


def _table(by: dict[str, dict[str, dict[int, Any]]], reference: str, left_out: list[str]) -> list[str]:
    columns = " | ".join(f"{title} | difference" for title in ("F1", "accuracy", "AUC", "log loss"))
    lines = [f"| data | arm | seeds | {columns} | CPU seconds |", f"|{'---|' * 12}"]
    for name in SETS:
        base = by[name].get(reference, {})
        for arm, runs in by[name].items():
            if base and arm not in left_out:
                cells = [cell for of in MEASURES for cell in _cells(runs, base, of)]
                lines.append(f"| {name} | {arm} | {len(runs)} | {' | '.join(cells)} | {_cost(runs, base)} |")
    return lines + _over_sets(by, reference, left_out)


def _over_sets(by: dict[str, dict[str, dict[int, Any]]], reference: str, left_out: list[str]) -> list[str]:
    """Return a line per arm that has all seeds of the reference on three data sets or more: the mean of their means."""
    lines = []
    for arm in dict.fromkeys(arm for runs in by.values() for arm in runs if arm not in (*left_out, reference)):
        pairs = {name: (runs[arm], runs[reference]) for name, runs in by.items() if arm in runs and reference in runs}
        whole = {name: pair for name, pair in pairs.items() if len(pair[1]) > 1 and set(pair[1]) <= set(pair[0])}
        if len(whole) < 3:
            continue
        cells = []
        for of, scale in MEASURES.items():
            gaps = [scale * np.mean([ours[s][of] - base[s][of] for s in base]) for ours, base in whole.values()]
            cells += ["", _difference(gaps, of)]
        lines.append(f"| mean of {len(whole)} | {arm} | | {' | '.join(cells)} | |")
    return lines


def _cells(runs: dict[int, Any], reference: dict[int, Any], of: str) -> tuple[str, str]:
    mean = f"{np.mean([row[of] for row in runs.values()]):.3f}"
    pairs = [MEASURES[of] * (runs[seed][of] - reference[seed][of]) for seed in runs if seed in reference]
    if runs is reference or len(pairs) < 2:
        return mean, ""
    return mean, _difference(pairs, of)


def _difference(values: list[float], of: str) -> str:
    found, digits = over_seeds(values), 2 if MEASURES[of] == 100 else 3
    if found.low is None or found.high is None:  # the same difference every time
        return f"{found.mean:+.{digits}f}"
    return f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def _cost(runs: dict[int, Any], reference: dict[int, Any]) -> str:
    pairs = [(runs[seed], reference[seed]) for seed in runs if seed in reference]
    alike = [(ours, theirs) for ours, theirs in pairs if _processor(ours) == _processor(theirs)]
    return f"{np.mean([ours['cpu_seconds'] / theirs['cpu_seconds'] for ours, theirs in alike]):.2f} x" if alike else ""


def _processor(row: dict[str, Any]) -> str:
    return str(row["environment"]["device"])


if __name__ == "__main__":
    main()
