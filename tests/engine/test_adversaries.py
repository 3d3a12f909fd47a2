"""Adversaries against the closed forms of SPEC 2, and what they refuse."""

from math import exp, log1p, sqrt

import pytest
import torch

from engine.models import (
    ScriptedNoise,
    ToyLinear,
    batch,
    checkpointing,
    tiny,
    toy_batch,
)
from engine.perturbed import ABSOLUTE, START, perturbations
from toughen import Fgm, Fgsm, FreeLb, Pgd, Vat
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy
from toughen.engine.site import Site
from toughen.engine.space import Space
from toughen.errors import InputError


def toy(adversary, start=None):
    """Run one step on SPEC's toy; return the model (with w.grad and the logits of every pass) and the loss."""
    model = ToyLinear()
    noise = None if start is None else lambda kind, like: torch.tensor(start, dtype=like.dtype).expand_as(like)
    with Engine(model, CrossEntropy(), adversary, **({} if noise is None else {"noise": noise})) as engine:
        return model, float(engine.backward(toy_batch()))


class Watched(FreeLb):
    """FreeLB that keeps the gradients it was given."""

    def ascend(self, step):
        inner, gradient = super().ascend(step), None
        while True:
            try:
                asked = inner.send(gradient)
            except StopIteration as done:
                return done.value
            gradient = yield asked
            if gradient is not None:
                FOUND.append(gradient.clone())


FOUND = []


def softplus(x):
    return log1p(exp(x))


def assert_close(got, want, tolerance=1e-9):
    assert got == pytest.approx(want, rel=0, abs=tolerance)


# closed forms


def test_fgm_on_the_toy():
    """delta = (-.06, -.08): margin 3 becomes 2.5; both passes teach."""
    model, loss = toy(Fgm(radius=0.1, **ABSOLUTE))
    assert_close(model.losses(), [softplus(-3), 0.078889735])
    assert_close(loss, 0.127477086)
    assert_close(model.w.grad.tolist(), [-0.118732562, 0.006068654])


def test_fgsm_on_the_toy():
    """delta = (-.1, -.1): margin 3 - .7."""
    model, loss = toy(Fgsm(radius=0.1, **ABSOLUTE))
    assert_close(model.losses()[1], 0.095545465)
    assert_close(loss, softplus(-3) + softplus(-2.3))


@pytest.mark.parametrize("scope", ["example", "vocabulary"])
def test_pgd_on_the_toy_is_pulled_back_into_the_ball(scope):
    """3 steps of .3 against a ball of .5: delta = (-.3, -.4), margin .5. With radius 1 the ball is never reached."""
    model, loss = toy(Pgd(radius=0.5, step_size=0.3, steps=3, scope=scope, **ABSOLUTE))
    assert_close(model.losses(), [softplus(-3), softplus(-1.5), softplus(-0.5), 0.474076984])
    assert_close(loss, softplus(-3) + softplus(-0.5))
    free, _ = toy(Pgd(radius=1.0, step_size=0.3, steps=3, scope=scope, **ABSOLUTE))
    assert_close(free.losses()[-1], softplus(1.5))


def test_pgd_linf_on_the_toy():
    """Steps of .1 along sign(g) against a box of .2: margin 3 - 7 * .2 at the end."""
    model, _ = toy(Pgd(radius=0.2, step_size=0.1, steps=3, norm="linf", **ABSOLUTE))
    assert_close(model.losses(), [softplus(-3), softplus(-2.3), softplus(-1.6), softplus(-1.6)])


def test_madry_pgd_on_the_toy_trains_on_the_perturbed_batch_alone():
    """Start (.1, -.2) from U = (.1, -.2) sqrt(2) / .5; then one step of .3; the clean pass is absent."""
    start = [0.1 * sqrt(2) / 0.5, -0.2 * sqrt(2) / 0.5]
    model, loss = toy(Pgd(radius=0.5, step_size=0.3, steps=1, **START, **ABSOLUTE), start)
    assert_close(model.losses(), [softplus(-(3 + 0.3 - 0.8)), softplus(-(3 + 0.3 - 0.8 - 1.5))])
    assert_close(loss, model.losses()[-1])


