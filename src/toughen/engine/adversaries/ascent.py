"""Adversaries that climb the loss of the labels: FGM, FGSM, PGD, FreeLB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from toughen.engine.adversaries.base import Adversary, Ascent, Search, Teach
from toughen.engine.choices import Direction, Loss, Norm, Radius, Scope
from toughen.settings import require, setting

if TYPE_CHECKING:
    from toughen.engine.step import Step


@dataclass(frozen=True, kw_only=True)
class _CleanFirst(Adversary):
    """Clean pass first; its free gradient is the first ascent direction; one last pass at delta teaches."""

    scope: Scope = setting("example", "example = a norm per text; vocabulary = table rows, one norm per micro-batch")  # type: ignore[misc]
    loss: Loss = setting("objective", "what the adversarial pass carries: the whole objective or the task loss alone")
    weight: float = setting(1.0, "weight of the adversarial loss beside the clean one")

    direction: ClassVar[Direction] = "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.reach > 0, "adversary.radius", self.radius, "must be above 0")
        require(self.weight > 0, "adversary.weight", self.weight, "must be above 0")
        if self.scope == "vocabulary":
            rule = "must be embeddings with scope: vocabulary, because only the embedding table has rows to share"
            require(self.site == "embeddings", "adversary.site", self.site, rule)

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.zeros()
        gradient = yield Teach(step.clean(space.expand(leaf)), leaf)
        return space.expand(space.moved(leaf, gradient, self.reach, self.direction))

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """See :class:`Adversary`."""
        return self.weight * step.loss(self.loss, delta)


@dataclass(frozen=True, kw_only=True)
class Fgm(_CleanFirst):
    """Fast gradient method: one L2 step of length radius along the clean pass's gradient.

    delta = radius * g / ||g||_2;  L(e) + weight * L(e + delta).

    Source: Miyato et al., "Adversarial Training Methods for Semi-Supervised Text Classification" (1605.07725).
    Deviation: the paper normalises its embeddings, here the relative unit plays that part. The clean backward yields
    the gradient for nothing. Cost: 6 units (plain: 3). Like PGD with one step.
    """

    name: Literal["fgm"] = "fgm"
    norm: ClassVar[Norm] = "l2"


@dataclass(frozen=True, kw_only=True)
class Fgsm(_CleanFirst):
    """Fast gradient sign method: every coordinate moves by radius.

    delta = radius * sign(g);  L(e) + weight * L(e + delta).

    Source: Goodfellow et al., "Explaining and Harnessing Adversarial Examples" (1412.6572), there on pixels. The radius
    bounds each coordinate, so the same number is far larger than FGM's: sqrt(tokens x width) times in L2 norm.
    Cost: 6 units.
    """

    name: Literal["fgsm"] = "fgsm"
    radius: Radius = setting(0.002, "largest change of any coordinate; auto = adjusts itself while training")
    norm: ClassVar[Norm] = "linf"
    direction: ClassVar[Direction] = "sign"


@dataclass(frozen=True, kw_only=True)
class Pgd(_CleanFirst):
    """Projected gradient descent: several small steps, pulled back into the ball after each.

    delta <- project(delta + step_size * g / ||g||_2)   (linf: step_size * sign(g), clamped)

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks" (1706.06083); the text
    listings start at zero and add the clean loss (``clean: true``), the paper starts at random and trains on the
    perturbed batch alone (``start: random, clean: false``). With a zero start and the clean pass, the first gradient is
    the clean pass's own (of the whole objective) and costs nothing. The ball matters only if steps x step_size exceeds
    the radius. Cost: 3 + 2 (steps - 1) + 3 units around plain cross-entropy.
    """

    name: Literal["pgd"] = "pgd"
    step_size: float = setting(0.1, "length of each step")
    steps: int = setting(3, "ascent steps")
    norm: Norm = setting("l2", "l2 or linf: the ball and the direction")  # type: ignore[misc]
    start: Literal["zero", "random"] = setting("zero", "where the ascent starts")
    clean: bool = setting(True, "learn from the unperturbed batch too (listings: true, Madry: false)")
    search_loss: Loss = setting("task", "what the search passes climb: the task loss (one copy) or the whole objective")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.step_size > 0, "adversary.step_size", self.step_size, "must be above 0")
        require(self.steps >= 1, "adversary.steps", self.steps, "must be at least 1")

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.zeros() if self.start == "zero" else space.uniform(self.reach, self.norm)
        gradient: Tensor | None = None
        if self.clean and self.start == "zero":
            gradient = yield Teach(step.clean(space.expand(leaf)), leaf)
        elif self.clean:
            yield Teach(step.clean())
        direction: Direction = "l2" if self.norm == "l2" else "sign"
        for _ in range(self.steps):
            if gradient is None:
                gradient = yield Search(step.loss(self.search_loss, space.expand(leaf)), leaf)
            moved = space.moved(leaf, gradient, self.step_size, direction)
            leaf, gradient = space.project_leaf(moved, self.reach, self.norm), None
        return space.expand(leaf)


@dataclass(frozen=True, kw_only=True)
class FreeLb(Adversary):
    """FreeLB: every ascent pass teaches, each with weight 1/steps; no clean pass.

    (1/K) sum_k L(e + delta_k), delta_0 ~ U(-1, 1) start_size / sqrt(L_i D),
    delta_{k+1} = project(delta_k + step_size * g / ||g||_2)   (linf: g / max|g|, start U(-start_size, start_size))

    Source: Zhu et al., "FreeLB: Enhanced Adversarial Training for Natural Language Understanding" (1909.11764).
    Deviations from the released code: ``steps`` counts the passes (the code makes one more), and there is no update
    after the last. From the paper: each pass draws fresh dropout, where the paper keeps one mask for a
    step. Cost: 3 units per step.
    """

    name: Literal["freelb"] = "freelb"
    radius: Radius = setting(0.2, "ball that delta is pulled back into; 0 = none; auto = adjusts itself while training")
    step_size: float = setting(0.1, "length of each step")
    steps: int = setting(3, "passes, each of which teaches")
    start_size: float = setting(0.2, "size of the random start; 0 starts at zero")
    norm: Norm = setting("l2", "l2 or linf: the ball, the start and the direction")  # type: ignore[misc]
    scope: ClassVar[Scope] = "example"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.step_size > 0, "adversary.step_size", self.step_size, "must be above 0")
        require(self.steps >= 1, "adversary.steps", self.steps, "must be at least 1")
        require(self.start_size >= 0, "adversary.start_size", self.start_size, "must not be negative")
        if self.radius == "auto":
            rule = "must be at least 2 with radius auto, which compares the first pass with the last"
            require(self.steps >= 2, "adversary.steps", self.steps, rule)
            rule = (
                f"must be at most {self.reach} with radius auto and norm {self.norm} (a start as large as the radius)"
            )
            require(self.start_size <= self.reach, "adversary.start_size", self.start_size, rule)

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.uniform(self.start_size, self.norm)
        for _ in range(self.steps - 1):
            gradient = yield Teach(self.term(step, space.expand(leaf)), leaf, clean=False)
            moved = space.moved(leaf, gradient, self.step_size, "l2" if self.norm == "l2" else "max")
            leaf = space.project_leaf(moved, self.reach, self.norm) if self.reach else moved
        return space.expand(leaf)

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """See :class:`Adversary`."""
        return step.objective(delta) / self.steps


Climbing = Fgm | Fgsm | Pgd | FreeLb
"""The adversaries of this module."""
