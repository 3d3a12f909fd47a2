"""What `import toughen` promises."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import toughen
from toughen.recipe.recipe import Recipe
from toughen.recipe.slots import hints, techniques


def test_train_stays_a_function_after_its_stage_was_imported():
    # A subpackage of the same name would take the function's place as soon as something imported it.
    import toughen.engine.engine

    assert callable(toughen.train)
    assert toughen.train.__module__ == "toughen.run"


def test_import_loads_no_heavy_library():
    code = (
        "import toughen, sys; print([m for m in ('torch', 'transformers', 'datasets', 'sklearn', 'pydantic', "
        "'pandas', 'tensorboard', 'rich', 'typer') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


@pytest.mark.parametrize("package", ["toughen", "toughen.attack", "toughen.data", "toughen.serve"])
def test_what_a_stub_names_is_there(package):
    module = importlib.import_module(package)
    stub = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    named = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named <= set(module.__all__) == set(dir(module))
    for name in named:
        home = next(n.module for n in stub.body if isinstance(n, ast.ImportFrom) and n.names[0].name == name)
        assert getattr(module, name) is getattr(importlib.import_module(f"{package}.{home}"), name)


def test_every_technique_is_exported():
    found = [cls for slot in hints(Recipe) for name, cls in techniques(Recipe, slot).items() if name]
    assert {cls.__name__ for cls in found} <= set(toughen.__all__)
    assert all(getattr(toughen, cls.__name__) is cls for cls in found)
    assert len(found) > 15
