"""Shared by all tests: one thread, a fixed seed, and the `slow` marker."""

import os

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same state of torch's global generator."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(config, items):
    """Skip `slow` tests unless CI is set or `-m` names them."""
    if os.environ.get("CI") or "slow" in (config.option.markexpr or ""):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: set CI=true or pass -m slow"))
