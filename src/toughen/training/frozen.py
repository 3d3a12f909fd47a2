"""One pass of a pretrained model as it is: a vector per text, by each pooling that is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toughen.arrays import Floats
from toughen.data import tokenise
from toughen.data.batches import Collator
from toughen.data.read.chunks import numbers_of
from toughen.engine.head_samples import last_vectors, output_layer
from toughen.huggingface.pretrained import Prepared
from toughen.model.head import Pool, first_token_sees
from toughen.model.head_config import Pooling


def frozen_features(
    prepared: Prepared, rows: Any, poolings: Iterable[Pooling], *, batch_size: int
) -> dict[Pooling, Floats]:
    """Run the model on texts.

    Args:
        prepared: the model in evaluation mode, from :func:`toughen.huggingface.pretrained.load_frozen`.
        rows: a dataset of N texts, or pairs of texts.
        poolings: those asked about; ``model`` is what enters the last layer of the model's own head, whichever it is.
        batch_size: texts per pass.

    Returns:
        [N, width] by pooling; one that this model cannot have is left out.
    """
    tokens = tokenise(rows, prepared.tokenizer, max_length=prepared.max_length)
    order = np.argsort(-numbers_of(tokens, "length"), kind="stable")
    names = [name for name in prepared.tokenizer.model_input_names if name in tokens.column_names]
    inputs, collate = tokens.select_columns(names), Collator(prepared.tokenizer, max_length=prepared.max_length)
    device = next(prepared.model.parameters()).device
    found: dict[Pooling, list[Floats]] = {}
    with torch.inference_mode(), _Watched(prepared.model) as watched:
        pools = _pools(prepared.model, poolings)
        for start in range(0, len(order), batch_size):
            columns = inputs[order[start : start + batch_size].tolist()]
            batch = collate([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
            for name, vectors in watched.vectors({k: v.to(device) for k, v in batch.items()}, pools).items():
                found.setdefault(name, []).append(vectors.double().cpu().numpy())
    back = np.argsort(order, kind="stable")
    return {name: np.concatenate(parts)[back] for name, parts in found.items()}


def _pools(model: Any, poolings: Iterable[Pooling]) -> dict[Pooling, Pool | None]:
    """Return what makes one vector of the tokens, by pooling; None for the model's own head."""
    pools: dict[Pooling, Pool | None] = {}
    for name in poolings:
        if name == "model":
            pools[name] = None
        elif name != "cls" or first_token_sees(model.base_model):
            pools[name] = Pool(name, int(model.config.hidden_size))
    return pools


class _Watched:
    """A classifier of which is seen what enters its last layer, and the last states of its encoder."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._seen: dict[str, Tensor] = {}

    def __enter__(self) -> _Watched:
        last = output_layer(self._model)
        self._hooks = [self._model.base_model.register_forward_hook(self._keep_states)]
        self._hooks += [] if last is None else [last.register_forward_pre_hook(self._keep_entered)]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def vectors(self, batch: Mapping[str, Tensor], pools: Mapping[Pooling, Pool | None]) -> dict[Pooling, Tensor]:
        """Return [B, width] by pooling of a batch of token ids [B, T]."""
        self._model(**batch)
        mask = batch["attention_mask"].bool()
        found: dict[Pooling, Tensor] = {}
        for name, pool in pools.items():
            if pool is not None:
                found[name] = pool((self._seen["states"],), mask)
            elif "entered" in self._seen:
                found[name] = last_vectors(self._seen["entered"], mask)
        return found

    def _keep_states(self, _module: nn.Module, _args: Any, output: Any) -> None:
        self._seen["states"] = output[0]

    def _keep_entered(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        self._seen["entered"] = args[0]
