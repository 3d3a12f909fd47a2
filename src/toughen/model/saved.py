"""Load a saved model of any task: a whole one, one with a head of our own, or adapters on their pretrained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from toughen.errors import InputError
from toughen.files.manifest import newer_version, verify
from toughen.tasks import task_of_config

CONFIG, ADAPTER = "config.json", "adapter_config.json"
OWN_TYPES = ("toughen-head", "toughen-adapter")
"""Model types that transformers knows once ``toughen.model.lora`` is imported."""


def load_model(folder: Path) -> Any:
    """Load a model folder in float32.

    Raises:
        InputError: if the folder holds no model, a damaged one, one that a newer version wrote, or adapters that cannot
            be put on their pretrained model.
    """
    verify(folder)
    if not (folder / CONFIG).exists():
        if (folder / ADAPTER).exists():
            raise InputError(
                f"{folder} holds adapters that toughen did not save (no config.json beside them); load them with peft."
            )
        raise InputError(f"{folder} holds no model (no config.json); give the folder of a finished run.")
    config = _load_config(folder)
    try:
        return _auto_class(config).from_pretrained(folder, config=config, dtype=torch.float32)
    except (OSError, SafetensorError, RuntimeError) as error:  # an older version's, without a manifest
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"the model in {folder} cannot be loaded: {reason}; put back a whole copy.") from error


def _load_config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{folder / CONFIG} is damaged: it is no JSON; put back a whole copy.") from None
    newer = newer_version((content.get("toughen") or {}).get("version", ""))
    if newer is not None:
        raise InputError(f"the model in {folder} {newer}")
    if content.get("model_type") in OWN_TYPES:
        import toughen.model.lora  # noqa: F401  # registers the architectures
    return AutoConfig.from_pretrained(folder)


def _auto_class(config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    return AutoModelForTokenClassification if task_of_config(config) == "tokens" else AutoModelForSequenceClassification
