"""What every adversary answers: the ascent loop, its unit and its site."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from torch import Tensor

from toughen.engine.choices import AUTO_RADIUS, Norm, Radius, Scope, SiteUnit
from toughen.settings import require, setting

if TYPE_CHECKING:
    from toughen.engine.step import Step


SITE = re.compile(r"embeddings|layer [1-9][0-9]*")


class Teach(NamedTuple):
    """A pass whose loss [B] is back-propagated into the parameters now; answered with the gradient at ``leaf``."""

    loss: Tensor
    leaf: Tensor | None = None
    clean: bool = True
    """Whether this is the unperturbed batch's pass (the log keeps its terms apart)."""


class Search(NamedTuple):
    """A pass that only asks for the gradient of its loss [B] at ``leaf``; parameter gradients stay untouched."""

    loss: Tensor
    leaf: Tensor
    kept: bool = False
    """Whether the pass is the clean one that is kept for the joint backward (its graph survives)."""


Ascent = Generator[Teach | Search, Tensor, Tensor]
"""Yields passes, receives each pass's gradient at its leaf (float32, of the sum over examples), returns delta."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When an adversary acts: from an optimiser step on, at every n-th one."""

    start_step: int = setting(0, "optimiser steps to train without the adversary first")
    every: int = setting(1, "act at every n-th optimiser step only; the steps between are without the adversary")

    def __post_init__(self) -> None:
        require(self.start_step >= 0, "adversary.start_step", self.start_step, "must not be negative")
        require(self.every >= 1, "adversary.every", self.every, "must be at least 1")

    def acts(self, updates: int) -> bool:
        """Whether the adversary acts after so many optimiser steps."""
        since = updates - self.start_step
        return since >= 0 and since % self.every == 0


@dataclass(frozen=True, kw_only=True)
class Adversary(Timing):
    """What every adversary in embedding space shares: the ascent loop, its unit and its site.

    delta <- start;  repeat { g <- gradient of the climbed loss;  delta <- project(delta + step_size * direction(g)) }

    All lengths (radius, step_size, ...) are in one unit. ``site``: times the mean L2 norm of a token where the
    perturbation is added: of the rows of the input-embedding table, or of the output of layer k, measured once on the
    weights that training starts with. ``per-token``: that times sqrt(tokens of the text), so that a long text's tokens
    move as far as a short one's (with linf the same as ``site``). ``relative``: times the mean norm of the embedding
    table's rows at any site, which at a layer is several times smaller. ``absolute``: the site's own units. Norms are
    per example over (tokens, width); delta is exactly 0 on padding. An example whose gradient is not finite gets
    delta 0.

    ``radius: auto`` is 0.2 times a factor (linf: 0.002 times it) that the engine moves after every optimiser step, so
    that a fifth of the right answers are turned (see :class:`toughen.engine.radius.AutoRadius`). It multiplies all
    lengths: a ``step_size`` of 0.1 stays half of the radius, however large that is now.
    """

    radius: Radius = setting(
        0.2, "L2 norm of the perturbation per text (largest coordinate with linf); auto = adjusts itself while training"
    )
    radius_unit: SiteUnit = setting(
        "site",
        "site = times the mean norm of a token there; per-token = that times sqrt(tokens of the text); relative = "
        "times the mean embedding-row norm at any site; absolute = the site's own units",
    )
    site: str = setting("embeddings", "where the perturbation is added: embeddings, or 'layer k' (k from 1)")
    special_tokens: bool = setting(True, "perturb special tokens ([CLS], </s>, ...) too")
    share: float = setting(1.0, "share of each micro-batch's rows that it acts on, another random choice every time")

    scope: ClassVar[Scope]
    norm: ClassVar[Norm]
    replaces_task: ClassVar[bool] = True
    label_free: ClassVar[bool] = False
    differentiates_twice: ClassVar[bool] = False
    keeps_graph: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.radius == "auto" or not isinstance(self.radius, str)
        require(known, "adversary.radius", self.radius, "must be a number or auto")
        require(self.reach >= 0, "adversary.radius", self.radius, "must not be negative")
        require(0 < self.share <= 1, "adversary.share", self.share, "must be above 0 and at most 1")
        require(
            bool(SITE.fullmatch(self.site)), "adversary.site", self.site, "must be embeddings or 'layer k' (k >= 1)"
        )

    @property
    def reach(self) -> float:
        """The radius as a number; under ``auto`` the one that the engine scales."""
        return AUTO_RADIUS[self.norm] if isinstance(self.radius, str) else self.radius

    def ascend(self, step: Step) -> Ascent:
        """Find the perturbation of this micro-batch.

        Yields ``Teach`` and ``Search`` passes; returns delta [B, T, D], float32, detached.
        """
        raise NotImplementedError

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """Return the loss [B] at delta, the one that joins the backward which communicates."""
        raise NotImplementedError

    def terms(self, step: Step, delta: Tensor) -> dict[str, Tensor]:
        """Return all losses [B] that join that backward, by the name they have in the log; :meth:`term` among them."""
        return {"adversarial": self.term(step, delta)}
