"""Losses and divergences of the four tasks against the closed forms of SPEC 1, and a mean over words for tokens."""

from math import exp, log

import pytest
import torch
from torch import nn

from engine.models import batch, distance, gradients, pin_dropout, tiny
from toughen.engine.engine import Engine
from toughen.engine.head_samples import HeadSamples
from toughen.engine.likelihood import LIKELIHOODS, Target, bernoulli_kl, symmetric_bernoulli_kl
from toughen.engine.objectives import CrossEntropy, RDrop, resolve_class_weights
from toughen.errors import InputError

NAN = float("nan")


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def logit(p):
    return log(p / (1 - p))


def loss(task, logits, labels, **settings):
    return LIKELIHOODS[task].loss(logits, labels, CrossEntropy(**settings))


# ---- focal loss and class weights


def test_focal_loss_by_hand():
    """-(1 - p)^2 log p: an easy row (p = .9) counts a hundredth, a hard one (p = .2) 64 % of its cross-entropy."""
    z = torch.stack([doubles(logit(0.9), 0.0), doubles(logit(0.2), 0.0)])
    y = torch.tensor([0, 0])
    found = loss("single-label", z, y, focal_gamma=2.0)
    assert found.tolist() == pytest.approx([0.01 * -log(0.9), 0.64 * -log(0.2)], rel=0, abs=1e-12)
    weighted = loss("single-label", z, y, focal_gamma=2.0, class_weights=(3.0, 1.0))
    assert torch.allclose(weighted, 3 * found, rtol=0, atol=1e-12)
    assert torch.equal(loss("single-label", z, y, focal_gamma=0.0), loss("single-label", z, y))


