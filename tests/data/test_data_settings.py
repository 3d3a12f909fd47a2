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
    ],
)
def test_refused(fields, says):
    with pytest.raises(InputError, match=says):
        Data(**fields)


def test_settings_load_without_heavy_libraries():
    heavy = ("datasets", "pandas", "pyarrow", "torch", "transformers", "sklearn")
    code = f"import sys, toughen.data.config; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
