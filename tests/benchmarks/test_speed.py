"""Every part of the speed benchmarks runs, its listing computes what `full-stack` does, its pairs survive a kill."""

import importlib.util
import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.models import batch, distance, gradients, tiny
from toughen.engine.engine import Engine
from toughen.recipe.recipe import load_recipe

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
IN_ONE_PROCESS = {"a": {"a"}, "b": {"b"}, "c": {"c same precision"}, "i": {"c everything"}}
IN_ONE_PROCESS |= {"d": {"d"}, "f": {"f"}}
PEER = os.environ.get("TOUGHEN_PEER")
HAS_PEER = bool(PEER or importlib.util.find_spec("bert4torch"))
IN_ONE_PROCESS |= {"q": {"q"}} if HAS_PEER else {}
IN_SEVERAL = {"p": {"p"}, "e": {"e"}, "g": {"g"}, "h": {"h"}, "m": {"m"}}


@pytest.fixture(scope="module")
def speed():
    """Make the modules importable for as long as this file runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SPEED))
        import listing
        import measure

        yield listing, measure


@pytest.fixture(scope="module")
def peer(speed):
    """bert4torch's side."""
    with pytest.MonkeyPatch.context() as patch:
        if PEER:
            patch.setattr(sys, "path", [*sys.path, PEER])
        import peer

        yield peer


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
        seconds = measure.in_turn([lambda i: order.append("a") or 1.0, lambda i: order.append("b") or 2.0], i)
        assert seconds == [1.0, 2.0]
    assert order == ["a", "b", "b", "a"]


def test_a_side_made_anew_is_gone_before_the_next_one_is_made(speed):
    """Two models that each fill the memory must never stand side by side; the warm-up is not timed."""
    _, measure = speed
    alive, calls = weakref.WeakSet(), []

    class Side:
        def __init__(self):
            assert not alive
            alive.add(self)

        def __call__(self, i):
            calls.append(i)

    assert measure.made_anew(Side)(3) >= 0
    assert measure.made_anew(Side)(4) >= 0
    assert calls == [-1, 3, -1, 4]
    assert not alive


def test_float32_by_one_dnn_gives_the_same_gradients(speed, monkeypatch):
    """Within float32's rounding, biases included; where it does not pay, nothing is changed."""
    import one_dnn

    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("a torch with oneDNN only")
    calls, product = [], one_dnn._product
    monkeypatch.setattr(one_dnn, "_product", lambda *tensors: calls.append(1) or product(*tensors))
    layer, x = torch.nn.Linear(24, 40), torch.randn(3, 5, 24, requires_grad=True)

    def run():
        return torch.autograd.grad(layer(x).tanh().sum(), [x, *layer.parameters()])

    plain = run()
    for pays, name in ((True, "oneDNN"), (False, "torch's own")):
        monkeypatch.setattr(one_dnn, "one_dnn_pays", lambda pays=pays: pays)
        with one_dnn.quick_float32() as kernels:
            found = run()
        assert kernels == name
        assert len(calls) == 3, "the forward and two products backward, once"
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(found, plain, strict=True))


def test_the_listing_puts_its_table_back(speed):
    """After the attack the embedding table is what it was."""
    listing, _ = speed
    model = tiny("roberta")
    table = model.get_input_embeddings().weight.detach().clone()
    listing.Listing(model, []).gradients(batch("roberta"))
    assert torch.equal(model.get_input_embeddings().weight, table)


def test_without_bert4torch_its_part_says_so_and_measures_nothing(speed, peer, tmp_path, monkeypatch, capsys):
    """One line, and no error: it is no dependency."""
    _, measure = speed
    monkeypatch.setattr(peer.importlib.util, "find_spec", lambda name: None)
    peer.run(measure.Bench(tmp_path, 2, {"threads": 1}), SimpleNamespace())
    assert capsys.readouterr().out.splitlines() == [
        "q is left out: bert4torch cannot be imported (No module named 'bert4torch'); see benchmarks/speed/peer.py"
    ]
    assert not [*tmp_path.iterdir()]


needs_peer = pytest.mark.skipif(not HAS_PEER, reason="bert4torch is not here (see benchmarks/speed/peer.py)")


@needs_peer
@pytest.mark.parametrize("name", ["plain", "fgm", "pgd", "rdrop", "ema"])
def test_bert4torch_computes_what_our_recipe_does(peer, name):
    """The same gradient, or average, of one step in float64."""
    peer.check(peer.load(), name)


@needs_peer
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("fgm", {"adversary.radius": 0.5}),
        ("pgd", {"adversary.steps": 2}),
        ("rdrop", {"objective.alpha": 2.0}),
        ("ema", {"average.decay": 0.99, "average.warmup": True}),
    ],
)
def test_other_settings_than_bert4torchs_are_refused(peer, monkeypatch, name, other):
    """Canary: the check sees a radius, a step, a weight, a warm-up."""
    monkeypatch.setattr(peer, "recipe", lambda name: load_recipe(name, peer.RECIPES[name] | other))
    with pytest.raises(RuntimeError, match="is not ours"):
        peer.check(peer.load(), name)


@needs_peer
@pytest.mark.parametrize(("name", "precision"), [("pgd", "fp32"), ("pgd", "bf16"), ("rdrop", "fp32")])
def test_the_training_that_is_measured_is_watched(peer, speed, monkeypatch, name, precision):
    """Passes, table and precision are as expected; canary: with the callback idle they are not."""
    import loops
    import models

    batch, setting = models.make_batch("tiny", [8, 8], 0), {"batch": 2, "precision": precision}
    theirs = peer.load()
    for idle in (False, True):
        if idle:
            monkeypatch.setattr(theirs.AdversarialTraining, "on_train_begin", lambda self, logs=None: None)
            monkeypatch.setattr(peer, "_rows", lambda batch, copies, made=peer._rows: made(batch, 1))
        fit = peer.Fit(theirs, name, models.make_model("tiny"), [batch], precision)
        lane = loops.Lane(fit)
        if idle:
            with pytest.raises(RuntimeError, match="expected"):
                peer._watched(fit, lane, name, setting)
        else:
            assert peer._watched(fit, lane, name, setting) == peer.UNITS[name]
        lane.close()
