"""Keeping an average of the weights: who holds it, when it moves, and how it is lent to the model for scoring."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from toughen.engine.averages import Average, CheckpointSoup, Ema, Swa
from toughen.errors import InputError


class WeightAverage(ABC):
    """A float32 average of a model's trainable weights, with a copy of its floating buffers.

    Attributes:
        updates: weights that went into it so far.
    """

    def __init__(self, model: nn.Module, keep_on: Literal["model", "cpu"] = "model") -> None:
        # named_parameters() lists tied weights once.
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad and p.is_floating_point()]
        if not named:
            raise InputError("the model has no trainable weights to average; unfreeze some or set average: none.")
        self._names = [name for name, _ in named]
        self._shadow = [_wide_copy(p.detach().cpu() if keep_on == "cpu" else p.detach()) for _, p in named]
        self._buffers = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
        self._buffer_copies = {name: b.detach().clone() for name, b in self._buffers.items()}
        self._parameters = [p for _, p in named]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the current weights in. Call it after each optimiser step that was really taken."""
        self._take_in([p.detach() for p in self._parameters])
        for name, buffer in self._buffers.items():
            self._buffer_copies[name].copy_(buffer)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the model; the raw weights come back in any case when the block is left."""
        with torch.no_grad():
            raw = [p.detach().clone() for p in self._parameters]
            raw_buffers = {name: b.detach().clone() for name, b in self._buffers.items()}
            self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                _copy_all(self._parameters, raw)
                for name, buffer in self._buffers.items():
                    buffer.copy_(raw_buffers[name])

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Overwrite the model's weights and floating buffers with the average."""
        _copy_all(self._parameters, self._shadow)
        for name, buffer in self._buffers.items():
            buffer.copy_(self._buffer_copies[name])

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the averaged weights, on the model's device, by the names they have in ``model`` (or a wrapper)."""
        average = {id(p): s.to(p.device) for p, s in zip(self._parameters, self._shadow, strict=True)}
        return {name: average[id(p)] for name, p in model.named_parameters() if id(p) in average}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average by parameter name (float32), its buffers and its counters, as tensors."""
        state = {f"average.{name}": tensor for name, tensor in zip(self._names, self._shadow, strict=True)}
        state |= {f"buffer.{name}": tensor for name, tensor in self._buffer_copies.items()}
        return state | {f"counter.{name}": torch.tensor(value) for name, value in self._counters().items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a saved state.

        Raises:
            ValueError: if it is of another model.
        """
        expected = set(self.state_dict())
        if set(state) != expected:
            raise ValueError(f"this average is of another model: {sorted(expected ^ set(state))[:3]} differ")
        for name, tensor in zip(self._names, self._shadow, strict=True):
            tensor.copy_(state[f"average.{name}"])
        for name, tensor in self._buffer_copies.items():
            tensor.copy_(state[f"buffer.{name}"])
        self._load_counters({name: int(state[f"counter.{name}"]) for name in self._counters()})

    @property
    @abstractmethod
    def decay(self) -> float:
        """The share of the old average that the last update kept."""

    @abstractmethod
    def _take_in(self, weights: list[Tensor]) -> None: ...

    def _counters(self) -> dict[str, int]:
        return {"updates": self.updates}

    def _load_counters(self, counters: dict[str, int]) -> None:
        self.updates = counters["updates"]

    def _lerp(self, weights: list[Tensor], share: float) -> None:
        """Move the shadow towards the weights by ``share``, in one fused call."""
        wide = [w.to(s.device, s.dtype) for w, s in zip(weights, self._shadow, strict=True)]
        torch._foreach_lerp_(self._shadow, wide, share)


class EmaAverage(WeightAverage):
    """See :class:`toughen.engine.averages.Ema`."""

    def __init__(self, config: Ema, model: nn.Module) -> None:
        super().__init__(model, config.keep_on)
        self._config = config

    @property
    def decay(self) -> float:
        """min(decay, (1+n)/(10+n)) at update n, or the constant."""
        n = max(self.updates, 1)
        return min(self._config.decay, (1 + n) / (10 + n)) if self._config.warmup else self._config.decay

    def _take_in(self, weights: list[Tensor]) -> None:
        self.updates += 1
        self._lerp(weights, 1 - self.decay)


class SwaAverage(WeightAverage):
    """See :class:`toughen.engine.averages.Swa`; before the first weights join, it follows the raw ones.

    Attributes:
        steps: optimiser steps seen.
    """

    def __init__(self, config: Swa, model: nn.Module, total_steps: int) -> None:
        super().__init__(model, config.keep_on)
        self._every = config.every
        self.start_step = swa_start(config, total_steps)
        self.steps = 0

    @property
    def decay(self) -> float:
        """1 - 1/n after n weights have joined; 0 before the first."""
        return 1 - 1 / max(self.updates, 1)

    def _take_in(self, weights: list[Tensor]) -> None:
        self.steps += 1
        since = self.steps - self.start_step
        joins = since > 0 and since % self._every == 0
        self.updates += joins
        if joins or self.updates == 0:
            self._lerp(weights, 1 - self.decay)

    def _counters(self) -> dict[str, int]:
        return {"updates": self.updates, "steps": self.steps}

    def _load_counters(self, counters: dict[str, int]) -> None:
        super()._load_counters(counters)
        self.steps = counters["steps"]


def swa_start(config: Swa, total_steps: int) -> int:
    """Return the optimiser step after which averaging starts; at least one weight always joins."""
    return max(0, min(round(config.start * total_steps), total_steps - config.every))


def make_average(config: Average, model: nn.Module, *, total_steps: int | None = None) -> WeightAverage:
    """Start an average of this model's weights.

    Args:
        config: which average.
        model: the model, bare or wrapped (DDP); its trainable parameters are followed.
        total_steps: optimiser steps of the whole training; SWA starts after a share of them.

    Raises:
        InputError: if SWA is asked for without ``total_steps``, or nothing is trainable.
    """
    if isinstance(config, Ema):
        return EmaAverage(config, model)
    if isinstance(config, CheckpointSoup):
        raise InputError(
            "average: checkpoint-soup averages scored checkpoints, which only a Trainer has; use ToughTrainer, or "
            "average: ema in a loop of your own."
        )
    if total_steps is None:
        raise InputError("average: swa starts after a share of the training; give make_average(total_steps=...).")
    return SwaAverage(config, model, total_steps)


def _wide_copy(weight: Tensor) -> Tensor:
    return weight.clone() if weight.dtype == torch.float64 else weight.float().clone()


def _copy_all(targets: list[nn.Parameter], sources: list[Tensor]) -> None:
    torch._foreach_copy_([t.detach() for t in targets], sources)
