"""Every part of the speed benchmarks runs, its listing computes what `full-stack` does, its pairs survive a kill."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from toughen.recipe import load_recipe
from toughen.training.engine import Engine
from training.models import batch, distance, gradients, tiny

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
IN_ONE_PROCESS = {"a": {"a"}, "b": {"b"}, "c": {"c same precision", "c everything"}, "d": {"d"}, "f": {"f"}}
IN_SEVERAL = {"p": {"p"}, "e": {"e"}, "g": {"g"}, "h": {"h"}}


@pytest.fixture(scope="module")
def speed():
    """Make the modules importable for as long as this file runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SPEED))
        import listing
        import measure

        yield listing, measure


@pytest.mark.parametrize("parts", [IN_ONE_PROCESS, pytest.param(IN_SEVERAL, marks=pytest.mark.slow)], ids="".join)
def test_every_part_runs_and_a_second_start_measures_nothing(tmp_path, parts):
    """On a tiny model: rows and a page are written; the same command again adds no row."""
    counts = []
    for _ in range(2):
        command = [sys.executable, str(SPEED / "run.py"), "--quick", "--threads", "1", "--part", *parts]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run(
            [*command, "--results", str(tmp_path)], env=environment, check=True, timeout=900, stdout=subprocess.DEVNULL
        )
        counts.append([json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines()])
    assert {row["part"] for row in counts[0]} == set().union(*parts.values())
    assert len(counts[1]) == len(counts[0])
    assert not [*tmp_path.glob("partial/*")]
    assert "not measured" in (tmp_path / "speed.md").read_text()


@pytest.mark.parametrize("radius", [1.0, 0.5])
def test_the_listing_computes_what_full_stack_does(speed, radius):
    """Without dropout, in float64: the same gradient, projection included."""
    listing, _ = speed
    rows = batch("roberta", lengths=(7, 4, 5, 3))
    theirs, model = tiny("roberta"), tiny("roberta")
    made = listing.Listing(theirs, [rows], radius=radius, step_size=0.3)
    made.gradients(rows)
    recipe = load_recipe("full-stack", {"adversary.radius": radius})
    with pytest.warns(UserWarning, match="dropout"):
        engine = Engine(model, recipe.objective, recipe.adversary)
    engine.backward(rows)
    assert made.passes == 8
    assert engine.cost.units == 20
    assert distance(gradients(theirs), gradients(model)) < 1e-9
    smaller = replace(recipe.adversary, radius=0.1)
    other = tiny("roberta")
    with pytest.warns(UserWarning, match="dropout"):
        Engine(other, recipe.objective, smaller).backward(rows)
    assert distance(gradients(theirs), gradients(other)) > 1e-6, "canary: another radius shows"


def test_a_killed_measurement_goes_on_where_it_was(speed, tmp_path):
    """The pairs of a start that died are kept, and the row has all of them."""
    _, measure = speed
    bench = measure.Bench(tmp_path, 5, {"threads": 1})
    calls = []

    def dies(i):
        if i == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.compare("x", "y", {}, dies, lambda i: None)
    row = bench.compare("x", "y", {}, calls.append, lambda i: None)
    assert row["pairs"] == 5
    assert calls == [-1, -2, 3, 4], "warm-up, and the pairs that were missing"
    assert not bench.missing("x", "y", {})
    assert bench.missing("x", "z", {})


def test_the_interval_holds_the_ratio_and_uneven_pairs_weigh_by_their_seconds(speed):
    """Median of ratios for even batches, ratio of all seconds for uneven ones."""
    _, measure = speed
    seconds = [(2.0, 1.0), (2.0, 1.0), (30.0, 10.0)]
    even, uneven = (measure.summary(seconds, kind) for kind in (False, True))
    assert even["ratio"] == 2
    assert uneven["ratio"] == pytest.approx(34 / 12)
    assert all(s["lower"] <= s["ratio"] <= s["upper"] for s in (even, uneven))


def test_pairs_alternate(speed):
    """A B, then B A: a drift of the machine's speed cancels."""
    _, measure = speed
    order = []
    for i in range(2):
        measure.pair(lambda i: order.append("a"), lambda i: order.append("b"), i)
    assert order == ["a", "b", "b", "a"]


def test_the_listing_puts_its_table_back(speed):
    """After the attack the embedding table is what it was."""
    listing, _ = speed
    model = tiny("roberta")
    table = model.get_input_embeddings().weight.detach().clone()
    listing.Listing(model, []).gradients(batch("roberta"))
    assert torch.equal(model.get_input_embeddings().weight, table)
