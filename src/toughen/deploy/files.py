"""What an exported folder consists of."""

from __future__ import annotations

from pathlib import Path

from toughen.errors import InputError

MODEL, INT8, FP16 = "model.onnx", "model.int8.onnx", "model.fp16.onnx"
DESCRIPTION, TABLE, TOKENIZER, PARITY = "model.json", "tokenizer.bin", "tokenizer.json", "parity.json"
CONFIG = "config.json"
"""For other programs; what this one reads stands in the graph."""
FORMAT = 1
"""Of the description; a reader refuses another."""
METADATA = "toughen"
"""Where a graph carries its description."""


def cpp_folder() -> Path:
    """Return the folder with the C++ runtime's files: of the package, or of the clone that it is run from."""
    package = Path(__file__).parents[1]
    return package / "cpp" if (package / "cpp").is_dir() else package.parents[1] / "cpp"


def is_export(folder: Path) -> bool:
    """Say whether a folder is one that ``toughen export`` wrote."""
    return (folder / DESCRIPTION).is_file() and (folder / TABLE).is_file()


def require_run(folder: Path, graph: str | None) -> None:
    """Refuse what is not an exported folder unless it is a run folder, of which no graph can be named.

    Raises:
        InputError: saying what the folder is not.
    """
    if graph is not None:
        raise InputError(f"--model names a graph of an exported folder, and {folder} is none; leave it out.")
    if not (folder / "recipe.yaml").is_file():
        raise InputError(
            f"{folder} is neither a run folder nor an exported one; give what toughen train --output or toughen export "
            "--to wrote."
        )
