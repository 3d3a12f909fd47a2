"""What a step leaves: nothing after an exception, no hook after closing, a count of what fired, settings as given."""

from dataclasses import replace

import pytest
import torch
import yaml

from contract.bench import Bench, pick, relative_difference, total
from contract.table import ADVERSARIES, AVERAGES, COMBINATIONS, INPUTS, OBJECTIVES, PERTURBED, TASKS, Combination
from engine.models import batch, distance, gradients
from huggingface.trials import same, weights
from toughen.engine.engine import Engine
from toughen.recipe.recipe import Recipe, dump, load_recipe

LENGTHS, LABELS = (7, 4, 5, 3, 9, 3), (0, 1, 2, 0, 1, 0)
ROWS = {task: batch(lengths=LENGTHS, labels=LABELS, task=task) for task in TASKS}
MORE = {task: batch(lengths=(3, 8, 6, 4, 5, 7), labels=LABELS[::-1], seed=5, task=task) for task in TASKS}
every_combination = pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
every_adversary = pytest.mark.parametrize("combination", PERTURBED, ids=str)


class BrokenModelError(RuntimeError):
    """The model's own failure."""


def break_pass(model, number):
    """Make the model raise inside its ``number``-th forward pass from now, behind the perturbed embedding."""
    passes = []

    def hook(_module, _args):
        passes.append(1)
        if len(passes) == number:
            raise BrokenModelError

    return model.classifier.register_forward_pre_hook(hook), passes


@every_combination
def test_an_exception_in_any_pass_leaves_no_perturbation(combination):
    """After each pass in turn has raised, weights are bitwise as before, a plain forward is unperturbed and the next
    step's gradient is right.
    """
    bench, rows = Bench(*combination), ROWS[combination.task]
    expected, clean, before = bench.gradients(rows), clean_logits(bench, rows), weights(bench.model)
    handle, passes = break_pass(bench.model, -1)
    bench.gradients(rows)
    handle.remove()
    assert len(passes) >= (1 if combination.adversary in ("none", "gradient-penalty") else 2)
    for number in range(1, len(passes) + 1):
        handle, _ = break_pass(bench.model, number)
        with pytest.raises(BrokenModelError):
            bench.backward(rows)
        handle.remove()
        assert same(weights(bench.model), before)
        assert torch.equal(clean_logits(bench, rows), clean)
    assert distance(bench.gradients(rows), expected) == 0


def clean_logits(bench, rows):
    bench.injected.about(rows)
    return bench.model(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]).logits.detach()


def count_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


@every_combination
def test_closing_removes_every_hook(combination):
    """No hook of ours on any module after ``close()``, and forwards are those of the untouched model."""
    bench, rows = Bench(average=combination.average, task=combination.task), ROWS[combination.task]
    before, clean = count_hooks(bench.model), clean_logits(bench, rows)
    parts = OBJECTIVES[combination.objective], ADVERSARIES[combination.adversary]
    settings = {"inputs": INPUTS[combination.inputs], "average": bench.average, "task": combination.task}
    with Engine(bench.model, *parts, **settings, noise=bench.injected, special_ids=()) as engine:
        embedding = combination.adversary != "none" and not combination.moves_weights
        hooked = embedding or combination.inputs != "none" or combination.objective == "dropout-samples"
        assert (count_hooks(bench.model) > before) == hooked, "canary: there was a hook"
        bench.injected.about(rows)
        engine.backward(rows)
        assert torch.equal(clean_logits(bench, rows), clean)
    assert count_hooks(bench.model) == before
    assert torch.equal(clean_logits(bench, rows), clean)


@every_adversary
def test_the_adversary_fires_in_every_step_it_should(combination):
    """One perturbation per micro-batch, none of length 0 (the gradient penalty's is, by design), and it is logged."""
    bench, rows = Bench(*combination), ROWS[combination.task]
    counts = {"examples": total(rows), "labelled": total(rows)}
    loss = float(bench.accumulate([pick(rows, range(3)), pick(rows, range(3, 6))], **counts))
    assert (bench.engine.ascents, bench.engine.updates) == (2, 1)
    terms = bench.engine.terms()
    if combination.adversary == "gradient-penalty":
        assert terms["perturbation_norm"] == 0
    else:
        assert terms["perturbation_norm"] > 1e-3
    assert terms["adversarial"] > 0
    named = ("task", "rdrop", "adversarial", "bregman")
    assert sum(terms.get(name, 0.0) for name in named) == pytest.approx(loss, abs=1e-9)
    assert bench.engine.terms() == {}


