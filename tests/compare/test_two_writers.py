"""Of two commands at once on one folder the second is told who writes it, before it has changed anything."""

import pytest

from toughen.cli import main
from toughen.runs.writer import sole_writer

COMMANDS = {
    "ablate": ["ablate", "ema", "--over", "average", "--seeds", "2", "--data"],
    "search": ["search", "plain", "--over", "training.learning_rate=1e-4,1e-3", "--trials", "1", "--data"],
    "try": ["try"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_second_is_told_who_writes(name, model, data, tmp_path, capsys):
    if name == "search":
        pytest.importorskip("optuna", reason="needs the extra search")
    command = [*COMMANDS[name], str(data), "--model", str(model), "--output", str(tmp_path / "out")]
    with sole_writer(tmp_path / "out", f"toughen {name}"):
        assert main(command) == 2
    assert f"is being written by toughen {name} (process" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "neither a folder nor a lock stays"
