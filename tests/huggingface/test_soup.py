"""Checkpoint soup: candidates by score, a greedy average that validation chose, and what is left in the model."""

import pytest
import torch

from engine.models import tiny
from huggingface.trials import run, trainer, weights
from toughen.engine.averages import CheckpointSoup
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.huggingface.checkpoint_soup import Candidates, greedy, mix_weights, pour
from toughen.recipe.recipe import Recipe

RECIPE = {"average": CheckpointSoup(top_k=2)}
SCORED = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "loss", "greater_is_better": False}


def at(value):
    """Return a one-weight model's worth of weights."""
    return {"w": torch.full((2,), float(value))}


def test_greedy_adds_the_best_first_and_only_what_helps():
    """Target 3 from candidates 2, 10, 4: 2 scores best; with 10 the mean 6 is worse; with 4 the mean is 3, exact."""
    seen = []

    def score(soup):
        seen.append(float(soup["w"][0]))
        return -abs(seen[-1] - 3)

    soup, chosen, scores = greedy([2, 10, 4], at, score)
    assert seen == [2, 6, 3]
    assert chosen == [0, 2]
    assert scores == [-1, 0]
    assert float(soup["w"][0]) == 3


def test_an_equal_score_does_not_join():
    """Strictly better: 4 mirrors 2 around 3, so that the mean of 2 and 2 scores as 2 does."""
    _, chosen, _ = greedy([2, 2], at, lambda soup: -abs(float(soup["w"][0]) - 3))
    assert chosen == [0]


def test_three_weights_weigh_the_same():
    soup = mix_weights(mix_weights(at(1), at(2), 1 / 2), at(6), 1 / 3)
    assert float(soup["w"][0]) == pytest.approx(3, abs=1e-6)


@pytest.mark.parametrize("greater", [True, False])
def test_the_best_are_kept_and_the_worst_leaves(tmp_path, greater):
    """Of scores 1, 3, 2, 0 two remain, by either order; of equals the earlier one."""
    model, kept = tiny("bert", dtype=torch.float32), Candidates(tmp_path / "soup", 2, greater_is_better=greater)
    for step, score in enumerate((1, 3, 2, 0, 3, 0), start=1):
        kept.offer(step, score, model)
    expected = [(2, 3.0), (5, 3.0)] if greater else [(4, 0.0), (6, 0.0)]
    assert [(c.step, c.score) for c in kept.ranked()] == expected
    assert len(list((tmp_path / "soup").iterdir())) == 2


def test_a_resumed_run_forgets_what_was_scored_after_its_checkpoint(tmp_path):
    model, kept = tiny("bert", dtype=torch.float32), Candidates(tmp_path, 3, greater_is_better=True)
    for step in (1, 2, 3):
        kept.offer(step, float(step), model)
    kept.restart(2)
    assert [c.step for c in kept.ranked()] == [2, 1]
    kept.restart(0)
    assert kept.ranked() == []


def test_the_trainer_is_left_with_the_soup_and_scores_it(tmp_path):
    """The model is the mean of the chosen candidates, its validation loss is the last score, at most the best one's."""
    made = run(tmp_path, RECIPE, **SCORED)
    report = made.report()["soup"]
    assert report["candidates"] == 2
    assert report["scores"] == sorted(report["scores"], reverse=True)
    files = {c.step: c.file for c in made.soup}
    chosen = [weights_of(files[step]) for step in report["steps"]]
    for name, found in weights(made.model).items():
        assert torch.allclose(found, torch.stack([w[name] for w in chosen]).mean(0), rtol=0, atol=1e-6)
    assert made.evaluate()["eval_loss"] == pytest.approx(report["scores"][-1], abs=1e-6)
    scored = [line["eval_loss"] for line in made.state.log_history if "eval_loss" in line]
    assert report["scores"][0] == pytest.approx(min(scored[:-1]), abs=1e-6)


def weights_of(file):
    from safetensors.torch import load_file

    return load_file(file)


def test_evaluating_after_training_offers_nothing(tmp_path):
    """Canary of the flag: the soup's own model would otherwise become a candidate."""
    made = run(tmp_path, RECIPE, **SCORED)
    before = {c.step: c.score for c in made.soup}
    made.state.global_step = 99
    made.evaluate()
    assert {c.step: c.score for c in made.soup} == before


def test_a_resumed_run_cooks_the_same_soup(tmp_path):
    saved = SCORED | {"save_strategy": "steps", "save_steps": 3}
    whole = run(tmp_path / "whole", RECIPE, **saved)
    again = trainer(tmp_path / "whole", RECIPE, **saved)
    again.train(str(tmp_path / "whole" / "checkpoint-6"))
    assert again.report()["soup"]["steps"] == whole.report()["soup"]["steps"]
    for name, found in weights(again.model).items():
        assert torch.equal(found, weights(whole.model)[name])


def test_a_trainer_that_scores_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"scores nothing cannot be combined.*eval_strategy"):
        trainer(tmp_path, RECIPE)


def test_a_loop_of_ones_own_is_told_what_to_use():
    with pytest.raises(InputError, match="only a Trainer has"):
        make_average(CheckpointSoup(), tiny("bert"), total_steps=3)


def test_pouring_names_every_weight():
    model = tiny("bert", dtype=torch.float32)
    halved = {name: p / 2 for name, p in weights(model).items()}
    pour(halved, model)
    assert all(torch.equal(p, halved[name]) for name, p in weights(model).items())
    with pytest.raises(KeyError):
        pour({"no such weight": torch.zeros(1)}, model)


def test_recipe_round_trip():
    assert Recipe(average=CheckpointSoup(top_k=4)).average.top_k == 4
    with pytest.raises(InputError, match=r"average\.top_k must be at least 2"):
        CheckpointSoup(top_k=1)
