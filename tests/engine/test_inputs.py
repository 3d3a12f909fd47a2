"""Changed inputs against their formulas: NEFTune's size, mixup's blend; what is left alone, and when."""

from math import sqrt

import pytest
import torch
from scipy.stats import beta, kstest

from engine.models import ScriptedNoise, batch, tiny
from engine.perturbed import deltas
from toughen.engine.engine import Engine
from toughen.engine.inputs import Mixup, Neftune
from toughen.engine.likelihood import LIKELIHOODS, Mixing, Target
from toughen.engine.objectives import CrossEntropy, RDrop
from toughen.engine.randomness import torch_noise
from toughen.errors import InputError

Y = {
    "single-label": torch.tensor([0, 1]),
    "multi-label": torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64),
    "regression": torch.tensor([1.0, 3.0], dtype=torch.float64),
}


def noise_of(rows, alpha=5.0, model=None, objective=None):
    model = model or tiny("bert")
    with Engine(model, objective, inputs=Neftune(alpha=alpha)) as engine, deltas(model) as seen:
        engine.backward(rows)
    return seen


# ---- NEFTune


def test_neftune_is_bounded_by_the_texts_own_length():
    """Each coordinate is at most alpha / sqrt(L D), and nearly reaches it; L is the text's length, not the batch's."""
    rows = batch(lengths=(9, 3) * 16, labels=(0, 1) * 16)
    (noise,) = noise_of(rows)
    tokens = rows["attention_mask"].sum(1)
    bound = 5.0 / (tokens * 32).sqrt()
    largest = noise.abs().amax((1, 2))
    assert (largest <= bound + 1e-12).all()
    assert (largest > 0.9 * bound).all()
    assert float(largest[1]) > 5.0 / sqrt(9 * 32), "canary: with the padded length a short text would get less"


def test_neftune_has_norm_alpha_over_root_3_whatever_the_length():
    rows = batch(lengths=(9, 3) * 64, labels=(0, 1) * 64)
    (noise,) = noise_of(rows, alpha=6.0)
    norms = noise.flatten(1).norm(dim=1)
    for some in (norms[::2], norms[1::2]):
        assert float(some.mean()) == pytest.approx(6.0 / sqrt(3), rel=0.01)


def test_neftune_leaves_padding_alone():
    rows = batch()
    (noise,) = noise_of(rows)
    assert (noise[rows["attention_mask"] == 0] == 0).all()
    assert (noise[rows["attention_mask"] == 1] != 0).all()


def test_neftune_draws_anew_in_every_copy_and_every_pass():
    model, rows = tiny("bert", dropout=0.1), batch()
    (doubled,) = noise_of(rows, model=model, objective=RDrop())
    assert not torch.equal(*doubled.chunk(2))
    assert not torch.equal(noise_of(rows)[0], noise_of(rows)[0])


@pytest.mark.parametrize("inputs", [Neftune(), Mixup()])
def test_nothing_changes_outside_a_step(inputs):
    """Evaluation, and any forward of the user's own, reads the text as it is; so does the model after closing."""
    model, rows = tiny("bert"), batch()
    clean = model(**rows).logits
    with Engine(model, inputs=inputs) as engine:
        engine.backward(rows)
        assert torch.equal(model(**rows).logits, clean)
    assert torch.equal(model(**rows).logits, clean)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("total", [7, 4])
def test_xlnet_is_refused_for_its_layout(total):
    """It embeds [T, B, D]: noise of another text's length would hit it silently."""
    model, rows = tiny("xlnet"), batch("xlnet", lengths=(total, 4, 3, 2))
    with Engine(model, inputs=Neftune()) as engine, pytest.raises(InputError, match=r"XLNet.*layout"):
        engine.backward(rows)


def test_bart_is_refused_by_name():
    with Engine(tiny("bart"), inputs=Neftune()) as engine, pytest.raises(InputError, match=r"Bart.*0 times"):
        engine.backward(batch("bart"))


# ---- mixup


def scripted(share, order, alpha=1.0):
    """A source of noise by which mixup draws this share and this order of the rows."""

    def noise(kind, like):
        if like.dim() == 0:
            return torch.full_like(like, 2 * beta.cdf(share, alpha, alpha) - 1)
        return torch.tensor([order.index(i) for i in range(len(order))], dtype=like.dtype)

    return noise


def test_mixup_takes_share_and_order_as_given():
    mixing = Mixup(alpha=1.0).mixing(torch.ones(4).bool(), scripted(0.3, [2, 0, 3, 1]))
    assert mixing.share == pytest.approx(0.3, abs=1e-12)
    assert mixing.partner.tolist() == [2, 0, 3, 1]
    again = Mixup(alpha=0.2).mixing(torch.ones(4).bool(), scripted(0.3, [2, 0, 3, 1], alpha=0.2))
    assert again.share == pytest.approx(0.3, abs=1e-9)


