"""Shared by all tests: one thread, a fixed seed, the `slow` marker, a tiny encoder and classifiers made of it."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch

from saved_models import save_classifier
from tiny import save_tiny_model

torch.set_num_threads(1)

QUICK = {
    "": ("test_cards", "test_docs_zh", "test_floor_plan", "test_package"),
    "assess/": ("",),
    "attack/": ("test_certificates", "test_matrix_library", "test_typos", "test_white_box"),
    "bulk/": ("test_predict_file",),
    "classifier/": ("",),
    "compare/": ("test_plan", "test_search_space"),
    "contract/": ("test_table",),
    "data/": ("test_columns", "test_labels"),
    "engine/": ("test_inputs", "test_label_gate", "test_likelihood", "test_log", "test_objectives", "test_smooth"),
    "huggingface/": ("test_compose", "test_internals", "test_loaders", "test_progress", "test_schedules"),
    "machine/": ("test_launch", "test_process_wide"),
    "model/": ("test_base_rates", "test_groups", "test_learning_rate", "test_pooling"),
    "recipe/": ("",),
    "report/": ("test_card",),
    "runs/": ("",),
    "serve/": ("test_protocols", "test_work"),
    "statistics/": ("",),
}
"""What `make check` runs: of each folder the files that take seconds; an empty name is the whole folder."""
LONG = ("assess/test_evaluation", "assess/test_verdict")
"""What it leaves out of whole folders: these train."""


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same state of torch's global generator."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(config, items):
    """Mark the quick tests; skip `slow` ones unless CI is set or `-m` names them."""
    here = Path(__file__).parent
    quick = tuple(folder + name for folder, names in QUICK.items() for name in names)
    gone = [name for name in (*quick, *LONG) if not any(here.glob(f"{name}*"))]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py names tests as quick or long that are not there: {gone}")
    for item in items:
        place = item.path.relative_to(here).as_posix()
        if place.startswith(quick) and not place.startswith(LONG) and "slow" not in item.keywords:
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
