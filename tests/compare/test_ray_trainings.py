"""Trainings on a Ray cluster of this machine: the same runs as processes make, also when one of them is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from toughen.cli import main

SPLITS = ("validation", "test")
LINE = """
import os, sys
from toughen.cli import main
os.sched_getaffinity = lambda _: {0, 1}
sys.exit(main(sys.argv[1:]))
"""
"""A command as on a machine of two cores; in a process of its own, where Ray's warnings are no errors."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
]


def command(model, data, output):
    settings = {"epochs": 8, "batch_size": 8, "save_steps": 8, "learning_rate": 3e-3, "max_length": 32}
    more = {"precision": "fp32", "early_stopping": "none"}
    flags = [f"--training.{name}={value}" for name, value in (settings | more).items()]
    where = ["--model", str(model), "--data", str(data), "--output", str(output)]
    over = ["--over", "average", "--design", "whole", "--seeds", "2", "--jobs", "2"]
    return ["ablate", "ema", *over, *where, *flags]


@contextmanager
def started(log, *arguments):
    """Run a command in a process of its own; yields the process, and what it says goes to a file."""
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", LINE, *map(str, arguments)], stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def process_of(run):
    """Return the number of the process that trains in a folder, None if there is none."""
    found = subprocess.run(["pgrep", "-f", f"toughen.compare.worker {run} "], capture_output=True, text=True)
    return int(found.stdout.split()[0]) if found.stdout.strip() else None


def scores(folder):
    result = json.loads((folder / "ablation.json").read_text())
    runs = {(arm["name"], run["seed"]): run for arm in result["arms"] for run in arm["runs"]}
    clock = ("seconds", "samples_per_second")
    return {
        key: [{name: value for name, value in run[split].items() if name not in clock} for split in SPLITS]
        for key, run in runs.items()
    }


def test_ray_makes_the_runs_that_processes_make_and_starts_a_killed_one_again(model, data, tmp_path):
    """Two trainings at a time; one is killed once it has a checkpoint, and the scores are those without Ray."""
    ours, alone, log = tmp_path / "ray", tmp_path / "alone", tmp_path / "log"
    victim = ours / "runs" / "ema" / "seed-42"
    with started(log, *command(model, data, ours), "--engine", "ray") as process:
        until = time.monotonic() + 400
        while not (list(victim.glob("checkpoints/*/trainer_state.json")) and process_of(victim)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "it took too long"
            time.sleep(0.02)
        os.kill(process_of(victim), signal.SIGKILL)
        assert not (victim / "metrics.json").exists(), "it was killed too late"
        assert process.wait(400) == 0, log.read_text()
    assert "4 of 4 runs done" in log.read_text()
    with started(log, *command(model, data, alone)) as process:
        assert process.wait(400) == 0, log.read_text()
    assert scores(ours) == scores(alone)
    assert len(scores(ours)) == 4
    for name in ("plain", "ema"):
        file = f"runs/{name}/seed-43/model/model.safetensors"
        assert (ours / file).read_bytes() == (alone / file).read_bytes()


def test_a_search_trains_on_ray(model, data, tmp_path):
    pytest.importorskip("optuna", reason="optuna is not installed")
    asked = ["search", "plain", "--model", model, "--data", data, "--output", tmp_path / "search", "--trials", "1"]
    settings = ["--over", "training.learning_rate=1e-3:3e-3", "--training.epochs=1", "--training.max_length=32"]
    log = tmp_path / "log"
    with started(log, *asked, *settings, "--engine", "ray") as process:
        assert process.wait(400) == 0, log.read_text()
    assert "best: trial 0" in log.read_text()


def test_what_refuses_the_input_says_so_on_ray_too(model, tmp_path):
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"text {i},same\n" for i in range(20)))
    log = tmp_path / "log"
    with started(log, *command(model, tmp_path / "one.csv", tmp_path / "out"), "--engine", "ray") as process:
        assert process.wait(400) == 2, log.read_text()
    assert ", seed 42: " in log.read_text().strip().splitlines()[-1]


def test_an_unknown_engine_is_refused(model, data, tmp_path, capsys):
    assert main([*command(model, data, tmp_path / "out"), "--engine", "spark"]) == 2
    assert "--engine must be one of local, ray, got 'spark'" in capsys.readouterr().err
