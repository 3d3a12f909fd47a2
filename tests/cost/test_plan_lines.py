"""The line printed before a training says what the training then takes."""

import re

import pytest

import toughen
from tiny import reviews, save_tiny_model


@pytest.mark.parametrize(
    ("start_step", "every", "checkpointing"), [(0, 1, False), (1, 3, False), (0, 1, True), (1, 3, True)]
)
def test_planned_steps_and_units_are_those_of_the_run(tmp_path, capfd, start_step, every, checkpointing):
    run = toughen.train(
        reviews(40, seed=1),
        model=str(save_tiny_model(tmp_path / "model")),
        recipe="full-stack",
        output=tmp_path / "run",
        adversary={"start_step": start_step, "every": every},
        training={"epochs": 1, "batch_size": 4, "save_steps": None, "gradient_checkpointing": checkpointing},
    )
    (line,) = [line for line in capfd.readouterr().err.splitlines() if re.match(r"plan: \d+ steps", line)]
    steps, units, whole = re.match(r"plan: (\d+) steps of ([\d.]+) units.*?, (\d+) in all", line).groups()
    assert int(steps) == run.metrics["train"]["steps"]
    assert float(units) == pytest.approx(run.metrics["train"]["units_per_step"], abs=0.005)
    assert ("checkpointing" in line) is checkpointing
    assert int(whole) == pytest.approx(run.metrics["train"]["units_per_step"] * int(steps), abs=0.5)
