"""Weight space, changed inputs and the four tasks against naive loops: 1e-9 in every gradient and in the loss."""

import pytest
import torch

from engine import naive, naive_slots
from engine.models import FAMILIES, ScriptedNoise, batch, distance, gradients, pin_dropout, tiny
from engine.naive_tasks import LOSSES
from engine.test_families import (
    EXAMPLE,
    OBJECTIVES,
    assert_agree,
    engine_result,
    model_for,
    naive_result,
)
from toughen import Asam, Awp, Fgm, FreeLb, GradientPenalty, Pgd, Rat, Sam, Smart, Vat
from toughen.engine.averages import Ema
from toughen.engine.inputs import Mixup, Neftune
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.engine.weight_average import make_average

WEIGHTS = {
    "sam": (Sam, naive_slots.sam, {"radius": 0.3}),
    "asam": (Asam, naive_slots.asam, {"radius": 0.5, "eta": 0.01}),
    "awp": (Awp, naive_slots.awp, {"radius": 0.05}),
    "awp-absolute": (Awp, naive_slots.awp, {"radius": 0.3, "radius_unit": "absolute", "only": "embeddings"}),
    "awp-moved-only": (Awp, naive_slots.awp, {"radius": 0.05, "clean": False}),
}
NOT_BERT = {"gpt2": "wte", "distilbert": "embeddings"}
INPUTS = {"neftune": (Neftune(alpha=3.0), naive_slots.neftune(3.0)), "mixup": (Mixup(alpha=0.6), 0.6)}
ABSOLUTE = {"radius_unit": "absolute"}
TASKS = tuple(LOSSES)


def changed_result(model, rows, recipe, settings, inputs, **loop):
    """Return (loss, gradients) of a naive loop whose passes see changed inputs."""
    model.zero_grad()
    made = naive.Loop(model, rows, noise=ScriptedNoise(), **loop)
    if inputs == "mixup":
        naive_slots.Mixed(INPUTS[inputs][1])(made)
    elif inputs == "neftune":
        made.change = INPUTS[inputs][1]
    loss = float(recipe(made, **settings))
    return loss, gradients(model)


# ---- weight space


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", WEIGHTS)
def test_weight_adversary_equals_the_naive_loop(name, objective, family):
    """Gradient, move, gradient there, back; canary: the same loop without the move."""
    ours, theirs = OBJECTIVES[objective]
    kind, recipe, settings = WEIGHTS[name]
    if "only" in settings:
        settings = settings | {"only": NOT_BERT.get(family, "embeddings")}
    model, pin = model_for(family, objective, 4)
    rows = batch(family)
    got = engine_result(model, rows, ours, kind(**settings))
    want = naive_result(model, rows, recipe, settings, pin=pin, **theirs)
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings, pin=pin, still=True, **theirs))


@pytest.mark.parametrize("name", WEIGHTS)
def test_weight_adversary_draws_a_fresh_mask_per_pass(name):
    kind, recipe, settings = WEIGHTS[name]
    model, rows = tiny("bert", dropout=0.2), batch()
    results = []
    for seed in (5, 6):
        torch.manual_seed(5)
        got = engine_result(model, rows, CrossEntropy(), kind(**settings))
        torch.manual_seed(seed)
        results.append(naive_result(model, rows, recipe, settings))
    assert_agree(got, results[0], canary=results[1])


# ---- inputs

WITH_INPUTS = {
    "plain": (None, naive.plain, {}),
    "fgm": (Fgm, naive.fgm, {"radius": 0.3}),
    "pgd-madry": (Pgd, *EXAMPLE["pgd-madry"][1:]),
    "freelb": (FreeLb, *EXAMPLE["freelb"][1:]),
    "vat": (Vat, *EXAMPLE["vat"][1:]),
    "smart": (Smart, *EXAMPLE["smart"][1:]),
    "rat": (Rat, *EXAMPLE["rat"][1:]),
    "gradient-penalty": (GradientPenalty, *EXAMPLE["gradient-penalty"][1:]),
    "sam": (Sam, *WEIGHTS["sam"][1:]),
}


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", WITH_INPUTS)
def test_changed_inputs_under_every_kind_of_adversary(name, objective, inputs):
    """Noise is drawn in every pass, partners once a batch; perturbations live on what the model really reads."""
    if (name, objective) == ("rat", "rdrop"):
        return
    ours, theirs = OBJECTIVES[objective]
    kind, recipe, settings = WITH_INPUTS[name]
    model, pin = model_for("bert", objective, 4)
    rows = batch()
    unit = ABSOLUTE if name not in ("plain", "sam") else {}
    adversary = kind and kind(**unit, **settings)
    got = engine_result(model, rows, ours, adversary, inputs=INPUTS[inputs][0])
    want = changed_result(model, rows, recipe, settings, inputs, pin=pin, **theirs)
    assert_agree(got, want, canary=naive_result(model, rows, recipe, settings, pin=pin, **theirs))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("inputs", INPUTS)
def test_changed_inputs_on_every_family(inputs, family):
    if (inputs, family) == ("mixup", "gpt2"):
        return  # refused: a decoder
    model, rows = tiny(family), batch(family)
    got = engine_result(model, rows, CrossEntropy(), Pgd(**EXAMPLE["pgd"][2], **ABSOLUTE), inputs=INPUTS[inputs][0])
    want = changed_result(model, rows, naive.pgd, EXAMPLE["pgd"][2], inputs)
    assert_agree(got, want, canary=naive_result(model, rows, naive.pgd, EXAMPLE["pgd"][2]))


