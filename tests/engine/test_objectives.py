"""Objectives, one number per row, against the closed forms of SPEC 1."""

from math import exp, log

import pytest
import torch

from engine.models import ToyLinear, batch, gradients, pin_dropout, tiny, toy_batch
from toughen.engine.engine import Engine
from toughen.engine.likelihood import kl, symmetric_kl
from toughen.engine.objectives import CrossEntropy, RDrop, resolve_class_weights, single_label
from toughen.errors import InputError

Z1 = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
Z2 = torch.tensor([[1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
Y = torch.tensor([0, 1])


def digits(text):
    """Tolerance of half a unit in the last digit given."""
    return 0.5 * 10.0 ** -len(text.split(".")[1])


def assert_spec(value, text):
    assert float(value) == pytest.approx(float(text), rel=0, abs=digits(text) * 1.0001)


def log_softmax(z):
    total = log(sum(exp(v) for v in z))
    return [v - total for v in z]


@pytest.mark.parametrize(("smoothing", "spec"), [(0.0, ".169846020"), (0.1, ".336512686")])
def test_label_smoothing_spreads_over_all_classes(smoothing, spec):
    """q = (1-s) onehot + s/K: the s/(K-1) variant would give .419846."""
    z = [2.0, 0.0, -1.0]
    q = [smoothing / 3 + (1 - smoothing) * (c == 0) for c in range(3)]
    by_hand = -sum(p * v for p, v in zip(q, log_softmax(z), strict=True))
    loss = CrossEntropy(label_smoothing=smoothing).task(torch.tensor([z], dtype=torch.float64), torch.tensor([0]))
    assert loss.shape == (1,)
    assert float(loss) == pytest.approx(by_hand, rel=0, abs=1e-12)
    assert_spec(loss, spec)


@pytest.mark.parametrize(("classes", "spec"), [(2, ".198515"), (3, ".291140")])
def test_a_smoothed_loss_cannot_fall_below_the_entropy_of_its_target(classes, spec):
    """At p = q the loss is H(q); a step away in any logit makes it larger."""
    q = torch.full((classes,), 0.1 / classes, dtype=torch.float64)
    q[0] += 0.9
    objective, y = CrossEntropy(label_smoothing=0.1), torch.tensor([0])
    least = objective.task(q.log().unsqueeze(0), y)
    assert_spec(least, spec)
    for c in range(classes):
        away = q.log().clone()
        away[c] += 0.01
        assert objective.task(away.unsqueeze(0), y) > least


def test_class_weights_multiply_each_row():
    """Unlike torch's weighted mean, a row's loss does not depend on the other rows' classes."""
    plain = CrossEntropy().task(Z1, Y)
    weighted = CrossEntropy(class_weights=(0.5, 3.0)).task(Z1, Y)
    assert torch.equal(weighted, plain * torch.tensor([0.5, 3.0], dtype=torch.float64))


def test_balanced_class_weights_are_rows_over_classes_times_count():
    """Counts 10 and 30: weights 2 and 2/3, so that every class weighs the same in total."""
    resolved = resolve_class_weights(RDrop(class_weights="balanced", alpha=2.0), [10, 30])
    assert isinstance(resolved, RDrop)
    assert resolved.alpha == 2.0
    assert resolved.class_weights == pytest.approx((2.0, 2 / 3), rel=1e-12)
    with pytest.raises(InputError, match="one weight per class"):
        resolve_class_weights(CrossEntropy(class_weights=(1.0, 2.0)), [1, 2, 3])


def test_unresolved_balanced_weights_never_pass_silently():
    with pytest.raises(RuntimeError, match="resolved"):
        CrossEntropy(class_weights="balanced").task(Z1, Y)


def test_rows_without_a_label_have_no_task_loss():
    labels = torch.tensor([0, -100])
    for objective in (CrossEntropy(label_smoothing=0.1), CrossEntropy(class_weights=(2.0, 3.0))):
        loss = objective.task(Z1, labels)
        assert loss[1] == 0
        assert loss[0] > 0


def test_divergences_of_the_worked_example():
    assert_spec(kl(Z1, Z2)[0], ".067131")
    assert_spec(kl(Z1, Z2)[1], ".257403")
    assert_spec(kl(Z2, Z1)[0], ".082608")
    assert_spec(kl(Z2, Z1)[1], ".272874")
    assert torch.allclose(symmetric_kl(Z1, Z2), kl(Z1, Z2) + kl(Z2, Z1), rtol=0, atol=1e-15)
    for row, spec in zip(CrossEntropy().task(Z1, Y), (".126928", ".313262"), strict=True):
        assert_spec(row, spec)
    for row, spec in zip(CrossEntropy().task(Z2, Y), (".313262", ".974077"), strict=True):
        assert_spec(row, spec)


@pytest.mark.parametrize(("alpha", "ours", "paper"), [(1.0, ".601886", "1.033768"), (5.0, "1.281901", "1.713783")])
def test_rdrop_has_the_listings_scale_and_converts_to_the_papers(alpha, ours, paper):
    """Ours: mean of 1/2 (CE+CE) + alpha/2 (KL+KL). The paper at alpha is twice ours at alpha / 2."""

    def loss(a):
        return sum(RDrop(alpha=a).terms([Z1, Z2], single_label(Y)).values()).mean()

    assert_spec(loss(alpha), ours)
    assert_spec(2 * loss(alpha / 2), paper)
    by_hand = 0.0
    for z1, z2, y in zip(Z1.tolist(), Z2.tolist(), Y.tolist(), strict=True):
        a, b = log_softmax(z1), log_softmax(z2)
        divergence = sum((exp(p) - exp(q)) * (p - q) for p, q in zip(a, b, strict=True))
        by_hand += (-a[y] - b[y]) / 2 + alpha / 2 * divergence
    assert float(loss(alpha)) == pytest.approx(by_hand / 2, rel=0, abs=1e-12)


def test_rdrop_sends_gradient_through_both_sides():
    first, second = Z1.clone().requires_grad_(), Z2.clone().requires_grad_()
    RDrop(alpha=1.0).terms([first, second], single_label(Y))["rdrop"].sum().backward()
    assert first.grad.abs().min() > 1e-3
    assert second.grad.abs().min() > 1e-3


def test_rdrop_divergence_is_defined_without_labels():
    terms = RDrop().terms([Z1, Z2], single_label(torch.tensor([-100, -100])))
    assert torch.equal(terms["task"], torch.zeros(2, dtype=torch.float64))
    assert (terms["rdrop"] > 0.01).all()


def test_rdrop_runs_the_batch_twice_in_one_forward():
    """One launch over 2B rows; the logged terms add up to the loss."""
    model, rows = tiny("bert", dropout=0.3), batch()
    seen = []
    model.register_forward_pre_hook(lambda m, a, k: seen.append(k["input_ids"].shape[0]), with_kwargs=True)
    with Engine(model, RDrop(alpha=2.0)) as engine:
        loss = float(engine.backward(rows))
        terms = engine.terms()
    assert seen == [8]
    assert terms["rdrop"] > 1e-6
    assert terms["task"] + terms["rdrop"] == pytest.approx(loss, rel=0, abs=1e-12)


def test_rdrop_without_dropout_warns_that_it_is_vacuous():
    with pytest.warns(UserWarning, match="no dropout above 0"):
        Engine(tiny("bert"), RDrop()).close()
    model = tiny("bert")
    pin_dropout(model, 4)
    Engine(model, RDrop()).close()


def test_plain_engine_equals_loss_backward_bitwise():
    """With no slot filled the gradient is that of the model's own loss, to the last bit."""
    model, rows = tiny("bert", dtype=torch.float32), batch()
    model(**rows).loss.backward()
    want = gradients(model)
    model.zero_grad()
    with Engine(model) as engine:
        engine.backward(rows)
    assert all(torch.equal(got, want[name]) for name, got in gradients(model).items())
    assert any(value.abs().max() > 0 for value in want.values())


def test_toy_gradient_of_cross_entropy():
    """L = softplus(-3): dL/dw = -sigmoid(-3) e."""
    model = ToyLinear()
    with Engine(model) as engine:
        loss = engine.backward(toy_batch())
    assert float(loss) == pytest.approx(log(1 + exp(-3)), rel=0, abs=1e-12)
    assert model.w.grad.tolist() == pytest.approx([-1 / (1 + exp(3)), 0.0], rel=0, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (CrossEntropy, {"label_smoothing": 1.0}, "label_smoothing"),
        (CrossEntropy, {"label_smoothing": -0.1}, "label_smoothing"),
        (CrossEntropy, {"class_weights": (1.0, 0.0)}, "class_weights"),
        (RDrop, {"alpha": -1.0}, "alpha"),
        (RDrop, {"label_smoothing": 2.0}, "label_smoothing"),
    ],
)
def test_wrong_settings_are_refused_by_name(kind, settings, field):
    with pytest.raises(InputError, match=field):
        kind(**settings)