def test_freelb_on_the_toy():
    """Step .1, three passes from 0, each a third of the gradient; no update after the last."""
    model, loss = toy(FreeLb(radius=0.0, step_size=0.1, steps=3, start_size=0.0, **ABSOLUTE))
    assert_close(model.losses(), [0.048587, 0.078890, 0.126928], 5e-7)
    assert_close(model.losses(), [softplus(-3), softplus(-2.5), softplus(-2)])
    assert_close(loss, 0.084801699)
    assert_close(model.w.grad.tolist(), [-0.074543711, 0.008380374])


@pytest.mark.parametrize("examples", [1, 64])
@pytest.mark.parametrize("weight", [None, 2**10])
def test_a_teaching_pass_answers_with_the_gradient_of_the_sum(examples, weight):
    """-sigma(-3) w for every row, however many rows the step has and whatever scale fp16 gives its gradients."""
    FOUND.clear()
    model = ToyLinear()
    with Engine(
        model, CrossEntropy(), Watched(radius=0.0, step_size=0.1, steps=2, start_size=0.0, **ABSOLUTE)
    ) as engine:
        if weight is not None:
            engine.runtime.scaler = torch.amp.GradScaler("cpu", init_scale=weight)
        engine.backward(toy_batch(2), examples=examples)
    wanted = -torch.tensor([3.0, 4.0]) / (1 + exp(3)) / 2
    assert FOUND[0].shape == (2, 1, 2)
    torch.testing.assert_close(FOUND[0].float(), wanted.expand(2, 1, 2), rtol=1e-5, atol=0)
    raw = model.w.grad / (1 if weight is None else weight)
    assert float(raw.norm()) < 1 / examples, "canary: what the weights get is divided by the rows"


def test_freelb_ball_on_the_toy():
    """A ball of .15 stops the third pass at margin 3 - 5 * .15."""
    model, _ = toy(FreeLb(radius=0.15, step_size=0.1, steps=3, start_size=0.0, **ABSOLUTE))
    assert_close(model.losses(), [softplus(-3), softplus(-2.5), softplus(-2.25)])


def test_freelb_linf_on_the_toy():
    """delta += .1 g / max|g|."""
    model, loss = toy(FreeLb(radius=0.0, step_size=0.1, steps=3, start_size=0.0, norm="linf", **ABSOLUTE))
    assert_close(model.losses(), [0.048587352, 0.088939465, 0.160224150])
    assert_close(loss, 0.099250322)
    assert_close(model.w.grad.tolist(), [-0.083994203, 0.012706448])


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("start", "divergence", "margin"), [(-1, 0.006589446, 2.5), (1, 0.004876003, 3.5)])
def test_vat_on_the_toy_keeps_the_sign_of_its_start(start, divergence, margin, steps):
    """KL(sigma(3) || sigma(2.5)), or sigma(3.5) where the random start pointed the other way."""
    adversary = Vat(radius=0.1, probe_size=0.02, steps=steps, **ABSOLUTE)
    model, loss = toy(adversary, [3.0 * start, 4.0 * start])
    assert_close(loss, softplus(-3) + divergence)
    assert_close(model.losses()[-1], softplus(-margin))


def test_random_start_has_the_size_of_the_paper():
    """U(-1, 1) mag / sqrt(L D): every coordinate at most mag / sqrt(L D), and E||delta|| close to mag / sqrt(3)."""
    model, rows = tiny("bert"), batch(lengths=(7, 4, 5, 2) * 32, labels=(0, 1) * 64)
    adversary = FreeLb(radius=0.0, start_size=0.5, steps=1, **ABSOLUTE)
    (start,) = perturbations(model, rows, adversary)
    tokens = rows["attention_mask"].sum(1)
    assert (start.abs().amax((1, 2)) <= 0.5 / (tokens * 32).sqrt() + 1e-15).all()
    assert float(start.norm(dim=(1, 2)).mean()) == pytest.approx(0.5 / sqrt(3), rel=0.01)


