"""What a pretrained model's own files say of how its tokens become one vector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toughen.model.head_config import Pooling

OWN = "toughen-head"
STATED: dict[str, Pooling] = {"cls": "cls", "mean": "mean"}
"""Poolings of sentence-transformers that a head of ours has."""
MODE = "pooling_mode_"


def stated_pooling(source: str, config: Any, *, local_files_only: bool = False) -> Pooling | None:
    """Return the pooling that a model was made for, or None where its files leave it open.

    A model that comes with a classifier's head keeps it (``model``), as does an encoder with a decoder, which no head
    of ours fits. Of a sentence encoder it is what ``modules.json`` says, the list of modules of sentence-transformers,
    if a head of ours has it.

    Args:
        source: hub id or folder.
        config: its config.
        local_files_only: whether the hub is not to be asked.
    """
    heads = getattr(config, "architectures", None) or ()
    classifier = any(str(name).endswith("ForSequenceClassification") for name in heads)
    if classifier or config.model_type == OWN or getattr(config, "is_encoder_decoder", False):
        return "model"
    modules = _read_hub_json(source, "modules.json", local_files_only)
    path = next((m["path"] for m in modules or () if str(m.get("type", "")).endswith(".Pooling")), None)
    said = None if path is None else _read_hub_json(source, f"{path}/config.json", local_files_only)
    if said is None:
        return None
    chosen = [name.removeprefix(MODE) for name, on in said.items() if name.startswith(MODE) and on is True]
    names = [str(said.get("pooling_mode", ""))] if not chosen else [name.removesuffix("_tokens") for name in chosen]
    names = [name.removesuffix("_token") for name in names]
    return STATED.get(names[0]) if len(names) == 1 else None


def _read_hub_json(source: str, name: str, local_files_only: bool) -> Any:
    from transformers.utils.hub import cached_file

    find: Any = cached_file
    quiet = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors", "gated_repo")}
    path = find(source, name, local_files_only=local_files_only, **quiet)
    return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
