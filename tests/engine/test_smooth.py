"""SMART, R-AT and the gradient penalty against closed forms on SPEC's toy, and what their words promise."""

from math import exp, log1p

import pytest
import torch

from engine.models import ScriptedNoise, ToyLinear, batch, distance, gradients, tiny, toy_batch
from engine.perturbed import ABSOLUTE, deltas, perturbations
from toughen import GradientPenalty, Rat, Smart
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.engine.weight_average import make_average
from toughen.errors import InputError


def softplus(x):
    return log1p(exp(x))


def sigmoid(x):
    return 1 / (1 + exp(-x))


def symmetric(m, n):
    """KL both ways of Bernoullis with logits m and n."""
    return (sigmoid(m) - sigmoid(n)) * (m - n)


def toy(adversary, start=None):
    model = ToyLinear()
    noise = (
        ScriptedNoise() if start is None else lambda kind, like: torch.tensor(start, dtype=like.dtype).expand_as(like)
    )
    with Engine(model, CrossEntropy(), adversary, noise=noise) as engine:
        return model, float(engine.backward(toy_batch())), engine.terms()


def assert_close(got, want, tolerance=1e-9):
    assert got == pytest.approx(want, rel=0, abs=tolerance)


# ---- gradient penalty


def test_gradient_penalty_on_the_toy():
    """1/2 ||sigmoid(-3) w||^2 = .028115168; d(L + penalty)/dw = (-.094241796, .008996854)."""
    model, loss, terms = toy(GradientPenalty(radius=1.0, **ABSOLUTE))
    assert_close(terms["adversarial"], 0.028115168)
    assert_close(terms["adversarial"], 12.5 * sigmoid(-3) ** 2)
    assert_close(loss, softplus(-3) + 0.028115168)
    assert_close(model.w.grad.tolist(), [-0.094241796, 0.008996854])
    assert terms["perturbation_norm"] == 0
    assert len(model.logits) == 1


