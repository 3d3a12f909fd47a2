"""The set in which one step's perturbations live: which positions, which norm, which unit."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from toughen.engine.choices import Direction, Norm, Radius, Scope, SiteUnit
from toughen.engine.randomness import Noise
from toughen.engine.site import Site

TINY = 1e-8
TYPICAL = 16
"""Tokens of the text whose radius is the scale of ``radius: auto`` where the unit is per token."""


class Perturbing(Protocol):
    """What a space asks of the adversary whose perturbations live in it."""

    @property
    def scope(self) -> Scope:
        """Whether each example has a perturbation, or each token of the vocabulary."""

    @property
    def radius_unit(self) -> SiteUnit:
        """The unit of its lengths."""

    @property
    def radius(self) -> Radius:
        """The size of a perturbation."""

    @property
    def norm(self) -> Norm:
        """The norm that it is measured by."""

    @property
    def special_tokens(self) -> bool:
        """Whether special tokens are perturbed too."""


class Space:
    """Arithmetic on perturbations of one micro-batch.

    Perturbations are kept as a *leaf*: [B, T, D] with ``scope: example``, or a table [B*T, D] with one row per distinct
    token id (unused rows stay 0) with ``scope: vocabulary``. :meth:`expand` turns a leaf into delta [B, T, D], so
    autograd itself sums the gradient of tokens that share a row. Norms run over one example or over the whole table.

    Attributes:
        length: what one unit of the adversary's lengths is, in embedding units: a number, or [B, 1, 1] ([1, 1]) where
            it depends on the text.
        zeroed: [B] bool, the examples whose perturbation was set to 0, since a gradient of theirs was not finite.
    """

    def __init__(
        self,
        adversary: Perturbing,
        site: Site,
        ids: Tensor,
        keep: Tensor,
        noise: Noise,
        factor: Tensor | float = 1.0,
    ) -> None:
        """Prepare.

        Args:
            adversary: says scope and unit.
            site: says width, dtype, unit length and padding row.
            ids: [B, T] token ids.
            keep: [B, T] bool, False where nothing may be perturbed (padding, perhaps special tokens).
            noise: source of random starts.
            factor: [] on all lengths, what ``radius: auto`` is at now.
        """
        self._noise = noise
        self.zeroed = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        self.length: Tensor | float = (1.0 if adversary.radius_unit == "absolute" else site.unit) * factor
        self._keep = keep.unsqueeze(-1).to(site.dtype)
        self._rows: Tensor | None = None
        self._active = self._keep
        self._dims: tuple[int, ...] = (1, 2)
        if adversary.scope == "vocabulary":
            if site.padding_idx is not None:
                self._keep = self._keep * (ids != site.padding_idx).unsqueeze(-1)
            self._rows = _row_of_each_token(ids)
            used = torch.zeros(ids.numel(), 1, dtype=site.dtype, device=ids.device)
            self._active = used.scatter_reduce(0, self._rows.view(-1, 1), self._keep.view(-1, 1), "amax")
            self._dims = (0, 1)
        self._shape = (*self._active.shape[:-1], site.width)
        if adversary.radius_unit == "per-token" and adversary.norm == "l2":
            self.length = self.length * (self._tokens() / (TYPICAL if adversary.radius == "auto" else 1)).sqrt()

    def _tokens(self) -> Tensor:
        """Count the tokens that may move, at least 1: [B, 1, 1], or [1, 1] distinct ones of the whole batch."""
        return self._active.sum(self._dims, keepdim=True).clamp(min=1)

    def zeros(self) -> Tensor:
        """Return the zero leaf, requiring grad."""
        return torch.zeros(self._shape, dtype=self._keep.dtype, device=self._keep.device).requires_grad_()

    def uniform(self, size: float, norm: Norm) -> Tensor:
        """Return a random leaf: U(-1, 1) size/sqrt(L_i D) per coordinate (l2; L_i tokens), or U(-size, size) (linf)."""
        start = self._noise("uniform", self.zeros().detach()) * self._active * (size * self.length)
        if norm == "l2":
            start = start / (self._tokens() * self._shape[-1]).sqrt()
        return start.requires_grad_()

    def normal(self, size: float) -> Tensor:
        """Return a random leaf: N(0, size^2) per coordinate."""
        start = self._noise("normal", self.zeros().detach()) * self._active * (size * self.length)
        return start.requires_grad_()

    def random_direction(self, length: float) -> Tensor:
        """Return a leaf of L2 norm ``length`` in a uniformly random direction."""
        normal = self._noise("normal", self.zeros().detach()) * self._active
        return self.moved(self.zeros(), normal, length, "l2")

    def expand(self, leaf: Tensor) -> Tensor:
        """Turn a leaf into delta [B, T, D], exactly 0 where nothing may be perturbed."""
        spread = leaf if self._rows is None else leaf[self._rows]
        return spread * self._keep

    def moved(self, leaf: Tensor, gradient: Tensor, size: float, direction: Direction) -> Tensor:
        """Return leaf + size * direction(gradient); 0 for an example whose gradient is not finite.

        A zero gradient moves nothing: denominators are clamped at 1e-8.
        """
        norm = gradient.norm(dim=self._dims, keepdim=True)
        if direction == "sign":
            unit = gradient.sign()
        elif direction == "max":
            unit = gradient / gradient.abs().amax(self._dims, keepdim=True).clamp(min=TINY)
        else:
            unit = gradient / norm.clamp(min=TINY)
        moved = leaf.detach() + (size * self.length) * unit
        known = norm.isfinite()
        self.zeroed = self.zeroed | ~known.flatten()  # one norm of a whole table is that of every example
        return torch.where(known, moved, 0.0).requires_grad_()

    def project_leaf(self, leaf: Tensor, radius: float, norm: Norm) -> Tensor:
        """Return the nearest leaf in the ball of this radius around 0."""
        bound: Any = radius * self.length
        leaf = leaf.detach()
        if norm == "linf":
            return leaf.clamp(-bound, bound).requires_grad_()
        size = leaf.norm(dim=self._dims, keepdim=True)
        return torch.where(size > bound, leaf * (bound / size.clamp(min=TINY)), leaf).requires_grad_()


def _row_of_each_token(ids: Tensor) -> Tensor:
    """Number the distinct ids 0, 1, ... in sorted order: [B, T] -> [B, T]; unlike ``unique`` without a device sync."""
    ordered, order = ids.flatten().sort(stable=True)
    new = torch.ones_like(ordered)
    new[1:] = (ordered[1:] != ordered[:-1]).to(new.dtype)
    rows = torch.empty_like(ordered)
    rows[order] = new.cumsum(0) - 1
    return rows.view_as(ids)
