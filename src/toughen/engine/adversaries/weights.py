"""Adversaries in weight space: SAM, ASAM, AWP. They say where each weight moves; the engine lends it and restores."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from toughen.engine.adversaries.base import Timing
from toughen.engine.choices import Unit
from toughen.settings import require, setting

TINY = 1e-12
_CACHED = 1 << 20
"""Elements of a piece: three in float32 are 12 megabytes."""


@dataclass(frozen=True, kw_only=True)
class WeightAdversary(Timing, ABC):
    """What every adversary in weight space shares.

    A first pass gives the gradient g of this micro-batch's mean loss at the weights w; the loss that teaches is taken
    at w + move(w, g). The gradient is that of the micro-batch and, under DDP, of the process alone (the "m-sharpness"
    of the SAM paper): a move spans the rows of a micro-batch, so no two splits of a batch give the same. Weights come
    back bitwise, in any case. A gradient that is not finite (an fp16 overflow) moves nothing.
    """

    radius: float = setting(0.05, "length of the move")

    clean: ClassVar[bool] = False
    """Whether the gradient at the unmoved weights teaches too."""
    label_free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.radius > 0, "adversary.radius", self.radius, "must be above 0")

    def selects(self, name: str) -> bool:
        """Whether the weight of this name may move."""
        return True

    @abstractmethod
    def move(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], into: Sequence[Tensor]) -> Tensor:
        """Write the moved weights into ``into``, and return the L2 norm of the whole move.

        Args:
            weights: left alone.
            gradients: of any common scale; left alone by adversaries that are ``clean``.
            into: in the weights' shapes; may be the gradients themselves.
        """


@dataclass(frozen=True, kw_only=True)
class Sam(WeightAdversary):
    """Sharpness-aware minimisation: learn from the worst weights nearby instead of the present ones.

    move = radius * g / ||g||_2, over all trainable weights together.

    Source: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization" (2010.01412).
    Cost: 6 units (plain: 3) and the memory of one more copy of the trainable weights.
    """

    name: Literal["sam"] = "sam"

    def move(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], into: Sequence[Tensor]) -> Tensor:
        """See :class:`WeightAdversary`."""
        return _along(weights, gradients, into, self.radius)


@dataclass(frozen=True, kw_only=True)
class Asam(WeightAdversary):
    """Adaptive SAM: the ball is stretched by each weight's own size, so that rescaling the net changes nothing.

    T = |w| + eta;  move = radius * T^2 g / ||T g||_2.

    Source: Kwon et al., "ASAM: Adaptive Sharpness-Aware Minimization" (2102.11600). Its radius is some ten times SAM's.
    Deviation: the released code does not stretch the ball along biases.
    Cost: 6 units and the memory of one more copy of the trainable weights.
    """

    name: Literal["asam"] = "asam"
    radius: float = setting(0.5, "length of the move, in units of the weights' own sizes")
    eta: float = setting(0.01, "added to each weight's size")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.eta >= 0, "adversary.eta", self.eta, "must not be negative")

    def move(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], into: Sequence[Tensor]) -> Tensor:
        """See :class:`WeightAdversary`."""
        once, twice = [], []
        for w, g in _pieces(weights, gradients):
            size = w.abs().add_(self.eta)
            once.append(g.mul_(size).norm())
            twice.append(g.mul_(size).norm())
        factor = _factor(torch.stack(once).norm(), self.radius)
        length: Tensor = (factor * torch.stack(twice).norm()).nan_to_num(0.0)
        _write(weights, gradients, into, [factor] * len(gradients))
        return length


@dataclass(frozen=True, kw_only=True)
class Awp(WeightAdversary):
    """Adversarial weight perturbation: learn at the present weights and at selected weights moved uphill.

    L(w) + L(w + move);  relative: move_l = radius * ||w_l|| g_l / ||g_l|| for each selected tensor l;
    absolute: move = radius * g / ||g||_2 over the selected tensors together, which is SAM's on some of the weights.

    Source: Wu et al., "Adversarial Weight Perturbation Helps Robust Generalization" (2004.05884), there on top of
    adversarial inputs; in the form of text competitions the clean loss is kept and the inputs are left alone.
    ``clean: false`` learns at the moved weights only. Deviation: the released code leaves one-dimensional weights
    (norms) alone, which ``only: weight`` does not. Cost: 6 units and the memory of two more copies of the trainable
    weights, with ``clean: false`` of one.
    """

    name: Literal["awp"] = "awp"
    radius: float = setting(0.005, "length of the move: times each tensor's own norm (relative), or absolute")
    radius_unit: Unit = setting("relative", "relative = per tensor, times its norm; absolute = over all together")
    only: str = setting("weight", "regular expression found in the names of the weights that move")
    clean: bool = setting(True, "learn at the unmoved weights too")  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.only)
        except re.error as error:
            require(False, "adversary.only", self.only, f"must be a regular expression ({error})")

    def selects(self, name: str) -> bool:
        """See :class:`WeightAdversary`."""
        return re.search(self.only, name) is not None

    def move(self, weights: Sequence[Tensor], gradients: Sequence[Tensor], into: Sequence[Tensor]) -> Tensor:
        """See :class:`WeightAdversary`."""
        if self.radius_unit == "absolute":
            return _along(weights, gradients, into, self.radius)
        norms = torch.stack(torch._foreach_norm(list(gradients)))
        factors = _factor(norms, self.radius) * torch.stack(torch._foreach_norm(list(weights)))
        _write(weights, gradients, into, list(factors))
        length: Tensor = (factors * norms).nan_to_num(0.0).norm()
        return length


InWeights = Sam | Asam | Awp
"""The adversaries of this module."""


def _along(weights: Sequence[Tensor], gradients: Sequence[Tensor], into: Sequence[Tensor], radius: float) -> Tensor:
    """Move by radius * g / ||g||_2, the norm over all tensors together; by 0 if that is 0 or not finite."""
    norm = _norm(gradients)
    factor = _factor(norm, radius)
    _write(weights, gradients, into, [factor] * len(gradients))
    return (factor * norm).nan_to_num(0.0)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return norm


def _factor(norm: Tensor, radius: float) -> Tensor:
    """Return radius / norm, NaN where the norm is not finite."""
    return torch.where(norm.isfinite(), radius / norm.clamp(min=TINY), torch.nan)


def _write(
    weights: Sequence[Tensor], directions: Sequence[Tensor], into: Sequence[Tensor], factors: Sequence[Tensor]
) -> None:
    """Write weight + factor * direction; the weight where the factor is NaN, as it is if a number is not finite."""
    for weight, direction, moved, factor in _pieces(weights, directions, into, factors):
        if _on_cpu(factor) and factor.isfinite():  # elsewhere to ask would be to wait
            torch.addcmul(weight, direction, factor, out=moved)
            continue
        torch.nan_to_num(direction, 0.0, 0.0, 0.0, out=moved)  # infinity times 0 would be NaN
        torch.addcmul(weight, moved, factor.nan_to_num(0.0), out=moved)


def _pieces(*lists: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Go through lists of tensors together; on a CPU large ones in pieces, which stay in its cache meanwhile.

    Numbers go with every piece of theirs. A GPU gets whole tensors.
    """
    for whole in zip(*lists, strict=True):
        first = whole[0]
        if not _on_cpu(first) or first.numel() <= _CACHED or not all(t.is_contiguous() for t in whole):
            yield whole
            continue
        for start in range(0, first.numel(), _CACHED):
            yield tuple(t.view(-1)[start : start + _CACHED] if t.dim() else t for t in whole)


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"
