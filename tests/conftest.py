"""Shared by all tests: one thread, a fixed seed, the `slow` marker, a tiny encoder and classifiers made of it."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch

from saved_models import save_classifier
from tiny import save_tiny_model

torch.set_num_threads(1)

QUICK = ("assess", "classifier", "recipe", "runs", "statistics", "data/test_columns", "data/test_labels")
"""Folders and files whose tests take a few seconds in all: `make check` runs them."""


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same state of torch's global generator."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(config, items):
    """Mark the quick tests; skip `slow` ones unless CI is set or `-m` names them."""
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        if place.startswith(QUICK) and "slow" not in item.keywords:
            item.add_marker("quick")
    if os.environ.get("CI") or "slow" in (config.option.markexpr or ""):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: set CI=true or pass -m slow"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture
def saved(pretrained, tmp_path):
    """Save a random model of a task: `save_classifier` with its first two arguments given."""
    return partial(save_classifier, pretrained, tmp_path)
