"""`radius: auto`: the closed forms of its rule, a naive float64 training beside it, and what it refuses."""

from math import exp

import pytest
import torch

from engine import naive, naive_radius, naive_slots
from engine.models import ScriptedNoise, batch, distance, tiny
from huggingface.trials import weights
from toughen import Fgm, Fgsm, FreeLb, GradientPenalty, Pgd, Rat, Smart, Vat
from toughen.engine.engine import Engine
from toughen.engine.objectives import RDrop
from toughen.engine.radius import AutoRadius
from toughen.errors import InputError
from toughen.recipe.recipe import load_recipe

AUTO = {"radius": "auto"}
RATES = {"regression": 0.05}
"""Of SGD, else 0.2: large enough to turn answers, small enough that rounding does not grow beyond the tolerance."""
STEPS = {"step_size": 0.15, "steps": 2}
LENGTHS, LABELS = (7, 4, 5, 3, 9, 3, 6, 4), (0, 1, 1, 0, 1, 0, 0, 1)

# name: (the product's adversary, the naive loop, its settings at the default radius, label-free, task)
TRAININGS = {
    "fgm": (Fgm(**AUTO), naive.fgm, {"radius": 0.2}, False, "single-label"),
    "fgsm": (Fgsm(**AUTO), naive.fgsm, {"radius": 0.002}, False, "single-label"),
    "pgd": (Pgd(**AUTO, **STEPS), naive.pgd, {"radius": 0.2, **STEPS}, False, "single-label"),
    "pgd-madry": (
        Pgd(**AUTO, **STEPS, start="random", clean=False),
        naive.pgd,
        {"radius": 0.2, **STEPS, "start": "random", "clean": False},
        False,
        "single-label",
    ),
    "freelb": (
        FreeLb(**AUTO, **STEPS, start_size=0.1),
        naive.freelb,
        {"radius": 0.2, **STEPS, "start_size": 0.1},
        False,
        "single-label",
    ),
    "vat": (Vat(**AUTO), naive.vat, {"radius": 0.2, "probe_size": 0.1}, True, "single-label"),
    "smart": (
        Smart(**AUTO, bregman=0.0),
        naive_slots.smart,
        {"radius": 0.002, "start_size": 0.001, "step_size": 0.002},
        True,
        "single-label",
    ),
    "rat": (Rat(**AUTO), naive_slots.rat, {"radius": 0.2}, True, "single-label"),
    "multi-label": (Fgm(**AUTO), naive.fgm, {"radius": 0.2}, False, "multi-label"),
    "regression": (Fgm(**AUTO), naive.fgm, {"radius": 0.2}, False, "regression"),
    "tokens": (Fgm(**AUTO), naive.fgm, {"radius": 0.2}, False, "tokens"),
}


def rows(task, seed):
    return batch(lengths=LENGTHS, labels=LABELS, seed=seed, task=task)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_equals_the_naive_one(name):
    """Six steps of SGD: scale, smoothed share and all weights to 1e-9, with shares that are not all alike."""
    adversary, climb, settings, label_free, task = TRAININGS[name]
    rate = RATES.get(task, 0.2)
    batches = [rows(task, seed) for seed in range(1, 7)]
    ours, theirs = (tiny("bert", task=task) for _ in range(2))
    unit = naive.mean_row(theirs.get_input_embeddings())
    history = naive_radius.train(
        theirs, batches, climb, settings, label_free=label_free, task=task, unit=unit, rate=rate, noise=ScriptedNoise()
    )
    optimizer = torch.optim.SGD(ours.parameters(), lr=rate)
    with Engine(ours, adversary=adversary, task=task, noise=ScriptedNoise()) as engine:
        for some, (scale, smoothed, _) in zip(batches, history, strict=True):
            engine.backward(some)
            engine.step(optimizer)
            assert float(engine.radius.scale) == pytest.approx(scale, abs=1e-9)
            assert engine.radius.state()["flipped"] == pytest.approx(smoothed, abs=1e-9)
    same = [weights(model) for model in (ours, theirs)]
    assert distance(*same) < 1e-9
    assert len({scale for scale, _, _ in history}) > 2, "canary: the scale moves"


def move(radius, turned, counted):
    radius.move(torch.tensor(float(turned), dtype=torch.float64), torch.tensor(float(counted), dtype=torch.float64))


@pytest.mark.parametrize(("turned", "factor"), [(2, 1.0), (0, exp(0.09)), (10, exp(-0.36))])
def test_a_constant_share_moves_the_scale_by_a_constant_factor(turned, factor):
    """f = tau leaves it, f = 0 multiplies by e^g in each step, f = 1 divides by e^4g."""
    radius = AutoRadius(label_free=False)
    for n in range(1, 6):
        move(radius, turned, 10)
        assert float(radius.scale) == pytest.approx(0.3 * factor**n, rel=1e-12)


def test_the_scale_stays_in_its_bounds_and_comes_back():
    radius = AutoRadius(label_free=False)
    for turned, bound in ((0, 4.0), (10, 0.02)):
        for _ in range(100):
            move(radius, turned, 10)
        assert float(radius.scale) == bound
    move(radius, 0, 10)
    for _ in range(20):
        move(radius, 0, 10)
    assert float(radius.scale) > 0.02


def test_a_step_in_which_nothing_can_be_turned_changes_nothing():
    """No row is right on the first pass: 0 of 0, first of all and later."""
    radius = AutoRadius(label_free=False)
    move(radius, 0, 0)
    assert radius.state() == {"scale": 0.3, "flipped": None}
    move(radius, 5, 10)
    before = radius.state()
    move(radius, 0, 0)
    assert radius.state() == before