def test_focal_loss_of_several_labels_by_hand():
    """Per class: p = .9 where the label is there counts (1 - p)^2, p = .7 where it is not counts p^2."""
    found = loss("multi-label", doubles(logit(0.9), logit(0.7)).view(1, 2), doubles(1.0, 0.0).view(1, 2), focal_gamma=2)
    assert float(found) == pytest.approx((0.01 * -log(0.9) + 0.49 * -log(0.3)) / 2, rel=0, abs=1e-12)


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_the_gradient_of_the_focal_loss_goes_through_its_factor(task):
    """By differences: a factor held constant would leave out gamma (1 - p)^(gamma - 1) log p dp."""
    z = doubles(0.3, -0.8, 1.1, 0.4).view(2, 2).requires_grad_()
    labels = torch.tensor([0, 1]) if task == "single-label" else doubles(1.0, 0.0, 0.0, 1.0).view(2, 2)
    assert torch.autograd.gradcheck(lambda logits: loss(task, logits, labels, focal_gamma=2.0), z)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_focal_loss_of_a_certain_row_has_a_finite_gradient(task, gamma):
    """In float32 a margin of 40 makes 1 - p exactly 0, where a power below 1 has an infinite slope."""
    z = torch.tensor([[40.0, 0.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0]) if task == "single-label" else torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found = loss(task, z, labels, focal_gamma=gamma)
    found.sum().backward()
    assert found.isfinite().all()
    assert z.grad.isfinite().all()
    assert float(z.grad[1].abs().max()) > 1e-3, "canary: an uncertain row has one"


def test_effective_number_weights_by_hand():
    """Cui et al.: (1 - beta) / (1 - beta^n), scaled to a mean of 1; beta = .9, counts 1 and 10."""
    objective = CrossEntropy(class_weights="effective-number", effective_beta=0.9)
    rare, common = 0.1 / (1 - 0.9), 0.1 / (1 - 0.9**10)
    scale = 2 / (rare + common)
    found = resolve_class_weights(objective, [1, 10]).class_weights
    assert found == pytest.approx((rare * scale, common * scale), rel=1e-12)
    assert sum(found) == pytest.approx(2, rel=1e-12)
    nearly_counts = CrossEntropy(class_weights="effective-number", effective_beta=0.9999999)
    assert resolve_class_weights(nearly_counts, [10, 30]).class_weights == pytest.approx((1.5, 0.5), abs=1e-5)
    equal = CrossEntropy(class_weights="effective-number", effective_beta=0.0)
    assert resolve_class_weights(equal, [10, 30]).class_weights == (1.0, 1.0)


def test_balanced_weights_of_several_labels_multiply_the_positives():
    """4 rows, of which 1 and 3 have the labels: weights 3 and 1/3; only the positive part of the loss is multiplied."""
    objective = resolve_class_weights(CrossEntropy(class_weights="balanced"), [1, 3], rows=4)
    assert objective.class_weights == pytest.approx((3.0, 1 / 3))
    z, y = doubles(0.5, -0.2).view(1, 2), doubles(1.0, 0.0).view(1, 2)
    by_hand = (3 * log(1 + exp(-0.5)) + log(1 + exp(-0.2))) / 2
    assert float(LIKELIHOODS["multi-label"].loss(z, y, objective)) == pytest.approx(by_hand, rel=0, abs=1e-12)


# ---- divergences


def test_bernoulli_divergences():
    """KL(.8||.6) = .091516, KL(.6||.8) = .104650; the symmetric one is their sum, and summed over classes."""
    p, q = doubles(logit(0.8)), doubles(logit(0.6))
    assert float(bernoulli_kl(p, q)) == pytest.approx(0.091516, rel=0, abs=5e-7)
    assert float(bernoulli_kl(q, p)) == pytest.approx(0.104650, rel=0, abs=5e-7)
    exact = 0.8 * log(0.8 / 0.6) + 0.2 * log(0.2 / 0.4)
    assert float(bernoulli_kl(p, q)) == pytest.approx(exact, rel=0, abs=1e-12)
    both = bernoulli_kl(p, q) + bernoulli_kl(q, p)
    assert float(symmetric_bernoulli_kl(p, q)) == pytest.approx(float(both), rel=0, abs=1e-12)
    two = bernoulli_kl(torch.cat([p, q]), torch.cat([q, p]))
    assert float(two) == pytest.approx(float(both), rel=0, abs=1e-12)


def test_the_divergence_of_several_labels_is_on_the_scale_of_their_loss():
    """Loss and divergence of a row are both means over its classes."""
    z, w = doubles(1.0, -2.0, 0.5).view(1, 3), doubles(0.0, 1.0, 0.3).view(1, 3)
    target = Target(LIKELIHOODS["multi-label"], doubles(1.0, 0.0, 1.0).view(1, 3))
    assert torch.allclose(target.kl(z, w), bernoulli_kl(z, w) / 3, rtol=0, atol=1e-15)
    assert torch.allclose(target.symmetric_kl(z, w), symmetric_bernoulli_kl(z, w) / 3, rtol=0, atol=1e-15)


def test_the_divergence_of_numbers_is_their_squared_difference():
    """Two passes of 3 and 1: symmetric 4, one way 2 (unit-variance Gaussians)."""
    target = Target(LIKELIHOODS["regression"], doubles(0.0, 0.0))
    first, second = doubles(3.0, 1.0).view(2, 1), doubles(1.0, 1.5).view(2, 1)
    assert target.symmetric_kl(first, second).tolist() == [4.0, 0.25]
    assert target.kl(first, second).tolist() == [2.0, 0.125]


def test_rdrop_of_numbers_by_hand():
    """1/2 [(3-2)^2 + (1-2)^2] + alpha/2 (3-1)^2 with alpha = 3."""
    target = Target(LIKELIHOODS["regression"], doubles(2.0))
    terms = RDrop(alpha=3.0).terms([doubles(3.0).view(1, 1), doubles(1.0).view(1, 1)], target)
    assert (float(terms["task"]), float(terms["rdrop"])) == (1.0, 6.0)


# ---- rows and words without a label


@pytest.mark.parametrize(
    ("task", "logits", "labels"),
    [
        ("single-label", [[2.0, 0.0], [1.0, 3.0]], torch.tensor([0, -100])),
        ("multi-label", [[2.0, 0.0], [1.0, 3.0]], torch.tensor([[1.0, 0.0], [-100.0, -100.0]])),
        ("regression", [[2.0], [1.0]], torch.tensor([0.5, NAN])),
        ("tokens", [[[2.0, 0.0]], [[1.0, 3.0]]], torch.tensor([[0], [-100]])),
    ],
)
def test_a_row_without_label_has_loss_0_and_no_gradient(task, logits, labels):
    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    found = loss(task, z, labels)
    found.sum().backward()
    assert found[1] == 0
    assert found[0] > 0.05
    assert float(z.grad[1].abs().max()) == 0
    assert LIKELIHOODS[task].known(labels).tolist() == [True, False]


def test_token_loss_and_divergence_leave_out_what_has_no_label():
    """Two labelled words of four: sums over them, and the mean divides by 2; padding and -100 enter neither."""
    generator = torch.Generator().manual_seed(0)
    z, w = (torch.randn(1, 4, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.tensor([[-100, 2, 0, -100]])
    likelihood = LIKELIHOODS["tokens"]
    by_hand = -z[0, 1].log_softmax(-1)[2] - z[0, 2].log_softmax(-1)[0]
    assert float(loss("tokens", z, labels)) == pytest.approx(float(by_hand), rel=0, abs=1e-12)
    p, q = z.log_softmax(-1), w.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)[0]
    assert float(likelihood.kl(z, w, labels)) == pytest.approx(float(kl[1] + kl[2]), rel=0, abs=1e-12)
    other = w.clone()
    other[0, [0, 3]] += 5.0
    assert torch.equal(likelihood.symmetric_kl(z, w, labels), likelihood.symmetric_kl(z, other, labels))
    other[0, 1, 0] += 5.0
    assert not torch.equal(likelihood.symmetric_kl(z, w, labels), likelihood.symmetric_kl(z, other, labels)), "canary"
    assert likelihood.units(labels).tolist() == [2.0]


def test_a_mean_over_words_is_none_over_rows_or_micro_batches():
    """R-Drop on tokens: 2 + 2 rows with the window's words equal 4 rows, and a mean of the two means does not."""
    model, rows = tiny("bert", task="tokens"), batch(lengths=(9, 3, 4, 7), task="tokens")
    words = float((rows["labels"] != -100).sum())
    pin = pin_dropout(model, 4)
    found = {}
    for name, sizes, examples in (("whole", (4,), None), ("parts", (2, 2), words), ("means", (2, 2), None)):
        model.zero_grad()
        with Engine(model, RDrop(alpha=2.0), task="tokens") as engine:
            for start, size in zip((0, 2), sizes, strict=False):
                pin.rows = size
                part = {key: value[start : start + size] for key, value in rows.items()}
                engine.backward(part, examples=examples, sync=start + size == 4)
        found[name] = {key: g / (2 if name == "means" else 1) for key, g in gradients(model).items()}
    assert distance(found["parts"], found["whole"]) < 1e-9
    assert distance(found["means"], found["whole"]) > 1e-4


# ---- multi-sample dropout


class Head(nn.Module):
    """A head that drops out [1, 1] to two scripted draws, and classifies by a fixed table."""

    def __init__(self):
        super().__init__()
        self.dropout, self.classifier = nn.Dropout(0.5), nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.classifier.weight.data = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        self.config = type("Config", (), {"num_labels": 2})()

    def forward(self, hidden):
        return self.classifier(self.dropout(hidden))


def test_multi_sample_dropout_averages_losses_not_logits(monkeypatch):
    """z = [2, 0] and [0, 1], y = 0: .720095; the loss of the mean logits, .474077, is not it."""
    draws = iter([doubles(1.0, 0.0), doubles(0.0, 1.0)])
    monkeypatch.setattr(nn.functional, "dropout", lambda *_: next(draws).view(1, 2))
    head = Head()
    samples = HeadSamples(head, 2)
    with samples.drawn(), torch.no_grad():
        logits = head(doubles(1.0, 1.0).view(1, 2))
    assert logits.tolist() == [[2.0, 0.0], [0.0, 1.0]]
    losses = loss("single-label", logits, torch.tensor([0, 0]))
    assert float(losses.mean()) == pytest.approx(0.720095, rel=0, abs=5e-7)
    of_mean = loss("single-label", logits.mean(0, keepdim=True), torch.tensor([0]))
    assert float(of_mean) == pytest.approx(0.474077, rel=0, abs=5e-7), "canary: what it must not be"
    samples.close()


@pytest.mark.parametrize("objective", [CrossEntropy, RDrop])
@pytest.mark.parametrize("task", ["single-label", "tokens"])
def test_dropout_samples_equal_as_many_heads_on_one_pass(objective, task):
    """From one generator state: the encoder once, then dropout and the last layer three times, losses averaged."""
    model, rows = tiny("bert", dropout=0.0, task=task), batch(task=task)
    model.dropout.p = 0.3
    copies = objective.copies
    entered = []
    handle = model.dropout.register_forward_pre_hook(lambda _m, args: entered.append(args[0]))
    model(**{name: torch.cat([rows[name]] * copies) for name in ("input_ids", "attention_mask")})
    handle.remove()
    chosen, target = objective(), Target(LIKELIHOODS[task], rows["labels"])
    torch.manual_seed(3)
    draws = [model.classifier(model.dropout(entered[0])).chunk(copies) for _ in range(3)]
    losses = torch.stack([sum(chosen.terms(draw, target).values()) for draw in draws]).mean(0)
    want = losses.sum() / LIKELIHOODS[task].units(rows["labels"]).sum()
    want.backward()
    want, expected = float(want.detach()), gradients(model)
    for seed, close in ((3, True), (4, False)):
        model.zero_grad()
        torch.manual_seed(seed)
        with Engine(model, objective(dropout_samples=3), task=task) as engine:
            got = float(engine.backward(rows))
        assert (abs(got - want) < 1e-9) == close
        assert (distance(gradients(model), expected) < 1e-9) == close


def test_dropout_samples_without_a_place_for_them_are_refused():
    for model, cause in ((tiny("bert"), "no dropout above 0"), (tiny("gpt2", dropout=0.1), "no dropout above 0")):
        with Engine(model, CrossEntropy(dropout_samples=2)) as engine, pytest.raises(InputError, match=cause):
            engine.backward(batch())
    head = Head()
    head.forward = lambda hidden: hidden
    with pytest.raises(InputError, match="without its last linear layer"), HeadSamples(head, 2).drawn():
        head(doubles(1.0, 1.0))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"focal_gamma": -1.0}, "focal_gamma"),
        ({"dropout_samples": 0}, "dropout_samples"),
        ({"effective_beta": 1.0}, "effective_beta"),
        ({"class_weights": "fair"}, "class_weights"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, field):
    with pytest.raises(InputError, match=f"objective.{field}"):
        CrossEntropy(**settings)
