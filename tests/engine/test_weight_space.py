"""SAM, ASAM and AWP against the numbers of SPEC 2; which weights move, how far, and that they come back."""

import pytest
import torch

from engine.models import batch, distance, gradients, tiny
from huggingface.trials import same, weights
from toughen import Asam, Awp, Sam
from toughen.engine.adversaries import weights as of_weights
from toughen.engine.engine import Engine
from toughen.engine.reduction import _accumulate, _own, lend_weights
from toughen.errors import InputError

W, G = (torch.tensor(v, dtype=torch.float64) for v in ([1.0, 2.0], [3.0, 4.0]))
ALL = {"sam": Sam(radius=0.3), "asam": Asam(radius=0.5), "awp": Awp(radius=0.05), "awp-absolute": Awp(
    radius=0.3, radius_unit="absolute", only=r"layer\.1\.")}  # fmt: skip


def digits(tensor, want, tolerance):
    assert tensor.tolist() == pytest.approx(want, rel=0, abs=tolerance)


def move(adversary, weights, gradients):
    """Return how far each weight moves, and the length of the whole move."""
    moved = [g.clone() for g in gradients]
    length = adversary.move(weights, moved, moved)
    return [new - old for new, old in zip(moved, weights, strict=True)], length


def moves(adversary, weights, gradients):
    return move(adversary, weights, gradients)[0]


def test_sam_moves_along_the_gradient():
    digits(*moves(Sam(radius=0.05), [W], [G]), [0.03, 0.04], 1e-12)


def test_sam_has_one_norm_over_all_weights():
    """The same two numbers in two tensors move as in one."""
    digits(torch.cat(moves(Sam(radius=0.05), [W[:1], W[1:]], [G[:1], G[1:]])), [0.03, 0.04], 1e-12)


def test_asam_moves_by_the_weights_own_sizes():
    """T = |w| + .01: .5 T^2 g / ||T g||."""
    t = W + 0.01
    digits(*moves(Asam(radius=0.5, eta=0.01), [W], [G]), [0.178090, 0.940433], 5e-7)
    digits(*moves(Asam(radius=0.5, eta=0.01), [W], [G]), (0.5 * t**2 * G / (t * G).norm()).tolist(), 1e-12)
    digits(*moves(Asam(radius=0.5, eta=0.01), [-W], [G]), [0.178090, 0.940433], 5e-7)


def test_awp_starts_like_sam_in_absolute_units_and_by_each_tensors_norm_in_relative_ones():
    """Relative: .1 ||w|| g / ||g|| = .1 sqrt(5) (.6, .8) for this tensor, and .1 * 2 for another one of norm 2."""
    digits(*moves(Awp(radius=0.05, radius_unit="absolute"), [W], [G]), [0.03, 0.04], 1e-12)
    other = torch.tensor([0.0, 2.0], dtype=torch.float64)
    found = moves(Awp(radius=0.1), [W, other], [G, 100 * G])
    digits(found[0], [0.06 * 5**0.5, 0.08 * 5**0.5], 1e-12)
    digits(found[1], [0.12, 0.16], 1e-12)


