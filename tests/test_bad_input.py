"""Wrong input ends in one sentence on stderr, exit status 2, and no run folder."""

import subprocess
import sys

import pytest

from data.bad_inputs import BAD_INPUTS
from toughen.cli import main

IN_A_PROCESS = ["missing file", "empty csv", "invalid utf-8 in csv", "hub unreachable"]


def command(case, folder, monkeypatch):
    source, fields = case.write(folder)
    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    flags = [part for name, value in fields.items() for part in (f"--data.{name}", value)]
    return ["train", "--recipe", "plain", "--data", source, "--output", str(folder / "run"), *flags]


def assert_one_sentence(text, says):
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    for fragment in says:
        assert fragment in text


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_wrong_data_is_refused_before_anything_is_written(name, tmp_path, monkeypatch, capfd):
    case = BAD_INPUTS[name]

    status = main(command(case, tmp_path, monkeypatch))

    assert status == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert_one_sentence(shown.err, case.says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name in IN_A_PROCESS if name in BAD_INPUTS])
def test_the_installed_command_exits_with_2(name, tmp_path, monkeypatch):
    case = BAD_INPUTS[name]

    done = subprocess.run(
        [sys.executable, "-m", "toughen", *command(case, tmp_path, monkeypatch)], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert_one_sentence(done.stderr, case.says)
    assert not (tmp_path / "run").exists()


def test_the_table_has_every_kind_the_readers_promise_to_refuse():
    kinds = ["missing", "empty", "column", "one class", "never seen", "null", "utf-8", "ragged", "duplicate", "hub"]
    for kind in [*kinds, "mixed"]:
        assert any(kind in name for name in BAD_INPUTS), kind