@every_adversary
def test_an_adversary_that_waits_changes_no_bit_until_it_acts(combination):
    """With ``start_step`` 1 step 0 has bitwise the other slots' own gradient, step 1 has not."""
    bench, rows = Bench(*combination), ROWS[combination.task]
    bench.engine.adversary = replace(ADVERSARIES[combination.adversary], start_step=1)
    plain = Bench(*combination._replace(adversary="none"))
    if combination.adversary == "gradient-penalty":
        plain.engine._context = with_math_attention(plain.engine._context)
    alone = plain.gradients(rows)
    assert distance(bench.gradients(rows), alone) == 0
    assert bench.engine.ascents == 0
    assert relative_difference(bench.gradients(rows), alone) > 1e-3
    assert bench.engine.ascents == 1


def with_math_attention(context):
    """Return the context in which the gradient penalty's engine makes all its passes."""
    return lambda: replace(context(), twice=True)


@every_combination
def test_each_technique_changes_the_gradient(combination):
    """Canary of every parity test here: without any one of its parts the gradient is another one, by over 1 %."""
    rows = ROWS[combination.task]
    found = Bench(*combination).gradients(rows)
    for slot in ("objective", "adversary", "inputs"):
        off = Combination._field_defaults[slot]
        if getattr(combination, slot) != off:
            without = Bench(*combination._replace(**{slot: off})).gradients(rows)
            assert relative_difference(found, without) > 1e-2, slot


@pytest.mark.parametrize("combination", [c for c in COMBINATIONS if c.average != "none"], ids=str)
def test_the_average_is_not_the_raw_weights(combination):
    """Canary: after 4 steps the average differs from the weights it follows, and lending it changes the logits."""
    bench, rows = Bench(*combination), ROWS[combination.task]
    optimizer = torch.optim.SGD(bench.model.parameters(), lr=0.1)
    for some in (rows, MORE[combination.task]) * 2:
        bench.backward(some)
        bench.step(optimizer)
    raw = clean_logits(bench, rows)
    with bench.average.applied():
        assert float((clean_logits(bench, rows) - raw).abs().max()) > 1e-4
    assert torch.equal(clean_logits(bench, rows), raw)


@every_combination
def test_settings_survive_the_way_through_yaml(combination):
    """Dataclass -> YAML -> dataclass gives an equal recipe."""
    recipe = Recipe(
        objective=OBJECTIVES[combination.objective],
        adversary=ADVERSARIES[combination.adversary],
        inputs=INPUTS[combination.inputs],
        average=AVERAGES[combination.average],
        model="tiny",
    )
    written = dump(recipe)
    assert load_recipe(yaml.safe_load(written)) == recipe
    assert written != dump(Recipe()), "canary: something was written"


@every_combination
def test_bfloat16_autocast_is_finite(combination, monkeypatch):
    """Under bf16 autocast every gradient is finite and near float32's; losses and perturbations stay float32."""
    bench, rows = Bench(*combination, dtype=torch.float32, precision="bf16"), ROWS[combination.task]
    rows = rows | {"labels": rows["labels"].float() if rows["labels"].is_floating_point() else rows["labels"]}
    if combination.moves_embeddings:
        with bench.deltas(monkeypatch) as found:
            loss = bench.backward(rows)
        assert all(delta.dtype == torch.float32 and delta.isfinite().all() for delta in found)
    else:
        loss = bench.backward(rows)
    found = gradients(bench.model)
    assert loss.dtype == torch.float32
    assert all(g.isfinite().all() for g in found.values())
    assert relative_difference(found, Bench(*combination, dtype=torch.float32).gradients(rows)) < 0.2


@pytest.mark.parametrize("combination", [c for c in COMBINATIONS if c.moves_weights], ids=str)
def test_weights_come_back_bitwise_and_earlier_gradients_stay(combination):
    """After each micro-batch the weights are untouched, and the second one's gradient is added to the first one's."""
    bench, rows = Bench(*combination), ROWS[combination.task]
    parts, before = [pick(rows, range(3)), pick(rows, range(3, 6))], weights(bench.model)
    alone = [bench.gradients(part, examples=total(rows)) for part in parts]
    together = bench.gradients(*parts, examples=total(rows))
    assert same(weights(bench.model), before)
    assert distance(together, {name: alone[0][name] + alone[1][name] for name in together}) < 1e-12
    assert distance(together, alone[1]) > 1e-4, "canary: the first one counts"
