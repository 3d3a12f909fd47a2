"""A row may have a probability of each class in place of its class: the loss is the mean over the classes."""

import pytest
import torch

from engine.models import batch, distance, gradients, tiny, without_labels
from toughen import Fgm, Mixup, Vat
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy, RDrop, resolve_class_weights, single_label
from toughen.engine.rows import rows_per_class

Q = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5], [0.1, 0.9, 0.0]], dtype=torch.float64)
Z = torch.tensor([[2.0, 0.0, -1.0], [0.3, 0.2, 0.1], [-4.0, 1.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
OBJECTIVES = {
    "plain": CrossEntropy(),
    "smoothed": CrossEntropy(label_smoothing=0.1),
    "focal": CrossEntropy(focal_gamma=2.0),
    "weighted": CrossEntropy(class_weights=(0.5, 2.0, 1.5)),
    "all": CrossEntropy(label_smoothing=0.2, focal_gamma=1.0, class_weights=(0.5, 2.0, 1.5)),
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_loss_is_the_mean_over_the_classes(objective):
    """By hand from the loss of class ids, in float64."""
    by_class = torch.stack([objective.task(Z, torch.full((4,), y)) for y in range(3)], 1)
    assert torch.allclose(objective.task(Z, Q), (Q * by_class).sum(1), rtol=0, atol=1e-12)


def test_the_oracles():
    """-sum_c r_c log p_c of z = [2, 0, -1] with r = (.7, .2, .1), and torch's own loss of probabilities."""
    expected = 0.7 * 0.169846020 + 0.2 * 2.169846020 + 0.1 * 3.169846020
    assert CrossEntropy().task(Z[:1], Q[:1]).item() == pytest.approx(expected, abs=1e-9)
    smoothed = torch.nn.functional.cross_entropy(Z, Q, reduction="none", label_smoothing=0.1)
    assert torch.allclose(CrossEntropy(label_smoothing=0.1).task(Z, Q), smoothed, rtol=0, atol=1e-12)


def test_a_certain_row_is_its_class_and_a_row_without_label_is_none():
    for objective in OBJECTIVES.values():
        ids = torch.tensor([2, 0, 1, -100])
        certain = torch.eye(3, dtype=torch.float64)[ids.clamp(min=0)]
        certain[3] = -100
        assert torch.allclose(objective.task(Z, certain), objective.task(Z, ids), rtol=0, atol=1e-12)
    likelihood = single_label(ids).likelihood
    assert torch.equal(likelihood.classes(certain), ids)
    assert torch.equal(likelihood.known(certain), ids != -100)


def passed(labels, **slots):
    """Return the gradients of one pass without dropout."""
    model = tiny("bert", labels=3, dropout=0.1)
    with Engine(model.eval(), slots.pop("objective", CrossEntropy()), task="single-label", **slots) as engine:
        engine.backward(dict(batch(), labels=labels))
    return gradients(model)


SLOTS = {
    "plain": {},
    "rdrop": {"objective": RDrop(alpha=3.0)},
    "vat": {"adversary": Vat(radius=0.5, probe_size=0.1)},
    "mixup": {"inputs": Mixup(alpha=0.6)},
}


@pytest.mark.parametrize("name", SLOTS)
def test_gradients_are_the_mean_over_the_classes(name):
    """One distribution for all rows: sum_y r_y gradient(all rows of class y); no perturbation here follows labels."""
    found = []
    for labels in (Q[:1].repeat(4, 1), *(torch.full((4,), y) for y in range(3))):
        torch.manual_seed(0)
        found.append(passed(labels, **SLOTS[name]))
    together, *alone = found
    by_hand = {key: sum(r * g[key] for r, g in zip(Q[0], alone, strict=True)) for key in together}
    assert distance(together, by_hand) < 1e-9
    assert distance(together, alone[0]) > 1e-4, "canary: the other classes matter"


def test_an_adversary_climbs_the_loss_of_the_probabilities():
    """FGM by hand: g of the soft loss, and a step along it, differ from those of the likeliest class."""
    soft, hard = passed(Q, adversary=Fgm(radius=0.4)), passed(Q.argmax(1), adversary=Fgm(radius=0.4))
    certain = torch.eye(3, dtype=torch.float64)[Q.argmax(1)]
    assert distance(passed(certain, adversary=Fgm(radius=0.4)), hard) < 1e-12
    assert distance(soft, hard) > 1e-4


def test_rows_without_labels_join_only_what_needs_none():
    nothing = passed(without_labels(Q), adversary=Vat(radius=0.5, probe_size=0.1))
    assert any(float(g.abs().max()) > 0 for g in nothing.values())
    assert all(float(g.abs().max()) == 0 for g in passed(without_labels(Q)).values())


def test_balanced_weights_count_what_the_probabilities_expect():
    rows = [{"labels": row.tolist()} for row in torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0]])]
    counts, count = rows_per_class(rows, 2)
    assert (counts, count) == ([1, 3], 4)
    assert resolve_class_weights(CrossEntropy(class_weights="balanced"), counts).class_weights == (2.0, 2 / 3)
