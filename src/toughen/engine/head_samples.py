"""Multi-sample dropout: the last linear layer once per dropout mask, in one pass through the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from toughen.errors import InputError


class HeadSamples:
    """Repeats what enters a model's last linear layer, each time under another draw of the dropout before it.

    The logits of a pass inside :meth:`drawn` are [count * B, ...], one block of B rows per draw.

    Attributes:
        count: dropout masks per pass.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        """Find the head and register the hooks.

        Raises:
            InputError: if the model has no linear layer outside its encoder that makes the logits.
        """
        self.count = count
        self._name = type(model).__name__
        outside = list(_outside_encoder(model))
        linear = output_layer(model)
        dropouts = [m for m in outside if isinstance(m, nn.Dropout)]
        if linear is None:
            raise InputError(
                f"{self._name} has no linear layer of its own that makes the logits, which objective.dropout_samples "
                "repeats; set objective.dropout_samples to 1."
            )
        self._active = False
        self._last: tuple[nn.Dropout, Tensor, Tensor] | None = None
        self._handles = [m.register_forward_hook(self._remember) for m in dropouts]
        self._handles.append(linear.register_forward_pre_hook(self._repeat))

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Repeat in the one pass made inside."""
        self._active = True
        try:
            yield
            if self._active:
                raise InputError(
                    f"{self._name} made its logits without its last linear layer, which objective.dropout_samples "
                    "repeats; set objective.dropout_samples to 1."
                )
        finally:
            self._active, self._last = False, None

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _remember(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if self._active and isinstance(module, nn.Dropout):
            self._last = (module, args[0], output)

    def _repeat(self, _linear: nn.Module, args: tuple[Any, ...]) -> Any:
        if not self._active:
            return None
        (entered,) = args
        if self._last is None or self._last[2] is not entered or self._last[0].p == 0:
            raise InputError(
                f"{self._name} has no dropout above 0 right before its last linear layer, which "
                "objective.dropout_samples needs; set a dropout for the head, or objective.dropout_samples to 1."
            )
        dropout, undropped, _ = self._last
        self._active = False  # the further draws are not remembered
        return (torch.cat([entered, *(dropout(undropped) for _ in range(self.count - 1))]), *args[1:])


def output_layer(model: nn.Module) -> nn.Linear | None:
    """Return the last linear layer outside a model's encoder that has one output per label, or None."""
    classes = int(getattr(model.config, "num_labels", 0))
    linear = [m for m in _outside_encoder(model) if isinstance(m, nn.Linear) and m.out_features == classes]
    return linear[-1] if linear else None


def last_vectors(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return [B, D] of what entered `output_layer`; a decoder's has a vector per token, and reads the last one.

    Args:
        vectors: [B, D] or [B, T, D].
        mask: [B, T], true on tokens that are no padding.
    """
    if vectors.dim() == 2:
        return vectors
    mask = mask.to(vectors.device)
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
    return vectors[torch.arange(len(last), device=last.device), last]


def _outside_encoder(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of the head."""
    inside: set[int] = set()
    base = getattr(model, getattr(model, "base_model_prefix", "") or "-", None)
    if isinstance(base, nn.Module) and base is not model:
        inside = {id(m) for m in base.modules()}
    for module in model.modules():
        if id(module) not in inside:
            yield module