def test_the_relative_penalty_is_in_squared_units_of_the_mean_row():
    """Rows (0, 0), (1, 0), (.5, -1): mean norm (0 + 1 + sqrt 1.25) / 3."""
    unit = (1 + 1.25**0.5) / 3
    assert_close(toy(GradientPenalty(radius=2.0))[2]["adversarial"], 2 * unit**2 * 0.028115168, 2e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_penalty_works_with_sdpa_and_eager(dtype):
    """The engine chooses a kernel that can be differentiated twice; without its choice (canary) sdpa cannot."""
    rows, found = batch(), []
    for kind in ("sdpa", "eager"):
        model = tiny("bert", dtype=dtype)
        model.set_attn_implementation(kind)
        with Engine(model, adversary=GradientPenalty(radius=1.0)) as engine:
            engine.backward(rows)
        found.append(gradients(model))
    assert distance(*found) < (1e-9 if dtype == torch.float64 else 1e-4)
    model = tiny("bert")
    delta = torch.zeros(4, 7, 32, dtype=torch.float64, requires_grad=True)
    model.get_input_embeddings().register_forward_hook(lambda _m, _a, output: output + delta)
    (g,) = torch.autograd.grad(model(**rows).loss, delta, create_graph=True)
    with pytest.raises(RuntimeError, match="derivative"):
        g.pow(2).sum().backward()


def test_gradient_penalty_leaves_special_tokens_out_on_request():
    """Their gradient takes no part in the penalty, which is so a smaller one."""
    sizes = []
    for special in (True, False):
        model = tiny("bert")
        with Engine(model, adversary=GradientPenalty(special_tokens=special), special_ids=(2, 3)) as engine:
            engine.backward(batch())
            sizes.append(engine.terms()["adversarial"])
    assert 0 < sizes[1] < 0.9 * sizes[0]


# ---- SMART


@pytest.mark.parametrize(("radius", "delta"), [(0.03, (0.03, 0.03)), (0.1, (0.0325, 0.04))])
def test_smart_on_the_toy_is_held_by_a_real_ball(radius, delta):
    """Start (.01, .01), one step of .03 g / max|g| = (.0225, .03); the smaller box stops both coordinates."""
    adversary = Smart(radius=radius, start_size=0.01, step_size=0.03, weight=2.0, bregman=0.0, **ABSOLUTE)
    model, loss, terms = toy(adversary, [1.0, 1.0])
    margin = 3 + 3 * delta[0] + 4 * delta[1]
    assert_close(float(model.logits[-1][0]), margin, 1e-12)
    assert_close(terms["adversarial"], 2 * symmetric(3, margin), 1e-12)
    assert_close(loss, softplus(-3) + 2 * symmetric(3, margin), 1e-12)


def test_smart_sends_gradient_through_both_of_its_predictions():
    """d/dw of sKL(sigmoid(w.e), sigmoid(w.(e + delta))), by finite differences of the closed form at fixed delta."""
    model, _, _ = toy(Smart(radius=0.03, start_size=0.01, step_size=0.03, bregman=0.0, **ABSOLUTE), [1.0, 1.0])

    def total(w):
        first, second = w[0], 1.03 * w[0] + 0.03 * w[1]
        return softplus(-first) + symmetric(first, second)

    h = 1e-5
    by_hand = [(total((3 + h, 4)) - total((3 - h, 4))) / (2 * h), (total((3, 4 + h)) - total((3, 4 - h))) / (2 * h)]
    assert_close(model.w.grad.tolist(), by_hand, 1e-9)


def test_smart_never_leaves_its_box_even_at_the_start():
    """A start ten times as wide as the box is clamped to it; every pass sees at most the radius."""
    adversary = Smart(radius=0.02, start_size=0.2, step_size=0.05, steps=3, bregman=0.0, **ABSOLUTE)
    seen = perturbations(tiny("bert"), batch(), adversary)
    assert len(seen) == 5
    assert [float(delta.abs().max()) for delta in seen] == pytest.approx([0, *[0.02] * 4], rel=0, abs=1e-15)


@pytest.mark.parametrize("objective", [CrossEntropy(), RDrop(), CrossEntropy(dropout_samples=2)])
def test_the_proximal_term_is_exactly_0_at_equal_weights(objective):
    """With real dropout: all passes of a step share a mask. After the weights have moved it is not 0 (canary)."""
    model = tiny("bert", dropout=0.2, dtype=torch.float32)
    average = make_average(Ema(decay=0.9, warmup=False), model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Engine(model, objective, Smart(), average=average) as engine:
        for moved in (False, True):
            engine.backward(batch())
            found = engine.terms()["bregman"]
            assert (found > 1e-6) == moved
            assert found == 0 or moved
            engine.step(optimizer)
            average.update()


def test_the_teacher_does_not_learn_and_leaves_the_model_alone():
    """One pass under other weights: the parameters are the same objects afterwards, and only they have gradients."""
    model = tiny("bert")
    average = make_average(Ema(), model)
    before = {name: (id(p), p.detach().clone()) for name, p in model.named_parameters()}
    shadow = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    with Engine(model, adversary=Smart(), average=average) as engine:
        engine.backward(batch())
    for name, p in model.named_parameters():
        assert id(p) == before[name][0]
        assert torch.equal(p, before[name][1])
    assert distance(shadow, average.state_dict()) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_float32_teacher_serves_a_model_in_half_precision(dtype):
    """The average is cast to the weights' own type: at equal weights the term is exactly 0, and some are frozen."""
    model = tiny("bert", dtype=dtype)
    model.bert.embeddings.requires_grad_(False)
    with Engine(model, adversary=Smart(), average=make_average(Ema(), model)) as engine:
        engine.backward(batch())
        assert engine.terms()["bregman"] == 0


def test_smart_without_an_average_is_refused_with_both_remedies():
    with (
        Engine(tiny("bert"), adversary=Smart()) as engine,
        pytest.raises(InputError, match=r"average: ema.*bregman: 0"),
    ):
        engine.backward(batch())


# ---- R-AT


@pytest.mark.parametrize("detached", [False, True])
def test_rat_on_the_toy(detached):
    """delta = (-.06, -.08), margins 3 and 2.5: half of both losses and alpha / 2 of the divergence, either way."""
    model, loss, terms = toy(Rat(radius=0.1, alpha=3.0, detached=detached, **ABSOLUTE))
    assert_close(model.losses(), [softplus(-3), softplus(-2.5)])
    assert_close(terms["task"], softplus(-3) / 2)
    assert_close(terms["adversarial"], softplus(-2.5) / 2 + 1.5 * symmetric(3, 2.5))
    assert_close(loss, terms["task"] + terms["adversarial"])


def test_a_detached_rat_has_another_gradient():
    """Without gradient through the clean side: d/dm of 1/2 sp(-m1) + 1/2 sp(-m2) + a/2 sKL(m1 fixed, m2)."""
    both, _, _ = toy(Rat(radius=0.1, alpha=3.0, **ABSOLUTE))
    one, _, _ = toy(Rat(radius=0.1, alpha=3.0, detached=True, **ABSOLUTE))
    e, moved = (1.0, 0.0), (0.94, -0.08)
    slope = sigmoid(2.5) * sigmoid(-2.5) * (2.5 - 3) + sigmoid(2.5) - sigmoid(3)
    by_hand = [-sigmoid(-3) / 2 * a - sigmoid(-2.5) / 2 * b + 1.5 * slope * b for a, b in zip(e, moved, strict=True)]
    assert_close(one.w.grad.tolist(), by_hand)
    assert (one.w.grad - both.w.grad).abs().max() > 1e-3


def test_rat_draws_another_mask_for_its_second_pass():
    """With dropout and a perturbation of (nearly) no length the divergence is R-Drop's, and not 0."""
    model = tiny("bert", dropout=0.3)
    with Engine(model, adversary=Rat(radius=1e-9, alpha=1.0)) as engine, deltas(model):
        engine.backward(batch())
        moved = engine.terms()
    assert moved["adversarial"] != pytest.approx(moved["task"], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (Smart, {"radius": 0.0}, "radius"),
        (Smart, {"start_size": 0.0}, "start_size"),
        (Smart, {"step_size": 0.0}, "step_size"),
        (Smart, {"steps": 0}, "steps"),
        (Smart, {"weight": 0.0}, "weight"),
        (Smart, {"bregman": -1.0}, "bregman"),
        (Rat, {"radius": 0.0}, "radius"),
        (Rat, {"alpha": -1.0}, "alpha"),
        (GradientPenalty, {"radius": 0.0}, "radius"),
    ],
)
def test_wrong_settings_are_refused_by_name(kind, settings, field):
    with pytest.raises(InputError, match=f"adversary.{field}"):
        kind(**settings)
