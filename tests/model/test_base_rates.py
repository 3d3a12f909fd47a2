"""Where a new last layer starts: before anything is learnt, it answers with the training labels' own rates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.models import batch, tiny
from tiny import save_tiny_model
from toughen.engine.head_samples import output_layer
from toughen.huggingface.pretrained import prepare
from toughen.model.base_rates import set_bias, starting_bias
from toughen.model.head_config import Head
from toughen.recipe.recipe import Recipe
from toughen.recipe.training import Training

SEVERAL = {"label": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]}


def test_several_labels_start_at_their_log_odds():
    """Rates (count + 1) / (rows + 2), so that a label that never occurs is rare and not impossible."""
    bias = starting_bias("auto", "multi-label", SEVERAL, 3)
    assert 1 / (1 + np.exp(-bias)) == pytest.approx([4 / 6, 2 / 6, 1 / 6], abs=1e-12)


def test_a_number_starts_at_the_mean():
    assert starting_bias("auto", "regression", {"label": [1.0, 2.0, 6.0]}, 1) == pytest.approx([3.0])


@pytest.mark.parametrize(("task", "labels"), [("single-label", [0, 0, 2, 2, 2]), ("tokens", [[0, 0], [2, 2, 2]])])
def test_one_class_of_several_starts_at_its_rate_only_when_asked(task, labels):
    assert starting_bias("auto", task, {"label": labels}, 3) is None
    assert starting_bias("zero", task, {"label": labels}, 3) is None
    asked = starting_bias("base-rate", task, {"label": labels}, 3)
    assert np.exp(asked) == pytest.approx(np.array([3, 1, 4]) / 8, abs=1e-12)


def test_zero_leaves_even_several_labels_alone():
    assert starting_bias("zero", "multi-label", SEVERAL, 3) is None


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "deberta", "gpt2"])
def test_the_layer_that_makes_the_logits_gets_them(family):
    """All logits move by the bias, exactly; a family whose last layer has none (GPT-2) is left as it is."""
    model, rows = tiny(family, task="multi-label", labels=3).eval(), batch(family, task="multi-label")
    rows.pop("labels")
    set_bias(model, np.zeros(3))
    before = model(**rows).logits
    set_bias(model, np.array([1.0, -2.0, 3.0]))
    moved = model(**rows).logits - before
    wanted = torch.zeros(3) if family == "gpt2" else torch.tensor([1.0, -2.0, 3.0])
    assert torch.allclose(moved, wanted.to(moved).expand_as(moved), atol=1e-12)


@pytest.mark.parametrize("head", [Head(), Head(pooling="mean")])
def test_a_new_head_starts_there_and_a_trained_one_stays(head, tmp_path):
    """A model that already has this last layer keeps what it learnt; one of another size is new."""
    recipe = Recipe(model=str(save_tiny_model(tmp_path / "base")), head=head, training=Training(max_length=40))
    three, two = np.array([0.5, -1.5, 2.0]), np.array([0.25, -0.25])
    new = prepare(recipe, ("a", "b", "c"), bias=three)
    assert output_layer(new.model).bias.detach().numpy() == pytest.approx(three)
    if head.pooling == "model":
        new.model.save_pretrained(tmp_path / "trained")
        new.tokenizer.save_pretrained(tmp_path / "trained")
        again = replace(recipe, model=str(tmp_path / "trained"))
        for names, bias, wanted in ((("a", "b", "c"), -three, three), (("a", "b"), two, two)):
            assert output_layer(prepare(again, names, bias=bias).model).bias.detach().numpy() == pytest.approx(wanted)
