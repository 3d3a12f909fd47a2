"""The passes of every technique are predicted as published, and as the engine makes them on a real family."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.models import batch, tiny
from toughen import load_recipe
from toughen.cost import passes
from toughen.cost.passes import Forecast, Ledger, Passes, count_passes, forecast
from toughen.cost.plan_line import plan_lines
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.recipe.shipped import NAMES

PGD = {"adversary": {"name": "pgd", "steps": 3}}
UNITS = [
    ({}, 3),
    ({"objective": "rdrop"}, 6),
    ({"adversary": "fgm"}, 6),
    ({"adversary": "fgsm"}, 6),
    (PGD, 10),
    ({"adversary": {"name": "freelb", "steps": 3}}, 9),
    ({"adversary": "vat"}, 8),
    ({"adversary": "smart", "average": "ema"}, 9),
    ({"adversary": "rat"}, 7),
    ({"adversary": {"name": "rat", "detached": True}}, 6),
    ({"adversary": "gradient-penalty"}, 6),
    ({"adversary": "sam"}, 6),
    ({"adversary": {"name": "awp", "only": "encoder.layer.11"}}, 6),
    ({"objective": "rdrop", **PGD, "adversary.search_loss": "objective"}, 20),
    ({"objective": "rdrop", **PGD, "adversary.search_loss": "task"}, 16),
    ({"adversary": {"name": "fgm", "site": "layer 7", "special_tokens": False}}, 6),
    ({"inputs": "mixup", "objective.class_weights": "balanced", "objective.dropout_samples": 3}, 3),
]


def cycle(recipe, **more) -> Passes:
    prediction = forecast(recipe, **more)
    return prediction.over(prediction.cycle)


def plain(**changes):
    return load_recipe("plain", {key.replace("__", "."): value for key, value in changes.items()})


@pytest.mark.parametrize(("changes", "units"), UNITS, ids=[str(changes) for changes, _ in UNITS])
def test_units_are_the_published_ones(changes, units):
    """SPEC's numbers: forward 1, backward 2, backward to the perturbation alone 1."""
    assert cycle(load_recipe("plain", changes)).units == units


@pytest.mark.parametrize("name", NAMES)
def test_the_prediction_is_what_the_engine_does_on_a_model_of_a_real_family(name):
    recipe = load_recipe(name)
    model = tiny("roberta", dropout=0.1)
    parts = {"inputs": recipe.inputs, "average": make_average(Ema(), model)}
    with Engine(model, recipe.objective, recipe.adversary, **parts) as engine:
        engine.cost = Ledger()
        engine.backward(batch("roberta"))
        engine.backward(batch("roberta"))
    assert cycle(recipe) == engine.cost.passes()


@pytest.mark.parametrize(
    ("name", "memory"),
    # The gradient penalty refuses low memory.
    [(n, m) for n in NAMES for m in ("normal", "low") if (n, m) != ("gradient-penalty", "low")],
)
def test_the_kinds_of_passes_add_up_to_the_units(name, memory):
    found = cycle(load_recipe(name, {"training.memory": memory}))
    assert found.units == found.forwards + 2 * found.backwards + found.input_backwards


def test_each_kind_of_pass_is_told_apart():
    full = cycle(load_recipe("full-stack"))
    assert (full.forwards, full.backwards, full.input_backwards, full.no_grad) == (8, 4, 4, 0)
    assert cycle(load_recipe("smart")).no_grad == 1, "the teacher's pass"
    low = cycle(load_recipe("rdrop", {"training.memory": "low"}))
    assert (low.redone, low.forwards, low.units) == (1, 3, 7), "the first copy is made again in the backward"
    assert cycle(load_recipe("rdrop")).redone == 0


@pytest.mark.parametrize("memory", ["normal", "low"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "gradient-penalty"])  # it refuses both
def test_under_gradient_checkpointing_each_backward_makes_the_passes_again_that_it_goes_through(
    monkeypatch, name, memory
):
    """Counted where torch makes them: in the stub's layers, which its checkpoint runs once more."""
    recipe = load_recipe(name, {"training.memory": memory, "training.gradient_checkpointing": True})
    rows, layer = [], passes.layer

    def counting(module, hidden):
        rows.append(len(hidden))
        return layer(module, hidden)

    monkeypatch.setattr(passes, "layer", counting)
    objective, adversary = recipe.objective, recipe.adversary
    found = count_passes(objective, adversary, recipe.inputs, memory, checkpointing=True)
    assert sum(rows) == found.forwards * passes.ROWS * passes.LAYERS
    kept = count_passes(objective, adversary, recipe.inputs, memory)
    assert kept.checkpointed == 0
    assert found.checkpointed == found.redone - kept.redone == found.backwards + found.input_backwards
    assert found.units == kept.units + found.checkpointed


