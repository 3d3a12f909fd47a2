"""The tables of evidence are what the rows say, and the README quotes them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ROWS = [json.loads(line) for line in (ROOT / "benchmarks/results/evidence-screen.jsonl").read_text().splitlines()]


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/evidence"))
    import table

    yield table
    for name in ("table", "run", "sets", "arms"):
        sys.modules.pop(name, None)


def test_the_committed_page_is_made_of_the_committed_rows(table):
    page = (ROOT / "benchmarks/results/evidence.md").read_text()
    assert page == table.HEAD + table.page("screen", ROWS)
    assert table.page("screen", ROWS[1:]) != table.page("screen", ROWS), "canary: a row counts"


def test_the_readme_quotes_the_rows():
    of = {
        arm: [row for row in ROWS if row["set"] == "cr" and row["arm"] == arm]
        for arm in ("accuracy", "plain, rate 0.0001")
    }
    ours, plain = of.values()
    gained = 100 * (np.mean([row["f1"] for row in ours]) - np.mean([row["f1"] for row in plain]))
    losses = [f"{np.mean([row['log_loss'] for row in rows]):.3f}" for rows in (ours, plain)]
    pairs = zip(sorted(ours, key=_seed), sorted(plain, key=_seed), strict=True)
    cost = np.mean([a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs])
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"F1 {gained:.1f} points above `plain`'s" in text
    assert f"a log loss of {losses[0]} instead of {losses[1]}, for {cost:.2f} times the CPU seconds" in text


def _seed(row):
    return row["seed"]
