"""The units of an adversary's lengths: that of the site, per text or per token; older words mean what they meant."""

from math import sqrt

import pytest
import torch

from engine.models import ScriptedNoise, batch, distance, gradients, tiny
from engine.perturbed import perturbations
from toughen import Fgm, Fgsm, FreeLb, GradientPenalty, Pgd
from toughen.engine.engine import Engine
from toughen.engine.site import Site

LENGTHS = (7, 4, 5, 2)
LAYER = {"site": "layer 1"}
FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta", "modernbert", "gpt2")


def unit(model, adversary):
    with Engine(model, adversary=adversary) as engine:
        return engine.site.unit


def step(adversary, model=None):
    """Gradients of one step on tiny BERT."""
    model = model or tiny("bert")
    with Engine(model, adversary=adversary, noise=ScriptedNoise()) as engine:
        engine.backward(batch(lengths=LENGTHS))
    return gradients(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_unit_of_a_layer_is_the_norm_of_its_tokens(family):
    """Within a quarter of the mean over ordinary texts, which the embedding table's rows are far from."""
    model = tiny(family).eval()
    rows = batch(family, lengths=(20, 24, 30, 12), labels=(0, 1, 1, 0))
    inputs = {name: rows[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        hidden = model(**inputs, output_hidden_states=True).hidden_states[1]
    here = float(hidden[rows["attention_mask"].bool()].norm(dim=-1).mean())
    assert unit(model, Fgm(**LAYER)) == pytest.approx(here, rel=0.25)
    assert unit(model, Fgm(**LAYER, radius_unit="per-token")) == unit(model, Fgm(**LAYER))
    assert abs(Site(model).unit / here - 1) > 0.5, "canary"


def test_it_grows_with_the_layer_and_the_table_does_not():
    """BERT's layer ends in a LayerNorm: three times its weight and bias is three times the norm."""
    model = tiny("bert")
    before, table = unit(model, Fgm(**LAYER)), unit(model, Fgm(**LAYER, radius_unit="relative"))
    with torch.no_grad():
        for parameter in model.bert.encoder.layer[0].output.LayerNorm.parameters():
            parameter *= 3
    assert unit(model, Fgm(**LAYER)) == pytest.approx(3 * before, rel=1e-6)
    assert unit(model, Fgm(**LAYER, radius_unit="relative")) == table == Site(model).unit


def test_measuring_leaves_no_trace():
    """Neither in the random generator nor in the modes of the modules, some of which may stand still."""
    model = tiny("bert", dropout=0.1)
    model.bert.embeddings.eval()
    modes, state = [part.training for part in model.modules()], torch.get_rng_state()
    unit(model, Fgm(**LAYER))
    assert [part.training for part in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert True in modes
    assert False in modes


@pytest.mark.parametrize("kind", [Fgm, Pgd, FreeLb, GradientPenalty])
def test_at_the_embeddings_the_old_word_is_the_same_bits(kind):
    old = step(kind(radius_unit="relative"))
    assert distance(old, step(kind())) == 0
    assert distance(old, step(kind(radius=0.3))) > 0, "canary"


def test_per_token_moves_the_tokens_of_every_text_alike():
    """||delta_i|| = radius * unit * sqrt(tokens of i); special tokens left alone are no tokens of it."""
    model, rows = tiny("bert"), batch(lengths=LENGTHS)
    for special, count in ((True, LENGTHS), (False, (5, 2, 3, 1))):
        adversary = Fgm(radius=0.1, radius_unit="per-token", special_tokens=special)
        _, delta = perturbations(model, rows, adversary, special_ids=(2, 3) if not special else ())
        lengths = [0.1 * Site(model).unit * sqrt(tokens) for tokens in count]
        found = delta.flatten(1).norm(dim=1).tolist()
        assert found[:3] == pytest.approx(lengths[:3], rel=1e-9)
        assert found[3] == pytest.approx(lengths[3] if special else 0.0, rel=1e-9), "a text of special tokens alone"


def test_per_token_with_a_norm_over_the_table_counts_distinct_tokens():
    model, rows = tiny("bert"), batch(lengths=LENGTHS)
    _, delta = perturbations(model, rows, Fgm(radius=0.1, radius_unit="per-token", scope="vocabulary"))
    kept = rows["input_ids"][rows["attention_mask"].bool()]
    table = {int(i): d for i, d in zip(kept, delta[rows["attention_mask"].bool()], strict=True)}
    norm = torch.stack(list(table.values())).norm()
    assert float(norm) == pytest.approx(0.1 * Site(model).unit * sqrt(len(table)), rel=1e-9)


def test_per_token_is_no_other_unit_for_a_single_coordinate():
    assert distance(step(Fgsm(radius_unit="per-token")), step(Fgsm())) == 0


def test_a_gradient_penalty_per_token_weighs_each_text_by_its_tokens():
    """radius per token on a text of L tokens is L times the radius, because the unit enters squared."""
    for length in LENGTHS:
        found = []
        for adversary in (
            GradientPenalty(radius=0.5, radius_unit="per-token"),
            GradientPenalty(radius=0.5 * length),
        ):
            with Engine(tiny("bert"), adversary=adversary) as engine:
                found.append(float(engine.backward(batch(lengths=(length,), labels=(1,)))))
        assert found[0] == pytest.approx(found[1], rel=1e-9)
    with Engine(tiny("bert"), adversary=GradientPenalty(radius=0.5, radius_unit="per-token")) as engine:
        engine.backward(batch(lengths=LENGTHS))  # [B], not [B, B]
        assert engine.terms()["adversarial"] > 0


def test_a_radius_that_adjusts_itself_is_per_token_that_of_16_tokens():
    model = tiny("bert")
    rows = batch(lengths=(16, 4), labels=(0, 1))
    _, delta = perturbations(model, rows, Fgm(radius="auto", radius_unit="per-token"))
    expected = [0.3 * Site(model).unit, 0.3 * Site(model).unit / 2]
    assert delta.flatten(1).norm(dim=1).tolist() == pytest.approx(expected, rel=1e-9)
