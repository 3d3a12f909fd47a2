"""The counts of benchmarks/deploy.py --part parity are of the blocks that two engines have both answered."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "deploy.py"


@pytest.fixture
def deploy():
    spec = importlib.util.spec_from_file_location("deploy_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keep(folder, engine, start, probabilities):
    np.save(folder / f"{engine}-{start}.npy", np.stack([1 - np.array(probabilities), probabilities], axis=1))


def test_labels_differences_and_accuracy_are_counted_over_common_blocks(deploy, tmp_path):
    frame = pd.DataFrame({"label": [1, 0, 1, 0, 1, 1]})
    keep(tmp_path, "python", 0, [0.9, 0.2])
    keep(tmp_path, "python", 2, [0.6, 0.4])
    keep(tmp_path, "python", 4, [0.7, 0.7])
    keep(tmp_path, "cpp", 0, [0.9, 0.2])
    keep(tmp_path, "cpp", 2, [0.45, 0.4])
    keep(tmp_path, "pytorch", 0, [0.9, 0.25])
    told = deploy.counts(tmp_path, frame)
    found = told["cpp against python"]
    assert (found["rows"], found["equal_labels"]) == (4, 3)
    assert found["largest_difference"] == pytest.approx(0.15)
    assert found["accuracy"] == [0.75, 1.0]
    assert told["python against pytorch"]["rows"] == 2
    assert told["python against pytorch"]["largest_difference"] == pytest.approx(0.05)
