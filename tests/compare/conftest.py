"""A tiny model, texts it can learn, and four finished runs: two recipes with two seeds each."""

import pytest

import toughen
from tiny import save_tiny_model, write_splits

TRAINING = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "max_length": 32,
    "precision": "fp32",
    "log_steps": 1,
    "early_stopping": None,
}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=64, validation=24, test=40)


@pytest.fixture(scope="session")
def runs(model, data, tmp_path_factory):
    """{name: run folder}: plain and fgm, seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe in ("plain", "fgm"):
        for seed in (0, 1):
            toughen.train(
                data,
                model=model,
                recipe=recipe,
                output=folder / recipe / f"seed-{seed}",
                training=TRAINING | {"epochs": 2},
                seed=seed,
                quiet=True,
            )
    return {f"{recipe}-{seed}": folder / recipe / f"seed-{seed}" for recipe in ("plain", "fgm") for seed in (0, 1)}