@pytest.mark.parametrize("name", ALL)
def test_large_weights_move_in_pieces_as_in_one(name, monkeypatch):
    """Weights and gradients as they lie in memory or not. Canary: there were pieces."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(7, 11, generator=generator, dtype=torch.float64) for _ in range(3)]
    slopes = [torch.randn(7, 11, generator=generator, dtype=torch.float64) for _ in range(2)]
    slopes.append(torch.randn(11, 7, generator=generator, dtype=torch.float64).T)
    whole, length = move(ALL[name], weights, slopes)
    monkeypatch.setattr(of_weights, "_on_cpu", lambda tensor: False)
    elsewhere, _ = move(ALL[name], weights, slopes)
    assert all(torch.equal(found, want) for found, want in zip(elsewhere, whole, strict=True))
    monkeypatch.undo()
    monkeypatch.setattr(of_weights, "_CACHED", 10)
    assert len(list(of_weights._pieces(weights, slopes))) == 2 * 8 + 1
    pieces, same_length = move(ALL[name], weights, slopes)
    for found, want in zip(pieces, whole, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-14)
    assert float(same_length) == pytest.approx(float(length), rel=1e-12)


@pytest.mark.parametrize("cpu", [True, False], ids=["cpu", "elsewhere"])
@pytest.mark.parametrize("poison", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", ALL)
def test_a_gradient_of_0_or_one_that_is_not_finite_moves_nothing(name, poison, cpu, monkeypatch):
    """AWP in relative units decides tensor by tensor."""
    monkeypatch.setattr(of_weights, "_on_cpu", lambda tensor: cpu)
    assert not moves(ALL[name], [W], [0 * G])[0].any()
    bad = torch.tensor([poison, 1.0], dtype=torch.float64)
    found, length = move(ALL[name], [W, W], [bad, G])
    assert not found[0].any()
    assert bool(found[1].any()) == (name == "awp")
    assert float(length) == pytest.approx(float(found[1].norm()), abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_move_does_not_depend_on_the_gradients_scale(name):
    """A gradient scaler multiplies by a power of two, which nobody divides out before."""
    for plain, scaled in zip(moves(ALL[name], [W], [G]), moves(ALL[name], [W], [2.0**16 * G]), strict=True):
        assert torch.equal(plain, scaled)
        assert plain.any()


@pytest.mark.parametrize("name", ALL)
def test_a_move_leaves_the_weights_alone_and_a_clean_adversarys_the_gradients_too(name):
    """The moved weights are the same wherever they are written: into memory of their own or over the gradients."""
    weight, gradient, moved = W.clone(), G.clone(), torch.full_like(W, torch.nan)
    ALL[name].move([weight], [gradient], [moved])
    assert torch.equal(moved - W, moves(ALL[name], [W], [G])[0])
    assert torch.equal(weight, W)
    assert torch.equal(gradient, G) or not ALL[name].clean


def test_the_first_gradient_becomes_grad_and_a_later_one_is_added():
    """Memory that is given back never is that of ``.grad``, which the optimiser still needs."""
    weight = torch.nn.Parameter(W.clone())
    first, second = G.clone(), 10 * G
    (free,) = _accumulate([weight], [first])
    assert weight.grad is first
    assert free.data_ptr() != first.data_ptr()
    (free,) = _accumulate([weight], [second])
    assert free is second
    assert torch.equal(weight.grad, 11 * G)


def test_gradients_that_share_memory_are_told_apart():
    """One gradient for two weights, a part of another one, one number repeated: each gets memory of its own."""
    whole = torch.arange(6.0)
    given = [whole, whole, whole[2:4], torch.ones(()).expand(3)]
    like = [torch.empty(6), torch.empty(6), torch.empty(2), torch.empty(3)]
    own = _own(given, like)
    assert own[0] is whole
    assert len({g.untyped_storage().data_ptr() for g in own}) == 4
    for before, now in zip(given, own, strict=True):
        assert torch.equal(before, now)
        assert now.is_contiguous()


def passes(model, adversary, rows):
    """Return the weights in each pass of a step."""
    seen = []
    handle = model.register_forward_pre_hook(lambda m, _: seen.append(weights(m)))
    with Engine(model, adversary=adversary) as engine:
        engine.backward(rows)
        found = engine.terms()
    handle.remove()
    return seen, found


@pytest.mark.parametrize("name", ALL)
def test_the_second_pass_runs_at_the_moved_weights_and_they_come_back(name):
    """The move is the preset's, of the mean loss's gradient at the weights; nothing else moves."""
    model, rows, adversary = tiny("bert"), batch(), ALL[name]
    with Engine(model) as engine:
        engine.backward(rows)
    g, before = gradients(model), weights(model)
    model.zero_grad()
    (first, second), terms = passes(model, adversary, rows)
    chosen = [key for key in before if adversary.selects(key)]
    found = moves(adversary, [before[key] for key in chosen], [g[key] for key in chosen])
    expected = before | {key: before[key] + move for key, move in zip(chosen, found, strict=True)}
    assert same(first, before)
    assert distance(second, expected) < 1e-12
    assert distance(second, before) > 1e-4
    assert same(weights(model), before)
    assert terms["perturbation_norm"] == pytest.approx(sum(float(m.norm()) ** 2 for m in found) ** 0.5, abs=1e-6)
    assert ("task" in terms) == adversary.clean
    if name == "awp-absolute":
        assert all(".layer.1." in key for key in chosen)
        assert len(chosen) < len(before)


def test_the_logged_length_of_a_move_is_the_radius_for_tokens_too():
    """A mean over micro-batches by what they count for: words, not rows."""
    model, rows = tiny("bert", task="tokens"), batch(lengths=(9, 4, 5, 7), task="tokens")
    words = float((rows["labels"] != -100).sum())
    with Engine(model, adversary=Sam(radius=0.3), task="tokens") as engine:
        for start in (0, 2):
            engine.backward({key: value[start : start + 2] for key, value in rows.items()}, examples=words)
        engine._logged_updates = 1
        assert engine.terms()["perturbation_norm"] == pytest.approx(0.3, abs=1e-6)


def test_frozen_weights_do_not_move():
    model, rows = tiny("bert"), batch()
    model.bert.embeddings.requires_grad_(False)
    (_, second), _ = passes(model, Sam(radius=0.3), rows)
    before = weights(model)
    still = [name for name in before if torch.equal(second[name], before[name])]
    assert all(name in still for name in before if ".embeddings." in name)
    assert "classifier.weight" not in still


def test_weights_without_part_in_the_loss_are_refused_by_name():
    """A token classifier's pooler has no gradient: nothing would ever move."""
    model = tiny("bert")
    model.register_parameter("unused", torch.nn.Parameter(torch.ones(2, dtype=torch.float64)))
    with Engine(model, adversary=Awp(only="unused")) as engine, pytest.raises(InputError, match=r"adversary\.only"):
        engine.backward(batch())


def test_lent_weights_come_back_also_after_an_exception():
    """The very memory comes back, so that no bit can differ (1e8 + 1 - 1 is not 1e8 in float32)."""
    w = torch.nn.Parameter(torch.tensor([1e8, 1.0]))
    place = w.data_ptr()

    def fail():
        with lend_weights([w], [torch.tensor([3.0, 1.5])]):
            assert w[1] == 1.5
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert w.tolist() == [1e8, 1.0]
    assert w.data_ptr() == place


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (Sam, {"radius": 0.0}, "radius"),
        (Sam, {"start_step": -1}, "start_step"),
        (Asam, {"eta": -1.0}, "eta"),
        (Awp, {"only": "("}, "only"),
    ],
)
def test_wrong_settings_are_refused_by_name(kind, settings, field):
    with pytest.raises(InputError, match=f"adversary.{field}"):
        kind(**settings)
