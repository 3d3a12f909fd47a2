"""Change one operator or number of the source at a time and see whether the nearest tests notice.

    python scripts/mutants.py --rooms statistics classifier assess --count 60 --seed 0

Each mutant runs in a fork of a process that has the large libraries loaded already; the nearest tests of a module are
the files under tests/ROOM that name it, but for those that train. What survives is listed with its line: a missing
test, or a change that means the same.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE, TESTS = ROOT / "src", ROOT / "tests"
SWAPS: dict[type, type] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
}
SECONDS = 60
LONG = ("test_evaluation", "test_verdict", "test_score", "test_abstain")
"""Tests that train a model."""


@dataclass
class Mutant:
    """One change of one module: the position of the node in `ast.walk`, and which of its operators changes."""

    path: Path
    node: int
    part: int
    line: int
    change: str

    def source(self) -> str:
        """Return the module with the change."""
        tree = ast.parse(self.path.read_text())
        change(list(ast.walk(tree))[self.node], self.part)
        return ast.unparse(ast.fix_missing_locations(tree))


def change(node: ast.AST, part: int) -> str:
    """Make the change in place and return it in words."""
    if isinstance(node, ast.Compare):
        old, node.ops[part] = node.ops[part], SWAPS[type(node.ops[part])]()
        return f"{type(old).__name__} -> {type(node.ops[part]).__name__}"
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        old, node.op = node.op, SWAPS[type(node.op)]()
        return f"{type(old).__name__} -> {type(node.op).__name__}"
    if isinstance(node, ast.IfExp):
        node.body, node.orelse = node.orelse, node.body
        return "branches exchanged"
    assert isinstance(node, ast.Constant)
    value = node.value
    node.value = (not value) if isinstance(value, bool) else value + 1
    return f"{value} -> {node.value}"


def parts_of(node: ast.AST) -> Iterator[int]:
    """Yield which parts of a node can change."""
    if isinstance(node, ast.Compare):
        yield from (n for n, op in enumerate(node.ops) if type(op) in SWAPS)
    elif isinstance(node, (ast.BinOp, ast.BoolOp)):
        yield from [0] if type(node.op) in SWAPS else []
    elif isinstance(node, ast.IfExp) or (isinstance(node, ast.Constant) and isinstance(node.value, (int, float))):
        yield 0


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every change inside the functions of a module, but for annotations and messages of errors."""
    tree = ast.parse(path.read_text())
    inside, outside = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside |= {id(part) for statement in node.body for part in ast.walk(statement)}
        if isinstance(node, (ast.Raise, ast.AnnAssign, ast.JoinedStr)):
            left = node.annotation if isinstance(node, ast.AnnAssign) else node
            outside |= {id(part) for part in ast.walk(left)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in inside or id(node) in outside:
            continue
        for part in parts_of(node):
            copy = list(ast.walk(ast.parse(path.read_text())))[number]
            yield Mutant(path, number, part, node.lineno, change(copy, part))  # type: ignore[attr-defined]


def nearest_tests(path: Path) -> list[str]:
    """Return the test files of the module's room that name it, or all of the room."""
    module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    files = [file for file in sorted((TESTS / path.parent.name).glob("test_*.py")) if not file.stem.startswith(LONG)]
    naming = [file for file in files if f"{module} import" in file.read_text()]
    return [str(file) for file in naming or files]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutant in its module's place."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = ".".join(mutant.path.relative_to(SOURCE).with_suffix("").parts)

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Return this loader for the one module."""
        if name != self.name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self.mutant.path))

    def exec_module(self, module: object) -> None:
        """Run the changed source."""
        code = compile(self.mutant.source(), str(self.mutant.path), "exec")
        exec(code, vars(module))  # noqa: S102


def passes(tests: list[str], mutant: Mutant | None = None) -> bool:
    """Run the tests in a fork, on a mutant if one is given; what takes too long counts as noticed."""
    child = os.fork()
    if child == 0:
        import pytest

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)  # processor time would be fairer, but a mutant may also wait for ever
        if mutant is not None:
            sys.meta_path.insert(0, Changed(mutant))
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def main() -> None:
    """Draw the mutants, try them, and print what survives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", nargs="+", default=["statistics", "classifier", "assess"])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    # Not more: pytest refuses where its plugins (anyio, hypothesis) were imported before it looked for them.
    for heavy in ("torch", "sklearn.metrics", "scipy.stats", "scipy.optimize"):
        with suppress(ImportError):
            importlib.import_module(heavy)
    paths = [path for room in asked.rooms for path in sorted((SOURCE / "toughen" / room).glob("*.py"))]
    everything = [mutant for path in paths for mutant in mutants_of(path)]
    drawn = random.Random(asked.seed).sample(everything, min(asked.count, len(everything)))
    tried = left = 0
    sound: dict[tuple[str, ...], bool] = {}
    for mutant in drawn:
        tests = tuple(nearest_tests(mutant.path))
        if tests not in sound:
            sound[tests] = passes(list(tests))  # a test that fails anyway would notice every mutant
            if not sound[tests]:
                print(f"left out, for they fail on the source as it is: {' '.join(tests)}", file=sys.stderr, flush=True)
        if not sound[tests]:
            continue
        tried += 1
        if passes(list(tests), mutant):
            left += 1
            line = mutant.path.read_text().splitlines()[mutant.line - 1].strip()
            print(f"{mutant.path.relative_to(ROOT)}:{mutant.line}: {mutant.change}: {line}", flush=True)
        print(f"{tried} of {len(drawn)} tried, {left} survive", file=sys.stderr, flush=True)
    print(f"{tried} of {len(everything)} mutants tried, {left} survive")


if __name__ == "__main__":
    main()