def test_its_state_goes_on_bitwise():
    radius, other = AutoRadius(label_free=False), AutoRadius(label_free=False)
    move(radius, 1, 3)
    other.restore(radius.state())
    for one in (radius, other):
        move(one, 2, 7)
    assert radius.state() == other.state()


@pytest.mark.parametrize("task", ["single-label", "regression", "tokens"])
@pytest.mark.parametrize("objective", [None, RDrop(alpha=2.0)])
@pytest.mark.filterwarnings("ignore:.*no dropout above 0")
def test_it_is_counted_over_the_whole_optimiser_step(task, objective):
    """8 rows at once, or as 3 + 4 + 1 with fillers among them: one scale after two steps."""
    scales = []
    for parts in ([range(8)], [range(3), range(3, 7), range(7, 8)]):
        model = tiny("bert", task=task)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        with Engine(model, objective, Fgm(**AUTO), task=task) as engine:
            for seed in (1, 2):
                whole = rows(task, seed)
                count = len(LABELS) if task != "tokens" else int((whole["labels"] != -100).sum())
                for i, part in enumerate(parts):
                    taken = [*part, 0] if len(parts) > 1 else [*part]
                    some = {name: value[taken] for name, value in whole.items()}
                    some["weight"] = torch.tensor([1.0] * len(part) + [0.0] * (len(taken) - len(part)))
                    engine.backward(some, examples=count, labelled=count, sync=i == len(parts) - 1)
                engine.step(optimizer)
                scales.append(float(engine.radius.scale))
    assert scales[:2] == pytest.approx(scales[2:], abs=1e-12)
    assert 0.3 not in scales, "canary: it moved"


def test_it_costs_no_pass():
    """Forwards and units of a step are those of a fixed radius, for every adversary."""
    for adversary in (Fgm, Pgd, FreeLb, Vat, Rat):
        counts = []
        for radius in (0.2, "auto"):
            with Engine(tiny("bert"), adversary=adversary(radius=radius)) as engine:
                engine.backward(rows("single-label", 1))
                counts.append((engine.cost.forwards, engine.cost.units))
        assert counts[0] == counts[1]


def test_a_step_without_the_adversary_leaves_it_alone():
    with Engine(tiny("bert"), adversary=Fgm(**AUTO, every=2, start_step=1)) as engine:
        scales = []
        for _ in range(4):
            engine.backward(rows("single-label", 1))
            scales.append(float(engine.radius.scale))
    assert scales[0] == 0.3
    assert scales[1] != 0.3
    assert scales[2] == scales[1]
    assert scales[3] != scales[2]


def test_what_the_log_says_of_it():
    """The scale of the step's own perturbations, the share, and the accuracy on them; no label, no accuracy."""
    with Engine(tiny("bert"), adversary=Fgm(**AUTO)) as engine:
        engine.backward(rows("single-label", 1))
        terms = engine.terms()
        assert terms["adversary/scale"] == pytest.approx(0.3)
        assert terms["adversary/flipped"] == pytest.approx(engine.radius.state()["flipped"])
        assert 0 <= terms["adversary/accuracy"] <= 1
        assert terms["perturbation_norm"] == pytest.approx(0.3 * engine.site.unit, rel=1e-6)
    with Engine(tiny("bert", task="regression"), adversary=Fgm(), task="regression") as engine:
        engine.backward(rows("regression", 1))
        assert not any(name.startswith("adversary/") for name in engine.terms())


def test_the_accuracy_on_perturbed_rows_is_that_of_the_last_pass():
    """PGD far outside: by hand, from the logits of the step's last pass; a row without a label does not count."""
    model, whole = tiny("bert"), rows("single-label", 1)
    whole["labels"] = torch.tensor([-100, *LABELS[1:]])
    heard = []
    model.register_forward_hook(lambda _m, _i, output: heard.append(output.logits.detach()))
    with Engine(model, adversary=Pgd(radius=5.0, step_size=5.0)) as engine:
        engine.backward(whole, examples=8, labelled=7, sync=False)
        engine.backward(whole, examples=8, labelled=7)
        found = engine.terms()["adversary/accuracy"]
    right = [(z.argmax(1) == whole["labels"]).sum().item() for z in (heard[3], heard[7])]
    assert found == pytest.approx(sum(right) / 14)
    clean = (heard[0].argmax(1) == whole["labels"]).sum().item()
    assert right[0] != clean, "canary: the perturbation does something"


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (FreeLb, {"steps": 1}, "steps"),
        (FreeLb, {"norm": "linf"}, "start_size"),
        (FreeLb, {"start_size": 0.5}, "start_size"),
    ],
)
def test_what_cannot_adjust_itself_is_refused(kind, settings, field):
    with pytest.raises(InputError, match=rf"adversary\.{field}.*radius auto"):
        kind(**AUTO, **settings)


def test_a_recipe_and_a_flag_take_it():
    """As text in YAML and on the command line; another word is refused with the choice, a weight takes a number."""
    recipe = load_recipe("freelb", {"adversary.radius": "auto", "adversary.steps": 2})
    assert recipe.adversary == FreeLb(radius="auto", radius_unit="relative", steps=2)
    with pytest.raises(InputError, match=r"adversary\.radius must be a number or auto, got 'automatic'"):
        load_recipe("freelb", {"adversary.radius": "automatic"})
    with pytest.raises(InputError, match=r"adversary\.radius must be a number, got 'auto'"):
        load_recipe("gradient-penalty", {"adversary.radius": "auto"})
    assert isinstance(load_recipe("gradient-penalty").adversary, GradientPenalty)


def test_a_radius_is_a_number_or_auto():
    """A number written as a text would be taken for auto."""
    with pytest.raises(InputError, match=r"adversary.radius must be a number or auto, got '0.2'"):
        Fgm(radius="0.2")