def test_rows_without_label_and_fillers_keep_to_themselves():
    """Rows 1 and 3 do not count: the others are shuffled among each other."""
    countable = torch.tensor([True, False, True, False, True])
    mixing = Mixup(alpha=1.0).mixing(countable, scripted(0.3, [4, 3, 0, 1, 2]))
    assert mixing.partner.tolist() == [4, 1, 0, 3, 2]
    rows = {"single-label": torch.tensor([0, -100, 1]), "weight": torch.tensor([1.0, 1.0, 0.0])}
    model = tiny("bert")
    with Engine(model, inputs=Mixup(), noise=ScriptedNoise()) as engine, deltas(model) as seen:
        engine.backward(batch(lengths=(5, 4, 3), labels=rows["single-label"].tolist()) | {"weight": rows["weight"]})
    assert seen[0].abs().max() < 1e-12, "one labelled row that counts has nobody but itself"


def test_mixup_draws_its_share_from_beta_and_every_order():
    torch.manual_seed(0)
    drawn = [Mixup(alpha=0.4).mixing(torch.ones(3).bool(), torch_noise) for _ in range(600)]
    assert kstest([mixing.share for mixing in drawn], beta(0.4, 0.4).cdf).pvalue > 0.01
    assert kstest([mixing.share for mixing in drawn], beta(1.0, 1.0).cdf).pvalue < 0.01, "canary: not uniform"
    assert len({tuple(mixing.partner.tolist()) for mixing in drawn}) == 6


def test_mixup_blends_embeddings_and_attends_to_both_texts():
    """Share .3: e_i <- .3 e_i + .7 e_j; a short text's row attends as far as its longer partner reaches."""
    model, rows = tiny("bert"), batch(lengths=(7, 4), labels=(0, 1))
    table, masks = model.get_input_embeddings(), []
    model.register_forward_pre_hook(lambda m, a, k: masks.append(k["attention_mask"]), with_kwargs=True)
    with Engine(model, inputs=Mixup(alpha=1.0), noise=scripted(0.3, [1, 0])) as engine, deltas(model) as seen:
        engine.backward(rows)
    e = table(rows["input_ids"]).detach()
    assert torch.allclose(seen[0], 0.7 * (e.flip(0) - e), rtol=0, atol=1e-12)
    assert masks[0].tolist() == [[1] * 7] * 2
    assert rows["attention_mask"].sum().item() == 11, "canary: the caller's batch is as it was"


def test_mixup_numbers_the_positions_of_the_longer_text():
    """RoBERTa counts positions from the ids: the partner's last tokens stand where the partner has them."""
    model, rows = tiny("roberta"), batch("roberta", lengths=(7, 4), labels=(0, 1))
    seen = []
    model.roberta.embeddings.position_embeddings.register_forward_pre_hook(lambda m, a: seen.append(a[0]))
    model(**rows)
    with Engine(model, inputs=Mixup(alpha=1.0), noise=scripted(0.3, [1, 0])) as engine:
        engine.backward(rows)
    plain, mixed = seen
    assert plain[1].tolist() == [2, 3, 4, 5, 1, 1, 1], "canary: alone, the short text ends in padding positions"
    assert mixed.tolist() == [[2, 3, 4, 5, 6, 7, 8]] * 2


@pytest.mark.parametrize("task", Y)
def test_soft_labels_by_hand(task):
    """Share .25 and the other row's label: cross-entropy against (.25, .75), Bernoullis at (1, .75), a number 2.5."""
    target = Target(LIKELIHOODS[task], Y[task], Mixing(0.25, torch.tensor([1, 0])))
    z = torch.tensor([[2.0, 0.3], [0.5, 1.0]], dtype=torch.float64)
    logits = z[:, :1] if task == "regression" else z
    found = target.loss(logits, CrossEntropy())
    log_p, log_s = z[0].log_softmax(-1), torch.nn.functional.logsigmoid
    by_hand = {
        "single-label": -(0.25 * log_p[0] + 0.75 * log_p[1]),
        "multi-label": -(log_s(z[0, 0]) + 0.75 * log_s(z[0, 1]) + 0.25 * log_s(-z[0, 1])) / 2,
        "regression": (2.0 - 2.5) ** 2,
    }[task]
    assert float(found[0]) == pytest.approx(float(by_hand), rel=0, abs=1e-12)
    hard = Target(LIKELIHOODS[task], Y[task]).loss(logits, CrossEntropy())
    assert float(found[0]) != pytest.approx(float(hard[0]), abs=1e-3), "canary"


def test_mixup_counts_no_hits():
    """A blended row has no label that an answer could hit."""
    with Engine(tiny("bert"), inputs=Mixup()) as engine:
        engine.backward(batch())
        assert engine.tally.counts() is None
    with Engine(tiny("bert"), inputs=Neftune()) as engine:
        engine.backward(batch())
        assert float(engine.tally.counts()[1:].sum()) == 4


@pytest.mark.parametrize(("kind", "alpha"), [(Neftune, 0.0), (Mixup, -1.0)])
def test_wrong_settings_are_refused_by_name(kind, alpha):
    with pytest.raises(InputError, match=r"inputs\.alpha"):
        kind(alpha=alpha)
