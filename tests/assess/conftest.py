"""Shared by the tests of scores: a tiny pretrained encoder, and classifiers made of it."""

from functools import partial

import pytest
from saved_models import save_classifier

from tiny import save_tiny_model


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture
def saved(pretrained, tmp_path):
    """Save a random model of a task: `save_classifier` with its first two arguments given."""
    return partial(save_classifier, pretrained, tmp_path)
