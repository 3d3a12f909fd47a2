"""The fuzzer's harness compiles against the library as it is, and begins with tables that the library reads."""

import runpy
import shutil
from pathlib import Path

import pytest

from cpp.conftest import do_without, make

CPP = Path(__file__).parents[2] / "cpp"


def test_the_harness_compiles():
    if shutil.which("g++") is None:
        do_without("g++ is not installed")
    warnings = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
    make("g++", *warnings, f"-I{CPP / 'include'}", f"-I{CPP / 'src'}", CPP / "fuzz/fuzz.cpp")


SEEDS = ("wordpiece", "windows", "bytes", "words", "unigram", "pieces", "sanitized")


@pytest.mark.parametrize("name", SEEDS)
def test_the_first_tables_are_read(fast_program, name, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["seeds.py", str(tmp_path)])
    runpy.run_path(str(CPP / "fuzz/seeds.py"), run_name="__main__")
    assert {path.stem for path in tmp_path.glob("*.bin")} == set(SEEDS)
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(tmp_path / f"{name}.bin", folder / "tokenizer.bin")
    text = "a [MASK] film"
    ((ids, *_),) = fast_program.answers(folder, [text.split() if name == "words" else text], "--ids")
    assert ids[0] == 1, "[CLS]"
    assert 3 in ids, "[MASK]"
