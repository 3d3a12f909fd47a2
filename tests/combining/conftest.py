"""Tiny runs to combine: three seeds with one validation split, and two runs in the same folds."""

import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv

TRAINING = {"epochs": 2, "batch_size": 8, "learning_rate": 2e-3, "max_length": 32, "precision": "fp32", "log_steps": 99}


def start(data, model, output, **changes):
    training = TRAINING | changes.pop("training", {})
    recipe = changes.pop("recipe", "plain")
    return toughen.train(data, model=model, recipe=recipe, output=output, quiet=True, training=training, **changes)


@pytest.fixture(scope="session")
def combine_model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def combine_data(tmp_path_factory):
    """60 texts to learn from, 30 that select, 30 of test, and beside them 40 that nobody sees and 60 without labels."""
    folder = tmp_path_factory.mktemp("desk") / "data"
    folder.mkdir()
    rows = reviews(220, 0)
    write_csv(folder / "train.csv", rows[:60])
    write_csv(folder / "validation.csv", rows[60:90])
    write_csv(folder / "test.csv", rows[90:120])
    write_csv(folder.parent / "fresh.csv", rows[120:160])
    (folder.parent / "texts.csv").write_text("text\n" + "\n".join(text for text, _ in rows[160:]) + "\n")
    return folder


@pytest.fixture(scope="session")
def seeds(combine_data, combine_model, tmp_path_factory):
    """Runs of three seeds."""
    folder = tmp_path_factory.mktemp("seeds")
    return [start(combine_data, combine_model, folder / f"seed-{seed}", seed=seed).path for seed in (1, 2, 3)]


@pytest.fixture(scope="session")
def folded(combine_data, combine_model, tmp_path_factory):
    """Two runs in the same two folds, at different learning rates."""
    folder = tmp_path_factory.mktemp("folded")
    rates = {"slow": 5e-4, "fast": 3e-3}
    return [
        start(combine_data, combine_model, folder / name, folds=2, training={"learning_rate": rate}).path
        for name, rate in rates.items()
    ]