def test_vocabulary_norm_spans_the_batch_where_the_example_norm_does_not():
    """g = [[(3,4),0],[0,(6,8)]], distinct ids: per example (.6,.8) both; over the table norms .447214 and .894427."""
    g = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [6.0, 8.0]]], dtype=torch.float64)
    table = torch.nn.Embedding(5, 2, dtype=torch.float64)
    model = ToyLinear()
    model.table = table
    site = Site(model)
    moved = {}
    for scope in ("example", "vocabulary"):
        adversary = Fgm(radius=1.0, scope=scope, **ABSOLUTE)
        space = Space(adversary, site, torch.tensor([[1, 4], [3, 2]]), torch.ones(2, 2).bool(), ScriptedNoise())
        leaf = space.zeros()
        (gradient,) = torch.autograd.grad((g * space.expand(leaf)).sum(), leaf)
        moved[scope] = space.expand(space.moved(leaf, gradient, 1.0, "l2")).detach()
    assert_close(moved["example"][0, 0].tolist(), [0.6, 0.8])
    assert_close(moved["example"][1, 1].tolist(), [0.6, 0.8])
    norms = moved["vocabulary"].norm(dim=-1).tolist()
    assert_close(norms[0], [0.447214, 0.0], 5e-7)
    assert_close(norms[1], [0.0, 0.894427], 5e-7)
    assert_close(norms[0] + norms[1], [1 / sqrt(5), 0.0, 0.0, 2 / sqrt(5)], 1e-12)


# models that cannot be perturbed


@pytest.mark.parametrize(("family", "firings"), [("bart", 0), ("t5", None)])
def test_models_that_do_not_run_their_embedding_once_are_refused_by_name(family, firings):
    model, rows = tiny(family), batch(family)
    with Engine(model, adversary=Fgm()) as engine, pytest.raises(InputError) as refused:
        engine.backward(rows)
    assert type(model).__name__ in str(refused.value)
    assert "times in one forward pass" in str(refused.value)
    if firings is not None:
        assert f" {firings} times" in str(refused.value)
    with Engine(model) as engine:
        engine.backward(rows)  # without an adversary the model trains


@pytest.mark.parametrize("total", [7, 4])
def test_xlnet_is_refused_for_its_layout_even_where_it_looks_right(total):
    """XLNet embeds [T, B, D]; with B == T = 4 the shape fits and the wrong examples would be perturbed."""
    model, rows = tiny("xlnet"), batch("xlnet", lengths=(total, 4, 3, 2))
    assert rows["input_ids"].shape == (4, total)
    with Engine(model, adversary=Fgm()) as engine, pytest.raises(InputError, match=r"XLNet.*layout"):
        engine.backward(rows)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_reentrant_checkpointing_is_refused(family):
    model = tiny(family)
    checkpointing(model, use_reentrant=True)
    with pytest.raises(InputError, match="use_reentrant"):
        Engine(model, adversary=Fgm())
    Engine(model).close()


def test_layer_sites_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="layers 1 to 2"):
        Engine(tiny("bert"), adversary=Fgm(site="layer 3"))
    with pytest.raises(InputError, match="Albert"):
        Engine(tiny("albert"), adversary=Fgm(site="layer 1"))
    model = tiny("bert")
    checkpointing(model, use_reentrant=False)
    with pytest.raises(InputError, match="checkpointing"):
        Engine(model, adversary=Fgm(site="layer 1"))


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (Fgm, {"radius": 0.0}, "radius"),
        (Fgm, {"radius": -1.0}, "radius"),
        (Fgm, {"weight": 0.0}, "weight"),
        (Fgm, {"start_step": -1}, "start_step"),
        (Fgm, {"site": "layer 0"}, "site"),
        (Fgm, {"site": "pooler"}, "site"),
        (Fgm, {"site": "layer 1", "scope": "vocabulary"}, "site"),
        (Pgd, {"steps": 0}, "steps"),
        (Pgd, {"step_size": 0.0}, "step_size"),
        (FreeLb, {"radius": -0.1}, "radius"),
        (FreeLb, {"steps": 0}, "steps"),
        (FreeLb, {"start_size": -1.0}, "start_size"),
        (Vat, {"probe_size": 0.0}, "probe_size"),
        (Vat, {"steps": 0}, "steps"),
    ],
)
def test_wrong_settings_are_refused_by_name(kind, settings, field):
    with pytest.raises(InputError, match=f"adversary.{field}"):
        kind(**settings)
