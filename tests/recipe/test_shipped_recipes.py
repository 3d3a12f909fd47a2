"""Each shipped recipe computes what its article intends: a naive loop with the numbers written out beside it.

The numbers stand here a second time on purpose: a changed recipe file has to fail.
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from engine import naive, naive_slots
from engine.models import FAMILIES, ScriptedNoise, batch, distance, gradients, pin_dropout, tiny
from toughen.engine.engine import Engine
from toughen.engine.weight_average import make_average
from toughen.recipe.recipe import load_recipe
from toughen.recipe.shipped import shipped_recipes

S1 = {"smoothing": 0.1, "alpha": 1.0}
S0 = {"smoothing": 0.1, "alpha": 5.0}
RELATIVE = {"relative": True}
PGD = {"radius": 0.2, "step_size": 0.1, "steps": 3}
# name: (naive loop, its settings, the objective and unit it runs in)
RECIPES = {
    "plain": (naive.plain, {}, {}),
    "rdrop": (naive.plain, {}, S1),
    "fgm": (naive.fgm, {"radius": 0.2}, RELATIVE),
    "fgsm": (naive.fgsm, {"radius": 0.002}, RELATIVE),
    "pgd": (naive.pgd, PGD, RELATIVE),
    "freelb": (naive.freelb, {"radius": 0.2, "step_size": 0.1, "steps": 3, "start_size": 0.2}, RELATIVE),
    "vat": (naive.vat, {"radius": 0.2, "probe_size": 0.1}, RELATIVE),
    "ema": (naive.plain, {}, {}),
    "swa": (naive.plain, {}, {}),
    "checkpoint-soup": (naive.plain, {}, {}),
    "full-stack": (
        naive.pgd_table,
        {"radius": 1.0, "step_size": 0.3, "steps": 3, "search_loss": "objective", "loss": "objective"},
        S0,
    ),
    "rat-stack": (naive_slots.rat, {"radius": 0.066, "alpha": 1.0}, {"smoothing": 0.1} | RELATIVE),
    "smart": (
        naive_slots.smart,
        {"radius": 0.002, "start_size": 0.001, "step_size": 0.002, "steps": 1, "weight": 1.0, "bregman": 1.0},
        RELATIVE,
    ),
    "gradient-penalty": (naive_slots.gradient_penalty, {"radius": 1.0}, RELATIVE),
    "sam": (naive_slots.sam, {"radius": 0.05}, {}),
    "asam": (naive_slots.asam, {"radius": 0.5, "eta": 0.01}, {}),
    "awp": (naive_slots.awp, {"radius": 0.005, "only": "weight", "clean": True}, {}),
    "neftune": (naive.plain, {}, {"change": naive_slots.neftune(5.0)}),
    "mixup": (naive.plain, {}, {"mixing": naive_slots.Mixed(0.2)}),
    # The first step of a radius that adjusts itself: .3, and the other lengths in proportion.
    "accuracy": (naive.freelb, {"radius": 0.3, "step_size": 0.15, "steps": 2, "start_size": 0.3}, RELATIVE),
    "robust": (naive.freelb, {"radius": 0.3, "step_size": 0.15, "steps": 3, "start_size": 0.3}, RELATIVE),
    "fast": (naive.plain, {}, {}),
    "tough-stack": (naive.pgd, PGD | {"search_loss": "task", "loss": "objective"}, S1 | RELATIVE),
}


def test_every_shipped_recipe_has_its_loop_here():
    assert {name for name, *_ in shipped_recipes()} == RECIPES.keys()


def naive_step(model, rows, name, pin, noise=None, teacher=None, **changes):
    recipe, settings, objective = RECIPES[name]
    objective = objective | changes
    mixing = objective.pop("mixing", None)
    loop = naive.Loop(model, rows, pin=pin, noise=noise or ScriptedNoise(), **objective)
    if mixing is not None:
        mixing(loop)
    if name == "smart":
        settings = settings | {"teacher": teacher or model}
    return float(recipe(loop, **settings))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", RECIPES)
def test_gradient_equals_the_articles_loop(name, family):
    if (name, family) == ("mixup", "gpt2"):
        return  # refused: a decoder
    recipe, model, rows = load_recipe(name), tiny(family), batch(family)
    pin = pin_dropout(model, 4)
    want = naive_step(model, rows, name, pin), gradients(model)
    model.zero_grad()
    average = make_average(recipe.average, model) if name == "smart" else None
    slots = {"inputs": recipe.inputs, "average": average, "noise": ScriptedNoise()}
    with Engine(model, recipe.objective, recipe.adversary, **slots) as engine:
        loss = float(engine.backward(rows))
    got = gradients(model)
    assert loss == pytest.approx(want[0], rel=0, abs=1e-9)
    assert distance(got, want[1]) < 1e-9
    if recipe.adversary is not None:
        model.zero_grad()
        naive_step(model, rows, name, pin, still=True)
        assert distance(got, gradients(model)) > 1e-6
    if recipe.inputs is not None:
        model.zero_grad()
        naive_step(model, rows, "plain", pin)
        assert distance(got, gradients(model)) > 1e-6


def warm(n):
    return min(0.999, (1 + n) / (10 + n))


# name: the share of the old average that update n of 8 keeps; SWA starts after 6: its first weights are step 7's
AVERAGES = {"full-stack": lambda n: 0.999, "swa": lambda n: [0, 1 / 2][max(0, n - 7)]}
AVERAGES |= dict.fromkeys(("ema", "tough-stack", "rat-stack", "smart"), warm)


@pytest.mark.parametrize("name", AVERAGES)
def test_whole_recipe_equals_a_naive_training_loop(name):
    """Eight steps: raw weights and the average agree to 1e-9, and the average is not the raw weights.

    The unit of a relative radius is the mean embedding row when training starts.
    """
    recipe = load_recipe(name)
    results = []
    for product in (True, False):
        model = tiny("bert")
        pin = pin_dropout(model, 4)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
        weights, unit = list(model.parameters()), naive.mean_row(model.get_input_embeddings())
        fixed = {"relative": unit} if RECIPES[name][2].get("relative") else {}
        shadow = [w.detach().clone() for w in weights]
        average = make_average(recipe.average, model, total_steps=8)
        noise, teacher = ScriptedNoise(), deepcopy(model)
        slots = {"average": average, "noise": noise}
        engine = Engine(model, recipe.objective, recipe.adversary, **slots) if product else None
        for n in range(1, 9):
            rows = batch(seed=n)
            optimizer.zero_grad()
            engine.backward(rows) if engine else naive_step(model, rows, name, pin, noise, teacher, **fixed)
            optimizer.step()
            average.update()
            d = AVERAGES[name](n)
            shadow = [d * s + (1 - d) * w.detach() for s, w in zip(shadow, weights, strict=True)]
            for t, s in zip(teacher.parameters(), shadow, strict=True):
                t.data.copy_(s)
        raw = {str(i): w.detach().clone() for i, w in enumerate(weights)}
        with average.applied():
            averaged = {str(i): w.detach().clone() for i, w in enumerate(weights)}
        results.append((raw, averaged, {str(i): s for i, s in enumerate(shadow)}))
    (ours, our_average, _), (theirs, _, their_average) = results
    assert distance(ours, theirs) < 1e-9
    assert distance(our_average, their_average) < 1e-9
    assert distance(our_average, ours) > 1e-6


def test_recipes_that_only_average_compute_the_plain_gradient():
    plain = load_recipe("plain")
    for name in ("ema", "swa", "checkpoint-soup"):
        recipe = load_recipe(name)
        assert replace(recipe, average=None, description="") == replace(plain, description="")


def test_full_stack_has_the_articles_schedule():
    """S0: 5 epochs, batch 16, 2e-5, decay .01, warm-up .1, cosine, stop after 3 by F1 with threshold .01, seed 42."""
    training = load_recipe("full-stack").training
    listed = {
        "epochs": 5, "batch_size": 16, "learning_rate": 2e-5, "weight_decay": 0.01, "warmup": 0.1, "schedule": "cosine",
        "early_stopping": 3, "early_stopping_threshold": 0.01, "metric": "f1", "seed": 42, "save_total_limit": 2,
        "log_steps": 50, "save_steps": None, "precision": "auto", "accumulation": 1, "layer_decay": 1.0,
    }  # fmt: skip
    assert {name: getattr(training, name) for name in listed} == listed
    assert load_recipe("full-stack").model == "roberta-base"
    assert load_recipe("tough-stack").training.early_stopping_threshold == 0.0
