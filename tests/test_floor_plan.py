"""What the floor plan (docs/decisions/0016-floor-plan.md) asks besides the order that `lint-imports` holds."""

import ast
import sys
from pathlib import Path

import pytest

import toughen

ROOT = Path(toughen.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES} - {ROOT})
OWN_LATE = 40
"""Imports of this package's own modules that may stand inside functions."""
LATE = {
    **dict.fromkeys(("torch", "transformers", "accelerate", "datasets", "sklearn", "scipy"), "loads for 0.3 to 2 s"),
    **dict.fromkeys(("pyarrow", "huggingface_hub", "tokenizers", "onnxruntime"), "what answers texts may need none"),
    **dict.fromkeys(("rich", "pydantic", "typer"), "`import toughen` and `toughen --version` need none"),
    **dict.fromkeys(("jinja2", "markupsafe", "matplotlib"), "of an extra: report"),
    **dict.fromkeys(("onnx", "openvino", "optuna", "ray", "uvicorn"), "of an extra of that name, or serve"),
    **dict.fromkeys(("nltk", "pypinyin"), "in no extra: used where it is installed"),
}
"""Packages whose import may stand inside a function, and why."""


def late_imports(path):
    """Return the imports inside functions: line number and the packages or modules that they name."""
    found = []
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    found.append((node.lineno, [alias.name for alias in node.names]))
                elif isinstance(node, ast.ImportFrom):
                    found.append((node.lineno, [node.module]))
    return sorted(dict(found).items())


def own_late_imports():
    return [
        (path, line)
        for path in MODULES
        for line, names in late_imports(path)
        if any(name.partition(".")[0] == "toughen" for name in names)
    ]


def test_few_own_imports_are_late():
    assert len(own_late_imports()) <= OWN_LATE


def test_each_own_late_import_says_why():
    silent = []
    for path, line in own_late_imports():
        lines = path.read_text().splitlines()
        if "#" not in lines[line - 1] and not lines[line - 2].lstrip().startswith("#"):
            silent.append(f"{path.relative_to(ROOT)}:{line}")
    assert silent == []


def test_only_what_is_heavy_or_optional_is_imported_late():
    others = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        for line, names in late_imports(path)
        if not {name.partition(".")[0] for name in names} <= {"toughen", *LATE}
    }
    assert others == set()
    assert not set(LATE) & set(sys.stdlib_module_names)


def test_few_modules_stand_loose_at_the_top():
    loose = [path.stem for path in ROOT.glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert len(loose) <= 6


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_is_small_and_says_what_it_is(folder):
    assert len(list(folder.glob("*.py"))) <= 25
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert len(said.splitlines()) >= 3
    assert "import" in said.lower()


def test_no_function_is_longer_than_forty_lines():
    """Counted without the docstring, from the first statement to the last line."""
    long = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and node.end_lineno - body[0].lineno + 1 > 40:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == []


def test_a_module_name_stands_once():
    """But for the module of a command, which is named as what it runs."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        if path.stem != "__init__" and path.parent.name != "cli":
            places.setdefault(path.stem, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
    assert "splits" in places, "canary: modules are found"
