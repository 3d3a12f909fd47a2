"""ToughTrainer on probabilities of the classes: it trains and evaluates on them, and a certain row is its class."""

import pytest
import torch

from engine.models import distance, tiny
from huggingface.trials import losses, make_rows, trainer, weights
from toughen.engine.objectives import CrossEntropy, RDrop

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate")


def made(folder, rows, held, recipe=None):
    model = tiny("bert", dtype=torch.float32, dropout=0.1 if recipe else 0.0)
    model.config.problem_type = "single_label_classification"
    return trainer(folder, recipe, model=model, rows=rows, keep={"eval_dataset": held})


def as_probabilities(rows, sure=1.0):
    return [row | {"labels": [sure, 1 - sure] if row["labels"] == 0 else [1 - sure, sure]} for row in rows]


def test_certain_rows_train_and_score_as_their_classes(tmp_path):
    rows, held = make_rows(13), make_rows(12, seed=4)
    hard = made(tmp_path / "hard", rows, held)
    soft = made(tmp_path / "soft", as_probabilities(rows), as_probabilities(held))
    for one in (hard, soft):
        one.train()
    assert distance(weights(soft.model), weights(hard.model)) < 1e-6
    assert losses(soft) == pytest.approx(losses(hard), abs=1e-6)
    assert soft.evaluate()["eval_loss"] == pytest.approx(hard.evaluate()["eval_loss"], abs=1e-6)
    assert soft.model.config.problem_type == "single_label_classification"


def test_unsure_rows_are_scored_by_the_loss_of_their_probabilities(tmp_path):
    held = as_probabilities(make_rows(12, seed=4), sure=0.8)
    one = made(tmp_path, as_probabilities(make_rows(13), sure=0.8), held)
    one.train()
    found = one.predict(held)
    expected = CrossEntropy().task(torch.tensor(found.predictions), torch.tensor(found.label_ids)).mean()
    assert found.metrics["test_loss"] == pytest.approx(float(expected), abs=1e-6)


def test_a_recipe_of_r_drop_takes_them(tmp_path):
    rows = as_probabilities(make_rows(13), sure=0.8)
    one = made(tmp_path, rows, rows, {"objective": RDrop(alpha=1.0)})
    before = weights(one.model)
    one.train()
    assert distance(weights(one.model), before) > 1e-4
