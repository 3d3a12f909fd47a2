"""What docs/audit.md says is true: its commands run, and the files and keys are those that it names."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tiny import reviews, save_tiny_model, write_csv
from toughen.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/audit.md"
# So that every fold of the tiny model learns, with each of the seeds 0 to 5: a run that has learnt nothing is refused.
LEARNS = "--folds 2 --training.max_steps 160 --training.batch_size 16 --training.learning_rate 0.003"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    save_tiny_model(folder / "roberta-base", dropout=0.0)
    rows = reviews(240, 0)
    write_csv(folder / "reviews.csv", [*rows, *((text.upper(), label) for text, label in rows[:3])])
    (block,) = re.findall(r"<!-- runnable -->\n```bash\n(.*?)```", PAGE.read_text(), re.S)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in block.splitlines():
            assert main(shlex.split(line.replace("--folds 5", LEARNS))[1:]) == 0, line
    return folder


def names(value):
    """Every key of a JSON value."""
    if isinstance(value, dict):
        return set(value) | set().union(*map(names, value.values()), set())
    return set().union(*map(names, value), set()) if isinstance(value, list) else set()


def test_files_columns_and_keys_are_those_of_the_page(desk):
    text = PAGE.read_text()
    quoted = set(re.findall(r"`([\w.]+)`", text))
    folder = desk / "runs/folds/audits/reviews"
    assert {path.name for path in folder.iterdir()} <= quoted
    for path in folder.glob("*.csv"):
        assert set(pd.read_csv(path).columns) <= quoted | {"text"}, path
    assert set(pd.read_parquet(folder / "rows.parquet").columns) <= quoted
    found = json.loads((folder / "audit.json").read_text())
    assert names({**found, "sources": None}) <= quoted
    assert found["copies"]["later"] == 3


def test_the_figures_are_those_measured():
    """Every row of the page's table stands in the table that the benchmark wrote."""
    measured = (ROOT / "benchmarks/results/audit.md").read_text()
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(("| cr", "| trec"))]
    assert len(rows) >= 4
    assert all(row in measured for row in rows)
