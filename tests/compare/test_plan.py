"""Which runs an ablation makes, which differences it reads from them, and what they cost."""

from itertools import product

import pytest

from toughen import load_recipe
from toughen.compare.ablation_plan import Plan, make_plan, power_of, step_cost
from toughen.errors import InputError
from toughen.statistics.seeds import smallest_effect

SLOTS = ("objective", "adversary", "average")


def planned(design="full", over=SLOTS, seeds=3, recipe="tough-stack", **changes):
    return make_plan(load_recipe(recipe, changes), over, design=design, seeds=seeds)


def value(contrast, scores):
    return sum(weight * scores[arm] for arm, weight in contrast.weights.items())


@pytest.mark.parametrize(("design", "arms"), [("full", 8), ("one-off", 8), ("whole", 2)])
def test_the_designs_have_their_combinations(design, arms):
    assert len(planned(design).arms) == arms


def test_one_off_of_four_slots_has_each_alone_and_each_left_out():
    plan = planned("one-off", (*SLOTS, "inputs"), inputs="neftune")
    sizes = [len(arm.slots) for arm in plan.arms]
    assert sizes == [0, *[1] * 4, *[3] * 4, 4]
    left_out = [c for c in plan.contrasts if c.kind == "on top of the others"]
    assert [c.slots for c in left_out] == [(slot,) for slot in plan.over]


def test_an_arm_differs_from_plain_in_what_it_is_called_by():
    """A slot that is off is that of plain; what is not named, label smoothing too, is the same in every arm."""
    plan, plain, stack = planned(), load_recipe("plain"), load_recipe("tough-stack")
    assert [arm.name for arm in plan.arms][:5] == ["plain", "rdrop", "pgd", "ema", "rdrop+pgd"]
    for arm in plan.arms:
        recipe = plan.recipe_of(arm, 44)
        assert recipe.training.seed == 44
        for slot in ("adversary", "average"):
            assert getattr(recipe, slot) == getattr(stack if slot in arm.slots else plain, slot)
        assert recipe.objective.name == ("rdrop" if "objective" in arm.slots else "cross-entropy")
        assert recipe.objective.label_smoothing == stack.objective.label_smoothing == 0.1
        assert (recipe.model, recipe.data, recipe.head) == (stack.model, stack.data, stack.head)
    assert plan.seeds == (42, 43, 44)


def test_label_smoothing_is_an_arm_of_its_own():
    plan = planned(over=("objective", "objective.label_smoothing"), recipe="rdrop")
    found = {
        arm.name: (recipe.objective.name, recipe.objective.label_smoothing)
        for arm in plan.arms
        for recipe in [plan.recipe_of(arm, 1)]
    }
    assert found == {
        "plain": ("cross-entropy", 0.0),
        "rdrop": ("rdrop", 0.0),
        "label-smoothing": ("cross-entropy", 0.1),
        "rdrop+label-smoothing": ("rdrop", 0.1),
    }
    assert [c.name for c in plan.contrasts if c.kind == "interaction"] == ["rdrop x label-smoothing"]


def test_main_effects_and_interactions_find_what_was_put_in():
    """Scores from a known model with every interaction; each contrast returns its own coefficient."""
    put_in = {("objective",): 2.0, ("adversary",): 3.0, ("objective", "adversary"): 5.0, SLOTS: 7.0}
    plan = planned()
    scores = {a.name: 1.0 + sum(v for s, v in put_in.items() if set(s) <= set(a.slots)) for a in plan.arms}
    found = {(c.kind, c.slots): value(c, scores) for c in plan.contrasts}
    # In the mean over the other slots: 2 + 5/2 + 7/4 for the objective, 5 + 7/2 for its pair, and so on.
    assert found["main effect", ("objective",)] == pytest.approx(2 + 5 / 2 + 7 / 4)
    assert found["main effect", ("average",)] == pytest.approx(7 / 4)
    assert found["interaction", ("objective", "adversary")] == pytest.approx(5 + 7 / 2)
    assert found["interaction", SLOTS] == pytest.approx(7)
    assert found["against plain", SLOTS] == pytest.approx(17)


def test_every_difference_ignores_a_constant():
    for design, k in product(("full", "one-off", "whole"), (1, 2, 3)):
        for contrast in planned(design, SLOTS[:k]).contrasts:
            assert sum(contrast.weights.values()) == pytest.approx(0)


@pytest.mark.parametrize(
    ("recipe", "units"), [("plain", 3), ("rdrop", 6), ("tough-stack", 16), ("sam", 6), ("smart", 9)]
)
def test_the_cost_of_a_step_is_the_engine_s(recipe, units):
    assert step_cost(load_recipe(recipe))["units_per_step"] == units
    late = load_recipe(recipe, {"adversary.start_step": 7}) if load_recipe(recipe).adversary else load_recipe(recipe)
    assert step_cost(late)["units_per_step"] == units


def test_power_is_that_of_independent_runs_and_of_the_strictest_step():
    plan = Plan(load_recipe("tough-stack"), SLOTS, "full", (1, 2, 3, 4, 5))
    found = power_of(plan, 0.008, "given")
    assert found["single"] == pytest.approx(smallest_effect(0.008 * 2**0.5, 5))
    assert found["after_holm"] == pytest.approx(smallest_effect(0.008 * 2**0.5, 5, alpha=0.05 / 7))
    assert found["after_holm"] > found["single"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"over": ("adversery",)}, "did you mean adversary"),
        ({"over": ("inputs",)}, "nothing there that plain fine-tuning has not"),
        ({"over": ("average", "average")}, "names average twice"),
        ({"over": ()}, "must name the slots"),
        ({"seeds": 1}, "at least 2"),
        ({"design": "half"}, "must be one of full, one-off, whole"),
        (
            {"recipe": "smart", "over": ("adversary", "average")},
            "combination smart cannot work: .*average: ema",
        ),
        ({"recipe": "rat-stack", "over": ("objective",)}, "--over objective.label_smoothing"),
        ({"recipe": "plain", "over": ("objective.label_smoothing",)}, "nothing there that plain"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(InputError, match=says):
        planned(**arguments)
