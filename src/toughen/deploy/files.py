"""What an exported folder consists of."""

from __future__ import annotations

from pathlib import Path

MODEL, INT8, FP16 = "model.onnx", "model.int8.onnx", "model.fp16.onnx"
DESCRIPTION, TABLE, TOKENIZER, PARITY = "model.json", "tokenizer.bin", "tokenizer.json", "parity.json"
FORMAT = 1
"""Of the description; a reader refuses another."""
METADATA = "toughen"
"""Where a graph carries its description."""


def is_export(folder: Path) -> bool:
    """Say whether a folder is one that ``toughen export`` wrote."""
    return (folder / DESCRIPTION).is_file() and (folder / TABLE).is_file()