@pytest.mark.parametrize("inputs", INPUTS)
def test_inputs_change_at_the_embeddings_though_the_adversary_sits_at_a_layer(inputs):
    model, rows = tiny("bert"), batch()
    site = naive.SITES["bert"](model)[0]
    adversary = Fgm(radius=0.3, site="layer 1", **ABSOLUTE)
    got = engine_result(model, rows, CrossEntropy(), adversary, inputs=INPUTS[inputs][0])
    want = changed_result(model, rows, naive.fgm, {"radius": 0.3}, inputs, site=site)
    assert_agree(got, want, canary=changed_result(model, rows, naive.fgm, {"radius": 0.3}, inputs))


# ---- tasks

LOOPS = {
    "plain": (None, naive.plain, {}),
    "pgd": (Pgd, *EXAMPLE["pgd"][1:]),
    "freelb": (FreeLb, *EXAMPLE["freelb"][1:]),
    "vat": (Vat, *EXAMPLE["vat"][1:]),
    "smart": (Smart, *EXAMPLE["smart"][1:]),
    "rat": (Rat, *EXAMPLE["rat"][1:]),
    "gradient-penalty": (GradientPenalty, *EXAMPLE["gradient-penalty"][1:]),
}


def objective_for(task, name):
    """Return the product's and the naive loop's settings; a number has no classes to smooth or weigh."""
    settings, theirs = {}, {}
    if task != "regression":
        settings = {"label_smoothing": 0.1, "class_weights": (0.7, 1.6, 1.1)[: 2 if task == "single-label" else 3]}
        theirs = {"smoothing": 0.1, "weights": settings["class_weights"]}
    if name == "rdrop":
        return RDrop(alpha=3.0, **settings), theirs | {"alpha": 3.0}
    return CrossEntropy(**settings), theirs


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", LOOPS)
def test_every_task_equals_the_naive_loop(name, objective, task):
    """Several labels, a number, a class per word: loss and divergence of the task in every adversary's passes."""
    if (name, objective) == ("rat", "rdrop"):
        return
    ours, theirs = objective_for(task, objective)
    kind, recipe, settings = LOOPS[name]
    model, rows = tiny("bert", task=task), batch(task=task)
    pin = pin_dropout(model, 4) if objective == "rdrop" else None
    got = engine_result(model, rows, ours, kind and kind(**ABSOLUTE, **settings), task=task)
    want = naive_result(model, rows, recipe, settings, pin=pin, task=task, **theirs)
    assert_agree(got, want)
    if kind is not None:
        still = naive_result(model, rows, recipe, settings, pin=pin, task=task, still=True, **theirs)
        assert distance(got[1], still[1]) > 1e-6
    other = rows | {"labels": rows["labels"].roll(1, 0)}
    elsewhere = engine_result(model, other, ours, kind and kind(**ABSOLUTE, **settings), task=task)
    assert distance(got[1], elsewhere[1]) > 1e-6, "canary: the labels do matter"


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "bert"])
@pytest.mark.parametrize("task", [t for t in TASKS if t != "single-label"])
def test_every_task_on_every_family(task, family):
    model, rows = tiny(family, task=task), batch(family, task=task)
    ours, theirs = objective_for(task, "cross-entropy")
    got = engine_result(model, rows, ours, Pgd(**EXAMPLE["pgd"][2], **ABSOLUTE), task=task)
    want = naive_result(model, rows, naive.pgd, EXAMPLE["pgd"][2], task=task, **theirs)
    canary = naive_result(model, rows, naive.pgd, EXAMPLE["pgd"][2], task=task, still=True, **theirs)
    # ModernBERT rotates in float32: a sum of losses and its 9th part round differently
    assert_agree(got, want, canary=canary, tolerance=1e-7 if (task, family) == ("tokens", "modernbert") else 1e-9)


@pytest.mark.parametrize("task", [t for t in TASKS if t != "tokens"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_mixup_of_every_task_blends_labels(task, objective):
    """Losses of both labels, or the loss of the blended one: the same, since each is linear in its target."""
    ours, theirs = objective_for(task, objective)
    model, rows = tiny("bert", task=task), batch(task=task)
    pin = pin_dropout(model, 4) if objective == "rdrop" else None
    got = engine_result(model, rows, ours, None, task=task, inputs=INPUTS["mixup"][0])
    want = changed_result(model, rows, naive.plain, {}, "mixup", task=task, pin=pin, **theirs)
    assert_agree(got, want, canary=naive_result(model, rows, naive.plain, {}, task=task, pin=pin, **theirs))


# ---- SMART's proximal term


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_smart_learns_from_the_average_of_the_weights(task, objective):
    """The EMA, made by hand as a second model, gives the teacher's logits; without it (canary) the gradient differs."""
    ours, theirs = objective_for(task, objective)
    settings = EXAMPLE["smart"][2] | {"bregman": 2.0}
    model, rows = tiny("bert", task=task), batch(task=task)
    pin = pin_dropout(model, 4) if objective == "rdrop" else None
    teacher = tiny("bert", task=task)
    if pin:
        pin_dropout(teacher, 4)
    average = make_average(Ema(decay=0.7, warmup=False), model)
    with torch.no_grad():
        for p, t in zip(model.parameters(), teacher.parameters(), strict=True):
            start = p.clone()
            p += 0.05 * p.sin()
            t.copy_(0.7 * start + 0.3 * p)
    average.update()
    got = engine_result(model, rows, ours, Smart(**ABSOLUTE, **settings), average=average, task=task)
    loop = {"pin": pin, "task": task} | theirs
    want = naive_result(model, rows, naive_slots.smart, settings | {"teacher": teacher}, **loop)
    assert_agree(got, want, canary=naive_result(model, rows, naive_slots.smart, settings | {"bregman": 0.0}, **loop))
