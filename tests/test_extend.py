"""docs/extend.md adds a technique: its four diffs apply, and each is missed by a test while it is not there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/extend.md"
COPIED = ("src", "tests", "docs", "scripts", "benchmarks/results", "README.md", "CONTRIBUTING.md", "pyproject.toml")
MISSED_BY = {
    "src/toughen/__init__.pyi": ["tests/test_package.py"],
    "tests/contract/table.py": ["tests/contract/test_table.py", "-k", "has_a_row"],
    "docs/techniques/fgm-path.md": ["tests/test_cards.py", "-k", "has_a_card"],
}
"""The test that fails while a place is missing; without the first place there is no technique."""


def diffs():
    """Return [(file, its hunks)] of the page, in order; a hunk is (lines before, lines after)."""
    found = []
    for block in re.findall(r"^```diff\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        head, *hunks = re.split(r"^@@\n", block, flags=re.M)
        lines = [[line for line in hunk.splitlines() if line] for hunk in hunks]
        both = [(_side(hunk, "-"), _side(hunk, "+")) for hunk in lines]
        found.append((re.search(r"^\+\+\+ b/(.+)$", head, re.M)[1], both))
    return found


def _side(hunk, sign):
    return "".join(f"{line[1:]}\n" for line in hunk if line[0] in (" ", sign))


def apply_diff(root, name, hunks):
    path = root / name
    text = path.read_text() if path.exists() else ""
    for before, after in hunks:
        assert text.count(before) == 1 if before else not text, f"{name} no longer has what the page changes"
        text = text.replace(before, after) if before else after
    path.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, root / name, ignore=leave) if source.is_dir() else shutil.copy(source, root / name)
    return root


def run(root, *command):
    """Run Python on the copy; return its exit status and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_four_places_are_enough_and_each_is_missed_while_it_is_not_there(project):
    steps = diffs()
    assert [name for name, _ in steps][1:] == list(MISSED_BY)
    apply_diff(project, *steps[0])
    for name, hunks in steps[1:]:
        status, said = run(project, "-m", "pytest", "-q", "-x", *MISSED_BY[name])
        assert status == 1, f"nothing misses {name}: {said}"
        assert "fgm-path" in said or "FgmPath" in said
        apply_diff(project, name, hunks)
    status, said = run(project, "scripts/cards.py")
    assert status == 0, said
    status, said = run(
        project,
        "-m",
        "pytest",
        "-q",
        "-x",
        "tests/test_package.py",
        "tests/contract/test_table.py",
        "tests/test_cards.py",
    )
    assert status == 0, said
    status, said = run(project, "-m", "pytest", "-q", "-x", "tests/contract/test_rows.py", "-k", "fgm-path")
    assert status == 0, said
    assert said.count(".") > 10, "canary: it meets others"
