"""An installation without PyTorch: it predicts and serves, and says what it lacks for everything else."""

import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from serve.folders import save_exported, save_pretrained
from toughen.machine.installed import TRAINING, missing_part

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
{code}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pretrained = save_pretrained(tmp_path_factory.mktemp("pretrained"))
    return save_exported(pretrained, tmp_path_factory.mktemp("made"))[1]


def without_training(code, *arguments):
    """Run code in a process in which the libraries of the extra `train` are not there."""
    script = WITHOUT.format(blocked=sorted(TRAINING), code=code)
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)


READERS = {
    ".csv": pd.read_csv,
    ".tsv": partial(pd.read_csv, sep="\t"),
    ".jsonl": partial(pd.read_json, lines=True),
    ".json": pd.read_json,
    ".parquet": pd.read_parquet,
}
COMMAND = "from toughen.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_an_exported_folder_is_asked_without_it(folder, suffix, tmp_path):
    (tmp_path / "in.csv").write_text("text\na good film\na bad film\n")
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    ran = without_training(
        COMMAND, "predict", folder, "--input", tmp_path / "in.csv", "--output", first, "--workers", 1
    )
    assert ran.returncode == 0, ran.stderr
    # What was written is read again, in its own format; its answers come along under other names.
    ran = without_training(COMMAND, "predict", folder, "--input", first, "--output", second, "--workers", 1)
    assert ran.returncode == 0, ran.stderr
    answered, again = READERS[suffix](first), READERS[suffix](second)
    pd.testing.assert_frame_equal(again[list(answered.columns)], answered)
    assert list(again.columns)[1:5] == [f"input_{name}" for name in answered.columns[1:]]


def test_load_works_without_it(folder):
    code = "import toughen; print(toughen.load(sys.argv[1]).predict(['a good film'])[0]['label'])"
    ran = without_training(code, folder)
    assert ran.stdout.strip() in ("good", "bad"), ran.stderr


@pytest.mark.parametrize(
    "call",
    [
        ["train", "--recipe", "plain", "--model", "m", "--data", "in.csv", "--output", "out"],
        ["train", "--help"],
        ["evaluate", "RUN", "--data", "in.csv"],
        ["attack", "RUN", "--data", "in.csv", "--attack", "deepwordbug"],
        ["compare", "RUN", "RUN", "--data", "in.csv"],
        ["combine", "RUN", "RUN", "--output", "out"],
        ["export", "RUN", "--to", "out"],
        ["predict", "RUN", "--input", "in.csv", "--output", "out.csv", "--workers", "1"],
        ["serve", "RUN"],
        ["demo"],
    ],
    ids=lambda call: " ".join(call[:2]) + call[-1],
)
def test_what_needs_it_says_so_in_one_sentence(call, tmp_path):
    (tmp_path / "recipe.yaml").write_text("model: m\n")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "in.csv").write_text("text,label\na,b\nc,d\n")
    named = [str(tmp_path / part) if part in ("in.csv", "out.csv", "out") else part for part in call]
    ran = without_training(COMMAND, *[str(tmp_path) if part == "RUN" else part for part in named])
    assert ran.returncode == 2, ran.stderr
    assert re.fullmatch(rf"toughen {call[0]} needs \w+, which .*: pip install 'toughen\[train\]'\.\n", ran.stderr)
    assert not list(tmp_path.glob("*out*"))


def test_a_name_that_needs_it_says_so():
    ran = without_training("import toughen; toughen.Engine")
    assert "ModuleNotFoundError: toughen.Engine needs torch, which" in ran.stderr


def test_other_modules_keep_their_traceback():
    assert missing_part(ModuleNotFoundError("No module named 'other'", name="other.part"), "toughen train") is None
    ran = without_training("sys.modules['toughen.recipe.recipe'] = None\n" + COMMAND, "train", "--help")
    assert ran.returncode == 1
    assert "Traceback" in ran.stderr


def test_the_list_is_that_of_the_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {re.split(r"[<>=\[]", requirement)[0] for requirement in extras["train"]} - {"toughen"}
    assert named - {"scikit-learn"} | {"sklearn"} <= TRAINING


@pytest.mark.slow
def test_a_real_installation_has_no_torch_and_serves(folder, tmp_path):
    """`pip install .[serve]` into an empty environment."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
    ran = subprocess.run([*install, f"{ROOT}[serve]"], capture_output=True, text=True)
    if ran.returncode and re.search(
        "No matching distribution|Temporary failure|ConnectionError|Connection", ran.stderr
    ):
        pytest.skip(f"no package index can be reached: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "onnxruntime" in listed
    for name in ("torch", "transformers", "datasets", "scikit-learn", "scipy", "pandas"):
        assert not re.search(rf"^{name}\s", listed, re.M), f"{name} was installed"
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 1
    command = [tmp_path / "venv/bin/toughen"]
    (tmp_path / "in.csv").write_text("text\na good film\na bad film\n")
    asked = ["predict", folder, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.parquet", "--workers", "2"]
    ran = subprocess.run([*command, *asked], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    (tmp_path / "recipe.yaml").write_text("model: m\n")
    asked = ["predict", tmp_path, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--workers", "2"]
    for name in (["train", "--model", "m", "--data", "d"], asked):
        ran = subprocess.run([*command, *name], capture_output=True, text=True)
        assert ran.returncode == 2
        assert re.fullmatch(r".*: pip install 'toughen\[train\]'\.\n", ran.stderr)
    check_service(command, folder)


def check_service(command, folder):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    serving = [*command, "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(serving, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        address = re.search(r"http://[\d.]+:\d+", process.stdout.readline())[0]
        request = urllib.request.Request(f"{address}/predict", b'{"inputs": "a good film"}')
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = response.read().decode()
        assert '"label"' in answer
    finally:
        process.kill()
        process.communicate()
