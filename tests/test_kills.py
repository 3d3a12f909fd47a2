"""A command that is killed before any change of any file and given again ends as if nothing had happened.

`kills.py` kills and compares. Here each scenario is killed at a few random places; by hand, at all of them:

    python tests/kills.py FOLDER "train ema" all
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kills import SCENARIOS

KILLS = {
    "train plain": 5,
    "train ema": 5,
    "folds": 4,
    "evaluate": 3,
    "combine": 2,
    "export": 2,
    "predict": 3,
    "search": 2,
}
"""Kills of each command that the tests make."""
EXTRAS = {"export": ["onnx", "onnxruntime"], "predict": ["pyarrow"], "search": ["optuna"]}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", KILLS)
def test_a_killed_command_given_again_ends_as_an_undisturbed_one(scenario, tmp_path):
    for package in EXTRAS.get(scenario, ()):
        pytest.importorskip(package, reason="of an extra")
    places = random.Random(scenario)
    shares = ",".join(f"{places.random():.4f}" for _ in range(KILLS[scenario]))
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), str(tmp_path / "it"), scenario, shares]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["operations"] > 10, "canary: it writes"
    assert found["kills"] >= 1
    assert found["wrong"] == {}, shares


def test_every_scenario_that_is_killed_is_there():
    assert KILLS.keys() <= SCENARIOS.keys()
