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
    """What it says of the default holds on every data set that has all seeds of all arms."""
    found = {(row["set"], row["arm"], row["seed"]): row for row in ROWS}
    arms = ("accuracy", "plain, rate 0.0001", "fast")
    sets = [
        name for name in {row["set"] for row in ROWS} if all((name, a, s) in found for a in arms for s in (0, 1, 2))
    ]

    def mean(name, arm, of):
        return np.mean([found[name, arm, seed][of] for seed in (0, 1, 2)])

    def range_of(of, scale):
        gaps = [scale * (mean(name, arms[0], of) - mean(name, arms[1], of)) for name in sets]
        return min(gaps), max(gaps)

    seconds = [
        np.mean([found[n, arms[0], s]["cpu_seconds"] / found[n, arms[1], s]["cpu_seconds"] for s in (0, 1, 2)])
        for n in sets
    ]
    text = " ".join((ROOT / "README.md").read_text().split())
    low, high = range_of("log_loss", -1)
    assert f"its log loss is {low:.3f} to {high:.3f} below `plain`'s" in text
    low, high = range_of("auc", 100)
    assert f"its AUC {low:.1f} to {high:.1f} points above, for {min(seconds):.1f} to {max(seconds):.1f} times" in text
    ahead = np.mean([mean(name, "accuracy", "f1") - mean(name, "fast", "f1") for name in sets]) > 0
    assert ("in F1 it is not ahead of `fast`" in text) != ahead
    words = ("none", "one", "two", "three", "four", "five", "six", "seven")
    assert f"{words[len(sets)]} data sets of seven so far" in text
