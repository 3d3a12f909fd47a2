"""What `import toughen` promises."""

import subprocess
import sys

import toughen


def test_train_stays_a_function_after_its_stage_was_imported():
    # A subpackage of the same name would take the function's place as soon as something imported it.
    import toughen.engine.engine

    assert callable(toughen.train)
    assert toughen.train.__module__ == "toughen.run"


def test_every_exported_name_resolves():
    assert set(toughen.__all__) == set(dir(toughen))
    for name in toughen.__all__:
        assert getattr(toughen, name) is not None


def test_import_loads_no_heavy_library():
    code = (
        "import toughen, sys; print([m for m in ('torch', 'transformers', 'datasets', 'sklearn', 'pydantic', "
        "'pandas', 'tensorboard', 'rich', 'typer') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