def test_gradient_checkpointing_has_a_share_of_its_own():
    prediction = forecast(load_recipe("tough-stack", {"training.gradient_checkpointing": True}))
    slots = prediction.slots(prediction.acting)
    assert slots == {"plain": 3, "objective": 3, "inputs": 0, "adversary": 10, "average": 0, "checkpointing": 6}
    assert prediction.plain.units == 3, "what it is compared with makes nothing again"


def test_what_cannot_be_checkpointed_is_refused_as_in_a_training():
    with pytest.raises(InputError, match="adversary gradient-penalty and gradient checkpointing cannot be combined"):
        forecast(load_recipe("gradient-penalty", {"training.gradient_checkpointing": True}))


def test_any_number_of_rows_is_predicted_from_a_few(monkeypatch):
    seen, backward = [], Engine.backward

    def seeing(engine, batch):
        seen.append(len(batch["labels"]))
        assert max(seen) <= 16
        return backward(engine, batch)

    monkeypatch.setattr(Engine, "backward", seeing)
    fgm = plain(adversary="fgm", adversary__share=0.25)
    assert cycle(fgm, rows=99_999_999).units == pytest.approx(3.75)
    assert cycle(fgm, rows=6).units == 3 + 3 * 2 / 6, "the engine rounds 1.5 rows to 2"
    assert seen


def test_an_adversary_that_acts_now_and_then_costs_the_mean_over_its_cycle():
    fgm = plain(adversary="fgm")
    assert cycle(replace(fgm, adversary=replace(fgm.adversary, every=4))).units == (6 + 3 * 3) / 4
    assert cycle(replace(fgm, adversary=replace(fgm.adversary, every=4, start_step=10))).units == (6 + 3 * 3) / 4


def test_an_adversary_of_a_share_of_the_rows_costs_that_share():
    fgm = plain(adversary="fgm")
    half = replace(fgm, adversary=replace(fgm.adversary, share=0.5))
    assert cycle(half, rows=8).units == 4.5
    assert cycle(half, rows=1).units == 6, "at least one row"


def test_slots_add_up_to_the_whole():
    prediction = forecast(load_recipe("full-stack"))
    slots = prediction.slots(prediction.over(prediction.cycle))
    assert slots == {"plain": 3, "objective": 3, "inputs": 0, "adversary": 14, "average": 0, "checkpointing": 0}
    assert sum(slots.values()) == 20


def test_predicting_draws_from_no_ones_generator():
    """A run with its plan printed is the run without."""
    before = torch.get_rng_state()
    forecast(load_recipe("vat"))
    assert torch.equal(before, torch.get_rng_state())


def test_a_pass_that_the_technique_does_not_declare_is_counted_all_the_same(monkeypatch):
    """Canary: an adversary that makes a pass more, without a graph, is predicted to cost a unit more."""
    pgd = plain(**PGD)
    before = cycle(pgd).units
    ascend = type(pgd.adversary).ascend

    def longer(self, step):
        assert step.reference is not None  # before the clean pass it takes one of its own
        return ascend(self, step)

    monkeypatch.setattr(type(pgd.adversary), "ascend", longer)
    assert cycle(pgd).units == before + 1


# the line before a training


def test_the_plan_names_steps_units_and_slots():
    assert plan_lines(load_recipe("tough-stack"), 1313) == [
        "plan: 1,313 steps of 16 units, 21,008 in all: plain 3 (19%), objective 3 (19%), adversary 10 (62%); "
        "5.3 times a plain step"
    ]
    assert plan_lines(plain(), 20) == ["plan: 20 steps of 3 units, 60 in all"]


def test_the_plan_counts_the_steps_in_which_the_adversary_waits():
    late = plain(adversary="fgm", adversary__start_step=50, training__accumulation=4)
    assert plan_lines(late, 100) == [
        "plan: 100 steps of 4 x 4.50 units on average, 1,800 in all: plain 3 (67%), adversary 1.50 (33%); "
        "1.5 times a plain step"
    ]


def test_a_step_without_an_adversary_is_always_idle():
    once = count_passes(load_recipe("plain").objective, None, None, "normal")
    assert Forecast(once, once, once, once, None).over(range(3)) == once


# the page


def test_the_page_has_the_units_of_every_shipped_recipe():
    text = (Path(__file__).parents[2] / "docs/cost.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [page_row(name) for name in NAMES]


def page_row(name):
    prediction = forecast(load_recipe(name))
    mean = prediction.over(prediction.cycle)
    slots = [v for k, v in prediction.slots(mean).items() if k not in ("average", "checkpointing")]
    cells = [mean.forwards, mean.backwards, mean.input_backwards, *slots, mean.units]
    return "| " + " | ".join([f"`{name}`", *(f"{cell:.0f}" for cell in cells)]) + " |"
