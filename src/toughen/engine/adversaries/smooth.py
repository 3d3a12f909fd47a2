"""Adversaries that make the prediction smooth around a text: VAT, SMART, R-AT, the gradient penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from toughen.engine.adversaries.base import Adversary, Ascent, Search, Teach
from toughen.engine.choices import Norm, Radius, Scope
from toughen.settings import require, setting

if TYPE_CHECKING:
    from toughen.engine.step import Step


@dataclass(frozen=True, kw_only=True)
class Vat(Adversary):
    """Virtual adversarial training: the prediction must not move in the direction where it moves most. No label needed.

    L(e) + weight * KL(p(e) || p(e + delta)),  delta = radius * g / ||g||_2 after ``steps`` power iterations from
    probe_size * (a random direction); p(e) is detached.

    Source: Miyato et al., "Virtual Adversarial Training" (1704.03976), for text 1605.07725. At delta = 0 the divergence
    has no gradient, so the start must be random. All passes of a step share one dropout mask: under fresh masks the
    gradient is mostly that of the dropout. Rows without a label take part in the divergence.
    Cost: 3 + 2 steps + 3 units (one reference pass more where the objective copies the batch).
    """

    name: Literal["vat"] = "vat"
    label_free: ClassVar[bool] = True
    probe_size: float = setting(0.1, "length of the random start and of all but the last iteration")
    steps: int = setting(1, "power iterations")
    weight: float = setting(1.0, "weight of the divergence beside the clean loss")
    norm: ClassVar[Norm] = "l2"
    scope: ClassVar[Scope] = "example"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.reach > 0, "adversary.radius", self.radius, "must be above 0")
        for name in ("probe_size", "weight"):
            require(getattr(self, name) > 0, f"adversary.{name}", getattr(self, name), "must be above 0")
        require(self.steps >= 1, "adversary.steps", self.steps, "must be at least 1")

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.random_direction(self.probe_size)  # before the masks, whose draws are replayed
        with step.frozen():
            yield Teach(step.clean())
            for k in range(self.steps):
                length = self.reach if k == self.steps - 1 else self.probe_size
                gradient = yield Search(self._divergence(step, space.expand(leaf)), leaf)
                leaf = space.moved(space.zeros(), gradient, length, "l2")
        return space.expand(leaf)

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """See :class:`Adversary`."""
        with step.frozen():
            return self.weight * self._divergence(step, delta)

    def _divergence(self, step: Step, delta: Tensor) -> Tensor:
        return step.kl(step.reference, step.forward(delta))


@dataclass(frozen=True, kw_only=True)
class Smart(Adversary):
    """SMART: smoothness in a small ball, and steps that do not run away from an average of the weights.

    L(e) + weight * sKL(p(e), p(e + delta)) + bregman * sKL(p(e), p_teacher(e)),  sKL both directions, gradient through
    both predictions of this model; delta climbs sKL from N(0, start_size^2) by ``steps`` steps of
    step_size * g / max|g|, pulled back into the box |delta| <= radius after each; the teacher is the EMA of the
    weights (``average: ema``), one pass without gradient.

    Source: Jiang et al., "SMART: Robust and Efficient Fine-Tuning for Pre-trained Natural Language Models through
    Principled Regularized Optimization" (1911.03437). Deviations from the released code: the ball is real (there
    epsilon only guards a division), and the Bregman term, which the released code leaves out, is here. All passes of a
    step share one dropout mask, as for VAT; so at equal weights the Bregman term is exactly 0.
    Cost: 6 + 2 steps units, 1 more with the Bregman term (one pass more where the objective copies the batch).
    Like VAT, but symmetric, in a box, and with a proximal term.
    """

    name: Literal["smart"] = "smart"
    label_free: ClassVar[bool] = True
    replaces_task: ClassVar[bool] = False
    radius: Radius = setting(0.002, "largest change of any coordinate; auto = adjusts itself while training")
    start_size: float = setting(0.001, "standard deviation of the random start's coordinates")
    step_size: float = setting(0.002, "largest coordinate of each step")
    steps: int = setting(1, "ascent steps")
    weight: float = setting(1.0, "weight of the smoothness term beside the clean loss")
    bregman: float = setting(1.0, "weight of the divergence from the EMA teacher; 0 = off")
    norm: ClassVar[Norm] = "linf"
    scope: ClassVar[Scope] = "example"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.reach > 0, "adversary.radius", self.radius, "must be above 0")
        for name in ("start_size", "step_size", "weight"):
            require(getattr(self, name) > 0, f"adversary.{name}", getattr(self, name), "must be above 0")
        require(self.bregman >= 0, "adversary.bregman", self.bregman, "must not be negative")
        require(self.steps >= 1, "adversary.steps", self.steps, "must be at least 1")

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.project_leaf(space.normal(self.start_size), self.reach, "linf")
        with step.frozen():
            step.clean(keep=True)
            reference = step.student.detach()
            for _ in range(self.steps):
                climbed = step.symmetric_kl(reference, step.forward(space.expand(leaf)))
                gradient = yield Search(climbed, leaf)
                leaf = space.project_leaf(space.moved(leaf, gradient, self.step_size, "max"), self.reach, "linf")
        return space.expand(leaf)

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """See :class:`Adversary`."""
        with step.frozen():
            return self.weight * step.symmetric_kl(step.student, step.forward(delta))

    def terms(self, step: Step, delta: Tensor) -> dict[str, Tensor]:
        """See :class:`Adversary`."""
        terms = super().terms(step, delta)
        if self.bregman:
            with step.frozen():
                terms["bregman"] = self.bregman * step.symmetric_kl(step.student, step.teacher())
        return terms


@dataclass(frozen=True, kw_only=True)
class Rat(Adversary):
    """R-AT: R-Drop whose second pass is the adversarial one; the cheapest full stack.

    1/2 [CE(p(e)) + CE(p(e + delta))] + alpha/2 [KL(p(e) || p(e + delta)) + KL(p(e + delta) || p(e))],
    delta = radius * g / ||g||_2 with g the gradient of the clean pass's own loss; fresh dropout in each pass.

    Source: Liang et al. (2106.14448) for the pair of passes, Miyato et al. (1605.07725) for the perturbation. Not the
    method of Ni et al., "R-AT: Regularized Adversarial Training for Natural Language Understanding" (Findings of EMNLP
    2022), both of whose passes stand at the same perturbed text. ``detached: true`` takes no gradient through the clean
    side of the divergence: the clean pass then teaches at once and gives its gradient for nothing (6 units instead of
    7). Cost: 7 units (R-Drop 6, R-Drop with PGD-3 16). Use it with objective cross-entropy: it is an R-Drop of its own.
    """

    name: Literal["rat"] = "rat"
    label_free: ClassVar[bool] = True
    alpha: float = setting(1.0, "weight of the divergence between the clean and the adversarial pass (0.5 to 5)")
    detached: bool = setting(False, "no gradient through the clean side of the divergence (cheaper)")
    norm: ClassVar[Norm] = "l2"
    scope: ClassVar[Scope] = "example"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.reach > 0, "adversary.radius", self.radius, "must be above 0")
        require(self.alpha >= 0, "adversary.alpha", self.alpha, "must not be negative")

    @property
    def replaces_task(self) -> bool:  # type: ignore[override]
        """Whether the clean half was taught before, and not kept for the joint backward."""
        return self.detached

    @property
    def keeps_graph(self) -> bool:  # type: ignore[override]
        """Whether the search and the joint backward go through one and the same pass."""
        return not self.detached

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.zeros()
        clean = step.clean(space.expand(leaf), keep=not self.detached, share=0.5)
        gradient = yield Teach(clean, leaf) if self.detached else Search(clean, leaf, kept=True)
        return space.expand(space.moved(leaf, gradient, self.reach, "l2"))

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """See :class:`Adversary`."""
        logits = step.forward(delta)
        clean = step.reference if self.detached else step.student
        return step.task_of(logits) / 2 + self.alpha / 2 * step.symmetric_kl(clean, logits)


@dataclass(frozen=True, kw_only=True)
class GradientPenalty(Adversary):
    """Gradient penalty: the loss should be flat around every text.

    L + radius/2 * sum_i ||dL_i / de_i||_2^2  (radius: the usual epsilon, in squared embedding units).

    Source: the first-order form of Drucker and LeCun, "Double backpropagation" (1992); for text, bert4torch's
    "gradient_penalty", whose gradient has no graph, so that it only doubles the task's. Here the penalty is
    differentiated itself, which needs an attention kernel that can be: the engine chooses torch's math kernel.
    Cost: 6 units (the second backward goes through the first one too), and the memory of a second graph.
    """

    name: Literal["gradient-penalty"] = "gradient-penalty"
    radius: float = setting(1.0, "weight of the penalty (its half multiplies the squared gradient norm)")
    replaces_task: ClassVar[bool] = False
    differentiates_twice: ClassVar[bool] = True
    norm: ClassVar[Norm] = "l2"
    scope: ClassVar[Scope] = "example"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.radius > 0, "adversary.radius", self.radius, "must be above 0")

    def ascend(self, step: Step) -> Ascent:
        """See :class:`Adversary`; nothing moves."""
        yield from ()  # an ascent without passes
        space = step.space(self)
        return space.expand(space.zeros())

    def term(self, step: Step, delta: Tensor) -> Tensor:
        """See :class:`Adversary`."""
        space = step.space(self)
        leaf = space.zeros()
        loss = step.clean(space.expand(leaf), keep=True)
        gradient = step.differentiable_gradient(loss, leaf)
        # The loss carries the label scale, its squared gradient the scale squared: like the loss, a mean over labels.
        unit = space.length if isinstance(space.length, float) else space.length.flatten()
        return self.radius * unit**2 / 2 * gradient.pow(2).sum((1, 2)) / step.label_scale


Smoothing = Vat | Smart | Rat | GradientPenalty
"""The adversaries of this module."""
