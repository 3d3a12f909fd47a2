"""Which runs an ablation needs, the differences it reads from them, their cost, and what so many seeds can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from toughen.cost.passes import forecast
from toughen.errors import InputError
from toughen.huggingface.composition import TrainerSetup, check_trainer
from toughen.recipe.recipe import Recipe, load_recipe
from toughen.recipe.slots import hints, nearest
from toughen.statistics.seeds import smallest_effect

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe

Design = Literal["full", "one-off", "whole"]
Kind = Literal["against plain", "main effect", "interaction", "on top of the others"]
PLAIN = "plain"
_BASELINE = "plain"  # the shipped recipe whose slots are what "off" means
_NOT_SLOTS = ("description", "model", "data", "training")
_MOST_ARMS = 64

ASSUMED_SD = 0.01
"""Standard deviation of a score over seeds where none is known: an assumption, and called one."""


@dataclass(frozen=True)
class Arm:
    """One of the things compared.

    Attributes:
        slots: those that are on, in the order in which they were named.
        label: what it is called; empty is by its slots.
    """

    slots: tuple[str, ...]
    label: str = ""

    @property
    def name(self) -> str:
        """The label, or the slots joined by +; plain without any."""
        return self.label or "+".join(self.slots) or PLAIN


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of arms' scores, computed within each seed.

    Attributes:
        kind: what question it answers; `ablation.json` has the same words.
        slots: the slots it speaks of.
        weights: {arm name: weight}, which sum to 0.
    """

    kind: Kind
    slots: tuple[str, ...]
    weights: Mapping[str, float]

    @property
    def name(self) -> str:
        """The slots; of an interaction with x between them."""
        return (" x " if self.kind == "interaction" else "+").join(self.slots)


