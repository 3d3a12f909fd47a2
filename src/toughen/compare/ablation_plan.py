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
_OWN = ("label_smoothing", "class_weights", "focal_gamma", "dropout_samples")
"""Techniques of the objective that stand beside its name, each switched by itself."""
_OBJECTIVE = "objective."
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
        slots: what was switched.
        weights: {arm name: weight}, which sum to 0.
        labels: what the slots are called; empty is as they are.
    """

    kind: Kind
    slots: tuple[str, ...]
    weights: Mapping[str, float]
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The labels; of an interaction with x between them."""
        return (" x " if self.kind == "interaction" else "+").join(self.labels or self.slots)


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
        recipe: with everything on.
        over: what is switched: slots, and settings such as ``objective.label_smoothing``.
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
        return [self.arm(slots) for size in sorted(set(sizes)) for slots in combinations(self.over, size)]

    def arm(self, slots: tuple[str, ...]) -> Arm:
        """Return the arm in which these are on, called by its techniques."""
        return Arm(slots, "+".join(self.labels(slots)))

    def labels(self, slots: Sequence[str]) -> tuple[str, ...]:
        """Return what is switched by the names of its techniques: rdrop, pgd, ema, label-smoothing."""
        names = {slot: getattr(getattr(self.recipe, slot, None), "name", None) for slot in self.over}
        return tuple(names[slot] or slot.removeprefix(_OBJECTIVE).replace("_", "-") for slot in slots)

    @property
    def contrasts(self) -> list[Contrast]:
        """The differences that these arms can show."""
        plain = [self._contrast("against plain", a.slots, {a.slots: 1.0, (): -1.0}) for a in self.arms if a.slots]
        if len(self.over) == 1:
            return plain
        if len(self.arms) == 2 ** len(self.over):
            return plain + [self._contrast(*parts) for parts in _factorial(self.over)]
        return plain + (
            [self._contrast(*parts) for parts in _leave_slots_out(self.over)] if self.design == "one-off" else []
        )

    def _contrast(self, kind: Kind, slots: tuple[str, ...], weights: Mapping[tuple[str, ...], float]) -> Contrast:
        named = {self.arm(arm).name: weight for arm, weight in weights.items()}
        return Contrast(kind, slots, named, self.labels(slots))

    def recipe_of(self, arm: Arm, seed: int) -> Recipe:
        """Return the recipe of one run: whatever is switched and the arm lacks is that of the recipe `plain`."""
        baseline, lacks = load_recipe(_BASELINE), [slot for slot in self.over if slot not in arm.slots]
        off = {slot: getattr(baseline, slot) for slot in lacks if "." not in slot}
        objective = self.recipe.objective
        if "objective" in off:  # its name alone: what stands beside it is switched by itself
            own = {name: getattr(objective, name) for name in (*_OWN, "effective_beta")}
            objective = replace(baseline.objective, **own)
        settings = [slot.removeprefix(_OBJECTIVE) for slot in lacks if "." in slot]
        objective = replace(objective, **{name: getattr(baseline.objective, name) for name in settings})
        training = replace(self.recipe.training, seed=seed)
        return replace(self.recipe, **off | {"objective": objective, "training": training})


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
    known = [name for name in hints(Recipe) if name not in _NOT_SLOTS] + [_OBJECTIVE + name for name in _OWN]
    if slot not in known:
        raise InputError(f"--over {slot}: nothing that can be switched is called so{nearest(slot, known)}")
    if list(over).count(slot) > 1:
        raise InputError(f"--over names {slot} twice; name it once.")
    if _content(recipe, slot) == _content(baseline, slot):
        own = [name for name in _OWN if getattr(recipe.objective, name) != getattr(baseline.objective, name)]
        if slot == "objective" and own:
            raise InputError(
                f"--over objective: the recipe has {recipe.objective.name} as plain fine-tuning has; switch what it "
                f"has beside it: --over {','.join(_OBJECTIVE + name for name in own)}."
            )
        raise InputError(
            f"--over {slot}: the recipe has nothing there that plain fine-tuning has not, so there is nothing to "
            f"switch off; fill it (--{slot} NAME) or leave it out."
        )


def _content(recipe: Recipe, slot: str) -> object:
    if slot.startswith(_OBJECTIVE):
        return getattr(recipe.objective, slot.removeprefix(_OBJECTIVE))
    return recipe.objective.name if slot == "objective" else getattr(recipe, slot)


def _check_arms(plan: Plan) -> None:
    """Refuse before any training a combination whose parts do not work together."""
    for arm in plan.arms:
        try:
            check_trainer(TrainerSetup(plan.recipe_of(arm, plan.seeds[0])))
        except InputError as error:
            others = "--design one-off or whole, or leave a slot out"
            raise InputError(f"the combination {arm.name} cannot work: {error} Choose {others}.") from None


# ---------------------------------------------------------------- differences


_Parts = tuple[Kind, tuple[str, ...], Mapping[tuple[str, ...], float]]
"""A contrast with the arms' slots in place of their names."""


def _factorial(over: tuple[str, ...]) -> list[_Parts]:
    """Main effects and interactions of all 2^k combinations.

    A main effect is the mean of the arms with the slot minus the mean of those without. An interaction of two is how
    much more the one adds where the other is on than where it is off, averaged over the rest; of three, the difference
    of such differences; and so on.
    """
    everything = [s for size in range(len(over) + 1) for s in combinations(over, size)]
    return [
        (
            "main effect" if len(slots) == 1 else "interaction",
            slots,
            {arm: _sign(slots, arm) * 2.0 ** (len(slots) - len(over)) for arm in everything},
        )
        for slots in everything
        if slots
    ]


def _sign(slots: tuple[str, ...], arm: tuple[str, ...]) -> int:
    return -1 if sum(slot not in arm for slot in slots) % 2 else 1


def _leave_slots_out(over: tuple[str, ...]) -> list[_Parts]:
    """What each slot adds where all the others are on."""
    return [
        ("on top of the others", (slot,), {over: 1.0, tuple(other for other in over if other != slot): -1.0})
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
