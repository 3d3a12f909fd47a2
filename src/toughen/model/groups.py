"""Parameter groups: which weights decay, and how fast each layer learns."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from toughen.errors import InputError

NO_DECAY = ["bias", "layernorm", "rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|layer_groups|albert_layer_groups)\.(\d+)\.")
ADAPTED = "base_model.model."
"""What peft puts before the names of a model that it wraps."""


def parameter_groups(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    head_multiplier: float = 1.0,
) -> list[dict[str, Any]]:
    """Split the trainable parameters into optimiser groups, each parameter in exactly one.

    Matrices decay; biases and norms do not (the split of transformers' Trainer). With ``layer_decay`` d < 1 the head
    learns at ``learning_rate``, encoder layer l of L at learning_rate * d^(L-l) counted from 0, the embeddings at
    learning_rate * d^(L+1). Everything outside the base model is head and learns ``head_multiplier`` times as fast.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (1801.06146).

    Raises:
        InputError: if ``head_multiplier`` is not 1 and the model has no head that learns.
    """
    from transformers.trainer_pt_utils import get_parameter_names

    find: Any = get_parameter_names
    decayed = set(find(model, [nn.LayerNorm], NO_DECAY))
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        below_top = distance_from_head(model, name) if layer_decay < 1 else 0
        faster = head_multiplier != 1 and in_head(model, name)
        key = (below_top, not faster, name not in decayed)
        rate = learning_rate * layer_decay**below_top * (head_multiplier if faster else 1.0)
        empty = {"params": [], "lr": rate, "weight_decay": weight_decay if name in decayed else 0.0}
        groups.setdefault(key, empty)["params"].append(parameter)
    if head_multiplier != 1 and all(key[1] for key in groups):
        raise InputError(
            f"head.lr_multiplier is {head_multiplier}, but {type(model).__name__} has no weights outside its encoder "
            "that learn; set it to 1."
        )
    return [groups[key] for key in sorted(groups)]


def in_head(model: nn.Module, name: str) -> bool:
    """Say whether a parameter stands outside the base model; a model without one (or itself one) has no head."""
    prefix = getattr(model, "base_model_prefix", "")
    if not prefix or not hasattr(model, prefix):
        return False
    return not name.removeprefix(ADAPTED).startswith(f"{prefix}.")


def is_embedding(name: str) -> bool:
    """Say whether a parameter of no encoder layer belongs to the embeddings."""
    return "embed" in name or ".wte" in name or ".wpe" in name


def distance_from_head(model: nn.Module, name: str) -> int:
    """0 for the head, 1 for the top encoder layer, ..., depth for layer 0, depth + 1 for the embeddings."""
    prefix = getattr(model, "base_model_prefix", "")
    name = name.removeprefix(ADAPTED)
    if not prefix or not name.startswith(f"{prefix}."):
        return 0
    depth = int(getattr(getattr(model, "config", None), "num_hidden_layers", 0))
    layer = LAYER.search(name)
    if layer is not None:
        return depth - int(layer.group(1))
    return depth + 1 if is_embedding(name) else 0
