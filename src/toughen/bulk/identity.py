"""Which model it is: a hash of the files that decide what it answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from toughen.deploy.files import MODEL, TOKENIZER, is_export
from toughen.files import read_json
from toughen.runs.folder import FOLDS, RECIPE

_COMBINATION = "combination.json"
_ROOT = (RECIPE, FOLDS, _COMBINATION)


def model_hash(folder: Path, graph: str | None) -> str:
    """Return a hash of an exported folder's graph and tokenizer, or of a run's models."""
    names = [graph or MODEL, TOKENIZER] if is_export(folder) else sorted(_of_run(folder))
    found = hashlib.sha256()
    for name in names:
        found.update(json.dumps([name, _file_hash(folder / name)]).encode())
    for member in read_json(folder / _COMBINATION).get("members", []):
        if member.get("folder") is None:  # a combination may refer to runs elsewhere
            found.update(model_hash(Path(member["source"]), None).encode())
    return found.hexdigest()


def _of_run(folder: Path) -> list[str]:
    """Return the files of a run (and its folds or members) that hold weights, tokenizers and how they are used."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    own = [path for path in files if "checkpoints" not in path.parts]
    return [str(path) for path in own if "model" in path.parts[:-1] or path.name in _ROOT]


def _file_hash(path: Path) -> str | None:
    if not path.is_file():
        return None  # whoever opens the model says what is wrong
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