class PairedPlan(Protocol):
    """Which runs: every arm with every seed; the first arm is what the others are compared with."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""

    @property
    def arms(self) -> list[Arm]:
        """What is compared."""

    @property
    def contrasts(self) -> list[Contrast]:
        """The differences that are asked for."""

    def recipe_of(self, arm: Arm, seed: int) -> Recipe:
        """Return the recipe of one run."""


@dataclass(frozen=True)
class Plan:
    """The runs of an ablation.

    Attributes:
        recipe: with every slot on.
        over: the slots that are switched.
        design: full, every combination; one-off, each alone and each left out; whole, all or none.
        seeds: of the runs; every arm has the same.
    """

    recipe: Recipe
    over: tuple[str, ...]
    design: Design
    seeds: tuple[int, ...]

    @property
    def arms(self) -> list[Arm]:
        """The combinations, fewest slots first."""
        k = len(self.over)
        sizes = {"full": range(k + 1), "one-off": (0, 1, k - 1, k), "whole": (0, k)}[self.design]
        chosen = [slots for size in sorted(set(sizes)) for slots in combinations(self.over, size)]
        return [Arm(slots) for slots in chosen]

    @property
    def contrasts(self) -> list[Contrast]:
        """The differences that these arms can show."""
        plain = [Contrast("against plain", a.slots, {a.name: 1.0, PLAIN: -1.0}) for a in self.arms if a.slots]
        if len(self.over) == 1:
            return plain
        if len(self.arms) == 2 ** len(self.over):
            return plain + _factorial(self.over)
        return plain + (_left_out(self.over) if self.design == "one-off" else [])

    def recipe_of(self, arm: Arm, seed: int) -> Recipe:
        """Return the recipe of one run: every switched slot that the arm lacks is that of the recipe `plain`."""
        baseline = load_recipe(_BASELINE)
        off = {slot: getattr(baseline, slot) for slot in self.over if slot not in arm.slots}
        return replace(self.recipe, **off, training=replace(self.recipe.training, seed=seed))


def make_plan(recipe: Recipe, over: Sequence[str], *, design: str, seeds: int) -> Plan:
    """Check what is asked and plan it.

    Args:
        recipe: with every slot on; its own seed is the first one.
        over: slots to switch.
        design: full, one-off or whole.
        seeds: how many, counted up from the recipe's own.

    Raises:
        InputError: if a slot is unknown, empty in the recipe or named twice, or a combination cannot work.
    """
    if design not in get_args(Design):
        raise InputError(f"--design must be one of {', '.join(get_args(Design))}, got {design!r}.")
    if seeds < 2:
        raise InputError(f"--seeds must be at least 2, got {seeds}: one run each says nothing about other seeds.")
    baseline = load_recipe(_BASELINE)
    for slot in over:
        _check_slot(slot, over, recipe, baseline)
    if not over:
        raise InputError("--over must name the slots to switch, such as objective,adversary,average.")
    first = recipe.training.seed
    plan = Plan(recipe, tuple(over), design, tuple(range(first, first + seeds)))  # type: ignore[arg-type]
    if len(plan.arms) > _MOST_ARMS:
        raise InputError(f"--over names {len(over)} slots, which are {len(plan.arms)} combinations; use one-off.")
    _check_arms(plan)
    return plan


def _check_slot(slot: str, over: Sequence[str], recipe: Recipe, baseline: Recipe) -> None:
    known = [name for name in hints(Recipe) if name not in _NOT_SLOTS]
    if slot not in known:
        raise InputError(f"--over {slot}: no slot that can be switched is called so{nearest(slot, known)}")
    if list(over).count(slot) > 1:
        raise InputError(f"--over names {slot} twice; name it once.")
    if getattr(recipe, slot) == getattr(baseline, slot):
        raise InputError(
            f"--over {slot}: the recipe has nothing there that plain fine-tuning has not, so there is nothing to "
            f"switch off; fill it (--{slot} NAME) or leave it out."
        )


def _check_arms(plan: Plan) -> None:
    """Refuse before any training a combination whose parts do not work together."""
    for arm in plan.arms:
        try:
            check_trainer(TrainerSetup(plan.recipe_of(arm, plan.seeds[0])))
        except InputError as error:
            others = "--design one-off or whole, or leave a slot out"
            raise InputError(f"the combination {arm.name} cannot work: {error} Choose {others}.") from None


# ---------------------------------------------------------------- differences


def _factorial(over: tuple[str, ...]) -> list[Contrast]:
    """Main effects and interactions of all 2^k combinations.

    A main effect is the mean of the arms with the slot minus the mean of those without. An interaction of two is how
    much more the one adds where the other is on than where it is off, averaged over the rest; of three, the difference
    of such differences; and so on.
    """
    everything = [s for size in range(len(over) + 1) for s in combinations(over, size)]
    return [
        Contrast(
            "main effect" if len(slots) == 1 else "interaction",
            slots,
            {Arm(arm).name: _sign(slots, arm) * 2.0 ** (len(slots) - len(over)) for arm in everything},
        )
        for slots in everything
        if slots
    ]


def _sign(slots: tuple[str, ...], arm: tuple[str, ...]) -> int:
    return -1 if sum(slot not in arm for slot in slots) % 2 else 1


def _left_out(over: tuple[str, ...]) -> list[Contrast]:
    """What each slot adds where all the others are on."""
    everything = Arm(over).name
    return [
        Contrast(
            "on top of the others",
            (slot,),
            {everything: 1.0, Arm(tuple(other for other in over if other != slot)).name: -1.0},
        )
        for slot in over
    ]


# ---------------------------------------------------------------- what it costs, what it can show


def step_cost(recipe: Recipe) -> dict[str, float]:
    """Predict what one optimiser step of a recipe costs where its adversary is at work (see `toughen.cost`).

    Returns:
        ``passes_per_step`` and ``units_per_step`` (forward 1, backward 2, backward to a perturbation 1; plain is 3).
    """
    predicted = forecast(recipe)
    mean, batches = predicted.over(predicted.cycle), recipe.training.accumulation
    return {"passes_per_step": mean.forwards * batches, "units_per_step": mean.units * batches}


def power_of(plan: PairedPlan, sd: float, source: str) -> dict[str, Any]:
    """Say which effects so many seeds find with a chance of 80 %.

    Args:
        plan: its seeds and differences.
        sd: standard deviation of one run's score over seeds, in the metric's unit.
        source: where ``sd`` comes from: "assumed", "given" or "measured".

    Returns:
        ``sd``, ``sd_from``, ``seeds``, ``power``, ``alpha``; ``single``: the smallest effect of one arm against plain;
        ``after_holm``: the same at the strictest level of Holm's correction; ``comparisons``: their number.
    """
    alpha, n = 0.05, len(plan.seeds)
    comparisons = sum(c.kind == "against plain" for c in plan.contrasts)
    apart = sd * math.sqrt(2)
    return {
        "sd": sd,
        "sd_from": source,
        "seeds": n,
        "alpha": alpha,
        "power": 0.8,
        "comparisons": comparisons,
        "single": smallest_effect(apart, n, alpha=alpha),
        "after_holm": smallest_effect(apart, n, alpha=alpha / comparisons),
    }
