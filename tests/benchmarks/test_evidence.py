"""The tables of evidence are what the rows say, and the README quotes them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from toughen import load_recipe
from toughen.recipe import shipped

ROOT = Path(__file__).parents[2]
ROWS = [json.loads(line) for line in (ROOT / "benchmarks/results/evidence-screen.jsonl").read_text().splitlines()]
SCREENED = list(dict.fromkeys(row["set"] for row in ROWS))
WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven")


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/evidence"))
    import table

    yield table
    for name in ("table", "run", "sets", "arms"):
        sys.modules.pop(name, None)


def test_the_committed_page_is_made_of_the_committed_rows(table):
    page = (ROOT / "benchmarks/results/evidence.md").read_text()
    assert page == table.whole()
    assert table.page("screen", ROWS[1:]) != table.page("screen", ROWS), "canary: a row counts"


def test_the_readme_quotes_the_rows():
    """What it says of the default holds on every data set that has all seeds of all arms."""
    found = {(row["set"], row["arm"], row["seed"]): row for row in ROWS}
    arms = ("accuracy, 4 epochs", "plain, rate 0.0001", "fast")
    sets = [
        name for name in {row["set"] for row in ROWS} if all((name, a, s) in found for a in arms for s in (0, 1, 2))
    ]

    def mean(name, arm, of):
        return np.mean([found[name, arm, seed][of] for seed in (0, 1, 2)])

    def range_of(of, scale, other):
        gaps = [scale * (mean(name, arms[0], of) - mean(name, other, of)) for name in sets]
        return min(gaps), max(gaps)

    pairs = [(found[n, arms[0], s], found[n, arms[1], s]) for n in sets for s in (0, 1, 2)]
    seconds = np.mean(
        [
            ours["cpu_seconds"] / theirs["cpu_seconds"]
            for ours, theirs in pairs
            if ours["environment"]["device"] == theirs["environment"]["device"]
        ]
    )
    text = " ".join((ROOT / "README.md").read_text().split())
    low, high = range_of("log_loss", -1, "plain, rate 0.0001")
    assert f"its log loss is {low:.3f} to {high:.3f} below `plain`'s" in text
    low, high = range_of("auc", 100, "plain, rate 0.0001")
    assert f"its AUC {low:.1f} to {high:.1f} points above, for {seconds:.1f} times the CPU seconds" in text
    low, high = range_of("f1", 100, "fast")
    assert f"its F1 lies {low:+.1f} to {high:+.1f} points beside that of `fast`" in text
    assert f"On each of {WORDS[len(sets)]} data sets" in text
    assert f"{WORDS[len(sets)]} data sets of seven so far" in text


def test_the_readme_quotes_the_finals():
    rows = (ROOT / "benchmarks/results/evidence-finals.jsonl").read_text().splitlines()
    found = {(row["set"], row["arm"], row["seed"]): row for row in map(json.loads, rows)}
    ours, base, seeds = "accuracy, 4 epochs", "fast", range(100, 110)
    sets = [n for n in SCREENED if all((n, arm, seed) in found for arm in (ours, base) for seed in seeds)]

    def range_of(of, scale):
        pairs = {n: [found[n, ours, s][of] - found[n, base, s][of] for s in seeds] for n in sets}
        return min(scale * np.mean(gaps) for gaps in pairs.values()), max(
            scale * np.mean(gaps) for gaps in pairs.values()
        )

    text = " ".join((ROOT / "README.md").read_text().split())
    (f1, f1_most), (auc, auc_most), (loss, loss_most) = (
        range_of("f1", 100),
        range_of("auc", 100),
        range_of("log_loss", -1),
    )
    assert f"On the test rows of {WORDS[len(sets)]} of them (10 fresh seeds)" in text
    assert (
        f"its F1 lies {f1:+.1f} to {f1_most:+.1f} points beside that of `fast`, its AUC {auc:.1f} to {auc_most:.1f}"
        in text
    )
    assert f"above and its log loss {loss:.3f} to {loss_most:.3f} below" in text


def test_the_default_trains_as_the_arm_that_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/evidence"))
    from arms import ARMS

    recipe = load_recipe(shipped.DEFAULT)
    arm = ARMS["accuracy, 4 epochs"]
    assert (recipe.training.epochs, recipe.training.batch_size) == (arm["training.epochs"], arm["training.batch_size"])
    assert arm["recipe"] == shipped.DEFAULT
    sys.modules.pop("arms")
