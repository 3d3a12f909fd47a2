"""Dropout consistency and out-of-distribution scores against closed forms, scikit-learn and a model without dropout."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from sklearn.metrics import roc_auc_score

from saved_models import TEXTS, dataset
from tiny import save_tiny_model
from toughen.assess.consistency import dropout_consistency, symmetric_kl
from toughen.assess.novelty import auroc, novelty
from toughen.classifier.classifier import Classifier
from toughen.errors import InputError

ASKED = {"samples": 20, "batch_size": 4}


def consistency(classifier, rows, **more):
    return dropout_consistency(classifier, rows, classifier.outputs(rows), **{"passes": 3, "seed": 0} | ASKED | more)


def test_the_divergence_is_the_mean_of_both_directions():
    p, q = np.array([[0.8, 0.2]]), np.array([[0.6, 0.4]])
    assert symmetric_kl(p, q) == pytest.approx((0.091516 + 0.104650) / 2, abs=1e-6)  # SPEC's closed form
    p, q = (np.random.default_rng(s).dirichlet(np.ones(4), 30) for s in (0, 1))
    expected = (rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)) / 2
    assert symmetric_kl(p, q) == pytest.approx(expected)


@pytest.mark.parametrize("task", ["single-label", "multi-label", "regression", "tokens"])
def test_the_same_seed_gives_the_same_passes_and_leaves_the_model_as_it_was(saved, task):
    classifier = Classifier.load(saved(task))
    rows = dataset([text.split() for text in TEXTS] if task == "tokens" else TEXTS)
    before, state = classifier.outputs(rows), torch.get_rng_state()
    found = consistency(classifier, rows)
    assert found == consistency(classifier, rows)
    assert found != consistency(classifier, rows, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not classifier.model.training
    again = classifier.outputs(rows)
    assert all(np.array_equal(a, b) for a, b in zip(before, again, strict=True))
    kind = "squared" if task == "regression" else "kl"
    assert found[f"{kind}_clean"] > 0
    assert found[f"{kind}_passes"] > 0
    low, high = found["intervals"][f"{kind}_clean"]
    assert low <= found[f"{kind}_clean"] <= high
    assert ("flip_rate" in found) == (task != "regression")
    if task != "regression":
        assert 0 <= found["flip_rate"] <= found["unstable"] <= 1


def test_the_numbers_are_those_of_the_passes_themselves(saved, monkeypatch):
    """Three passes by hand: one of two texts flips in one of them."""
    classifier = Classifier.load(saved("single-label"))
    clean = np.array([[0.9, 0.1], [0.4, 0.6]])
    passes = [clean, np.array([[0.8, 0.2], [0.6, 0.4]]), clean]
    answers = iter(passes)
    monkeypatch.setattr(classifier, "outputs", lambda *_, **__: next(answers))
    found = dropout_consistency(classifier, dataset(TEXTS[:2]), clean, passes=3, seed=0, **ASKED)
    assert (found["flip_rate"], found["unstable"]) == pytest.approx((1 / 6, 1 / 2))
    moved = symmetric_kl(clean, passes[1]).mean()
    assert found["kl_clean"] == pytest.approx(moved / 3)
    assert found["kl_passes"] == pytest.approx(2 * moved / 3), "two of the three pairs differ"


def test_a_model_without_dropout_is_refused(tmp_path):
    from saved_models import save_classifier

    still = save_classifier(save_tiny_model(tmp_path / "still", dropout=0.0), tmp_path / "model", "single-label")
    with pytest.raises(InputError, match="the model has no dropout"):
        consistency(Classifier.load(still), dataset(TEXTS))


# ---------------------------------------------------------------- out of distribution


def test_auroc_is_scikit_learns_ties_included():
    rng = np.random.default_rng(0)
    own, foreign = rng.normal(1, 1, 80).round(1), rng.normal(0, 1, 50).round(1)
    truth = np.r_[np.ones(80), np.zeros(50)]
    assert auroc(own, foreign) == pytest.approx(roc_auc_score(truth, np.r_[own, foreign]))
    assert auroc(own, own) == pytest.approx(0.5)


def test_energy_and_softmax_are_those_of_the_logits(saved):
    for task in ("single-label", "multi-label"):
        classifier = Classifier.load(saved(task))
        own, foreign = dataset(TEXTS[:2]), dataset(TEXTS[2:])
        found = novelty(classifier, own, foreign, seed=0, **ASKED)
        z = [torch.as_tensor(classifier.logits(rows)) for rows in (own, foreign)]
        if task == "single-label":
            energy, highest = [v.logsumexp(1) for v in z], [v.softmax(-1).amax(1) for v in z]
        else:
            energy, highest = [torch.nn.functional.softplus(v).sum(1) for v in z], [v.sigmoid().amax(1) for v in z]
        assert found["energy"]["auroc"] == pytest.approx(auroc(*(e.numpy() for e in energy)))
        assert found["max_softmax"]["auroc"] == pytest.approx(auroc(*(h.numpy() for h in highest)))
        assert (found["n"], found["n_ood"]) == (2, 2)
        assert found == novelty(classifier, own, foreign, seed=0, **ASKED)


def test_tasks_without_a_confidence_per_text_are_refused(saved):
    with pytest.raises(InputError, match="--ood is for single-label and multi-label, but the model does regression"):
        novelty(Classifier.load(saved("regression")), dataset(TEXTS), dataset(TEXTS), seed=0, **ASKED)
