"""The range test finds the rate at which a model of known curvature stops learning, and trains as the recipe starts."""

import logging

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import BertModel

from tiny import reviews, save_tiny_model
from toughen.data import load_splits
from toughen.data.config import Data
from toughen.errors import InputError
from toughen.recipe.recipe import load_recipe
from toughen.training import rate_test
from toughen.training.rate_test import BELOW, HIGHEST, LOWEST, STEPS, find_rate, summary

RATES = tuple(LOWEST * (HIGHEST / LOWEST) ** (n / (STEPS - 1)) for n in range(STEPS))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


def found(model, **changes):
    recipe = load_recipe("plain", {"model": model, "training.batch_size": 8, "training.max_length": 32, **changes})
    splits = load_splits(Data(), seed=0, data={"train": reviews(40, 0), "validation": reviews(8, 1)})
    return find_rate(recipe, splits, Console(quiet=True))


def test_gradient_descent_on_a_parabola():
    """Steps of rate r on c w^2 / 2 shrink w by |1 - r c|: above 2 / c they diverge, and the suggestion lies below."""
    curvature, w, losses = 1e3, 1.0, []
    for rate in RATES:
        losses.append(curvature * w**2 / 2)
        w *= 1 - rate * curvature
    suggestion = summary(RATES[:80], losses[:80]).suggestion
    assert 0.02 / curvature < suggestion < 2 / curvature


def test_one_batch_of_a_low_loss_is_not_a_low():
    losses = [1 - min(n, 60) / 100 + max(n - 60, 0) / 20 for n in range(STEPS)]
    plain = summary(RATES, losses).suggestion
    losses[3] = 0.45
    assert summary(RATES, losses).suggestion == plain
    assert plain == pytest.approx(RATES[60] / BELOW, rel=0.6)


def test_it_trains_from_the_recipes_start_with_a_rising_rate(model):
    test = found(model)
    np.testing.assert_allclose(test.rates, RATES[: len(test.rates)])
    assert len(test.rates) > STEPS / 2
    assert min(test.losses) < 0.9 * test.losses[0]
    assert test.suggestion in [float(f"{rate / BELOW:.1e}") for rate in test.rates]
    assert found(model) == test
    assert found(model, adversary="fgm").losses != test.losses


def test_it_ends_where_the_loss_runs_away(model, monkeypatch):
    monkeypatch.setattr(rate_test, "HIGHEST", LOWEST * 1e12)
    test = found(model)
    assert len(test.rates) < STEPS
    assert max(test.losses[:-1]) <= rate_test.SPENT * min(test.losses)


def test_one_process_alone(model, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"--find-lr runs in one process"):
        found(model)


def test_where_the_memory_runs_out_the_test_goes_on_with_half_the_rows(tmp_path, monkeypatch, caplog):
    """Without dropout, whose draws are others: the same losses, and it is said once."""
    model, forward = str(save_tiny_model(tmp_path, dropout=0.0)), BertModel.forward
    monkeypatch.setattr(rate_test, "STEPS", 12)
    whole = found(model)

    def short_of_memory(self, input_ids=None, **named):
        if len(input_ids) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, input_ids=input_ids, **named)

    monkeypatch.setattr(BertModel, "forward", short_of_memory)
    with caplog.at_level(logging.WARNING, "toughen"):
        test = found(model)
    np.testing.assert_allclose(test.losses, whole.losses, rtol=1e-4)
    assert [record.args for record in caplog.records if "at a time" in record.msg] == [(8, 4)]
