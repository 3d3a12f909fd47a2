"""JSON files, and files of any kind that appear whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if there is no file."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object to a JSON file that appears whole or not at all."""
    write_whole(path, lambda part: part.write_text(json.dumps(content, indent=2)))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside the path, then give it that name: readers see a whole file or none."""
    part = path.with_name(f"{path.name}.part")
    write(part)
    part.replace(path)
