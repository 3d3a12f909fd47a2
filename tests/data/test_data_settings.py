"""The `data` part of a recipe refuses values without a meaning; reading it loads no heavy library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from toughen.data import Data
from toughen.errors import InputError


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"validation_share": 0.0}, "data.validation_share must be above 0 and below 1, got 0.0"),
        ({"validation_share": 1.0}, "data.validation_share"),
        ({"unlabelled_ratio": -1.0}, "data.unlabelled_ratio must not be negative"),
        ({"text": " "}, "data.text must be null or a name"),
        ({"text": "a", "label": "a"}, "data.label must be another column"),
        ({"text": "a", "text_pair": "a"}, "data.text_pair must be another column than data.text"),
        ({"label": "a", "group": "a"}, "data.group must be another column than data.label"),
        ({"group": ""}, "data.group must be null or a name"),
        ({"positive_label": " "}, "data.positive_label must be null or a name"),
        ({"task": "ranking"}, "data.task must be one of auto, single-label, multi-label, regression, tokens"),
        ({"task": "tokens", "text_pair": "b"}, "data.text_pair must be null where data.task is tokens"),
        ({"task": "tokens", "unlabelled": "more.txt"}, "data.unlabelled must be null where data.task is tokens"),
        ({"task": "regression", "positive_label": "1"}, "leave it out where data.task is regression"),
        ({"task": "multi-label", "positive_label": "1"}, "data.positive_label is for two classes"),
    ],
)
def test_refused(fields, says):
    with pytest.raises(InputError, match=says):
        Data(**fields)


@pytest.mark.parametrize("task", ["auto", "single-label"])
def test_a_positive_label_goes_with_one_class_per_text(task):
    """The canary of the refusals above: the same settings pass where they have a meaning."""
    assert Data(task=task, positive_label="1", text="a", text_pair="b", label="c", group="d").positive_label == "1"


def test_settings_load_without_heavy_libraries():
    heavy = ("datasets", "pandas", "pyarrow", "torch", "transformers", "sklearn")
    code = f"import sys, toughen.data.config; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
