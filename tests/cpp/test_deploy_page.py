"""Every command of docs/deploy.md runs as it stands there, from a trained run to the C++ library."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cpp.conftest import do_without, find_headers
from deploy.test_export import LABELLED, pretrained  # noqa: F401  # a fixture
from toughen.cli import main

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

ROOT = Path(__file__).parents[2]


def block(name, language="bash"):
    page = (ROOT / "docs/deploy.md").read_text()
    (found,) = re.findall(rf"<!-- deploy: {name} -->\n```{language}\n(.*?)```", page, re.S)
    return found


@pytest.fixture
def desk(pretrained, tmp_path, monkeypatch):  # noqa: F811
    """A folder with a trained run and texts, as the page takes them to be there."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{text},{label}\n" for text, label in LABELLED)
    (tmp_path / "reviews.csv").write_text("text,label\n" + rows)
    (tmp_path / "texts.csv").write_text("text\na very good film\na dull film\n")
    trained = ["train", "--recipe", "plain", "--model", str(pretrained), "--data", "reviews.csv", "--output"]
    assert main([*trained, "runs/reviews", "--training.epochs", "12", "--training.learning_rate", "0.003"]) == 0
    return tmp_path


def test_commands_and_python_of_the_page(desk, capsys):
    for line in [line for name in (1, 2, "bulk") for line in block(name).splitlines()]:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    table = capsys.readouterr().out
    assert all(name in table for name in ("pytorch", "fp32", "int8", "accuracy", "ms per text"))
    assert len((desk / "labelled.csv").read_text().splitlines()) == 3
    exec(block("python", "python"), {})
    assert capsys.readouterr().out.split()[0] in ("good", "bad")
    if find_spec("openvino"):
        exec(block("openvino", "python"), {})
        assert capsys.readouterr().out.strip() in ("good", "bad")
    assert main(["export", "runs/reviews", "--to", "exported", "--int8"]) == 2
    assert "exists; choose another folder" in capsys.readouterr().err


@pytest.mark.slow
def test_program_and_library_of_the_page(desk):
    main(shlex.split(block(1))[1:])
    headers = find_headers()
    if shutil.which("cmake") is None or headers is None:
        do_without("cmake or the headers are not there")
    shutil.copytree(ROOT / "cpp", desk / "cpp")
    shutil.copytree(ROOT / "examples/embed", desk / "examples/embed")
    shutil.copytree(headers, desk / "build/ort-include")  # what the script finds there it does not fetch
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = f"set -euo pipefail\n{block(3)}\n{block(4)}\n{block('install')}\necho $ORT_LIB\n"
    ran = subprocess.run(["bash", "-c", shell], cwd=desk, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    one, two, ids = [line for line in lines if line.startswith(("{", "[["))]
    *_, said, library = lines
    assert said.split()[0] in ("good", "bad")
    assert one.startswith('{"label": ')
    assert two.startswith('{"label": ')
    assert ids.startswith("[[")
    (desk / "own.cpp").write_text(block("cpp", "cpp"))
    linked = [
        "own.cpp",
        "-Icpp/include",
        "build/cpp/libtoughen.a",
        "build/cpp/libtoughen_tokenizer.a",
        "-ldl",
        "-o",
        "own",
    ]
    subprocess.run(["g++", "-std=c++17", *linked], cwd=desk, check=True)
    own = subprocess.run([desk / "own"], cwd=desk, env=env | {"ORT_LIB": library}, capture_output=True, text=True)
    assert own.stdout.split()[0] in ("good", "bad"), own.stderr
