"""Parameter groups: which weights decay, and how fast each layer learns."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

NO_DECAY = ["bias", "layernorm", "rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|layer_groups|albert_layer_groups)\.(\d+)\.")


def parameter_groups(
    model: nn.Module, learning_rate: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Split the trainable parameters into optimiser groups, each parameter in exactly one.

    Matrices decay; biases and norms do not (the split of transformers' Trainer). With ``layer_decay`` d < 1 the head
    learns at ``learning_rate``, encoder layer l of L at learning_rate * d^(L-l) counted from 0, the embeddings at
    learning_rate * d^(L+1).

    Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (1801.06146).
    """
    from transformers.trainer_pt_utils import get_parameter_names

    names: Any = get_parameter_names
    decayed = set(names(model, [nn.LayerNorm], NO_DECAY))
    depth = int(getattr(model.config, "num_hidden_layers", 0)) if hasattr(model, "config") else 0
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        below_top = _distance_from_head(model, name, depth) if layer_decay < 1 else 0
        key = (below_top, name in decayed)
        group = groups.setdefault(
            key,
            {
                "params": [],
                "lr": learning_rate * layer_decay**below_top,
                "weight_decay": weight_decay if key[1] else 0.0,
            },
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups, key=lambda k: (k[0], not k[1]))]


def _distance_from_head(model: nn.Module, name: str, depth: int) -> int:
    """0 for the head, 1 for the top encoder layer, ..., depth for layer 0, depth + 1 for the embeddings."""
    prefix = getattr(model, "base_model_prefix", "")
    if not prefix or f"{prefix}." not in f"{name}.":
        return 0
    layer = LAYER.search(name)
    if layer is not None:
        return depth - int(layer.group(1))
    return depth + 1 if "embed" in name or ".wte" in name or ".wpe" in name else 0
