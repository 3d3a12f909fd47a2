"""What a step leaves: nothing after an exception, no hook after closing, a count of what fired, settings as given.

48 pairs of objective and adversary; settings and canaries run over all 144 combinations with an average.
"""

from dataclasses import replace

import pytest
import torch
import yaml

from contract.bench import Bench, pick, relative_difference
from contract.table import ADVERSARIES, AVERAGES, OBJECTIVES, PAIRS, PERTURBED, names
from toughen.recipe import Recipe, dump, load_recipe
from toughen.training.averaging import make_average
from training.models import batch, distance, gradients

ROWS = batch(lengths=(7, 4, 5, 2, 9, 3), labels=(0, 1, 1, 0, 1, 0))
MORE = batch(lengths=(3, 8, 6, 4, 5, 7), labels=(1, 0, 1, 0, 0, 1), seed=5)
every_pair = pytest.mark.parametrize(("objective", "adversary"), PAIRS, ids=names(PAIRS))
every_adversary = pytest.mark.parametrize(("objective", "adversary"), PERTURBED, ids=names(PERTURBED))


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


@every_adversary
def test_an_exception_in_any_pass_leaves_no_perturbation(objective, adversary):
    """After each pass in turn has raised, a plain forward is unperturbed and the next step's gradient is right."""
    bench = Bench(objective, adversary)
    expected, clean = bench.gradients(ROWS), clean_logits(bench)
    handle, passes = break_pass(bench.model, -1)
    bench.gradients(ROWS)
    handle.remove()
    assert len(passes) >= 2
    for number in range(1, len(passes) + 1):
        handle, _ = break_pass(bench.model, number)
        with pytest.raises(BrokenModelError):
            bench.backward(ROWS)
        handle.remove()
        assert torch.equal(clean_logits(bench), clean)
        assert distance(bench.gradients(ROWS), expected) == 0


def clean_logits(bench):
    bench.injected.about(ROWS)
    return bench.model(input_ids=ROWS["input_ids"], attention_mask=ROWS["attention_mask"]).logits.detach()


def count_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


@every_adversary
def test_closing_removes_every_hook(objective, adversary):
    """No hook of ours on any module after ``close()``, and forwards are those of the untouched model."""
    bench = Bench(objective, "none")
    before, clean = count_hooks(bench.model), clean_logits(bench)
    with bench.engine.__class__(bench.model, OBJECTIVES[objective], ADVERSARIES[adversary], special_ids=()) as engine:
        assert count_hooks(bench.model) > before, "canary: there was a hook"
        bench.injected.about(ROWS)
        engine.backward(ROWS)
    assert count_hooks(bench.model) == before
    assert torch.equal(clean_logits(bench), clean)


@every_adversary
def test_the_adversary_fires_in_every_step_it_should(objective, adversary):
    """One perturbation per micro-batch, each within its ball, none before ``start_step`` and none of length 0."""
    bench = Bench(objective, adversary)
    bench.accumulate([pick(ROWS, range(3)), pick(ROWS, range(3, 6))], examples=6.0, labelled=6.0)
    assert (bench.engine.ascents, bench.engine.updates) == (2, 1)
    terms = bench.engine.terms()
    assert terms["perturbation_norm"] > 1e-3
    assert terms["adversarial"] > 0
    assert bench.engine.terms() == {}


@every_adversary
def test_an_adversary_that_waits_changes_no_bit_until_it_acts(objective, adversary):
    """With ``start_step`` 1 step 0 has bitwise the objective's own gradient, step 1 has not."""
    bench, plain = Bench(objective, adversary), Bench(objective, "none")
    bench.engine.adversary = replace(ADVERSARIES[adversary], start_step=1)
    alone = plain.gradients(ROWS)
    assert distance(bench.gradients(ROWS), alone) == 0
    assert bench.engine.ascents == 0
    assert relative_difference(bench.gradients(ROWS), alone) > 1e-3
    assert bench.engine.ascents == 1


@every_pair
def test_the_technique_changes_the_gradient(objective, adversary):
    """Canary of every parity test here: each technique moves the gradient by over 1 % of the plain one's norm."""
    plain = Bench("cross-entropy", "none").gradients(ROWS)
    found = Bench(objective, adversary).gradients(ROWS)
    if objective != "cross-entropy":
        assert relative_difference(Bench(objective, "none").gradients(ROWS), plain) > 1e-2
    if adversary != "none":
        assert relative_difference(found, Bench(objective, "none").gradients(ROWS)) > 1e-2


@pytest.mark.parametrize("average", [name for name in AVERAGES if name != "none"])
@every_pair
def test_the_average_is_not_the_raw_weights(objective, adversary, average):
    """Canary: after 4 steps the average differs from the weights it follows, and lending it changes the logits."""
    bench = Bench(objective, adversary)
    held = make_average(AVERAGES[average], bench.model, total_steps=4)
    optimizer = torch.optim.SGD(bench.model.parameters(), lr=0.1)
    for rows in (ROWS, MORE, ROWS, MORE):
        bench.backward(rows)
        bench.engine.step(optimizer)
        held.update()
    raw = clean_logits(bench)
    with held.applied():
        assert float((clean_logits(bench) - raw).abs().max()) > 1e-4
    assert torch.equal(clean_logits(bench), raw)


@pytest.mark.parametrize("average", AVERAGES)
@every_pair
def test_settings_survive_the_way_through_yaml(objective, adversary, average):
    """Dataclass -> YAML -> dataclass gives an equal recipe."""
    recipe = Recipe(
        objective=OBJECTIVES[objective], adversary=ADVERSARIES[adversary], average=AVERAGES[average], model="tiny"
    )
    written = dump(recipe)
    assert load_recipe(yaml.safe_load(written)) == recipe
    assert written != dump(Recipe()), "canary: something was written"


@every_pair
def test_bfloat16_autocast_is_finite(objective, adversary, monkeypatch):
    """Under bf16 autocast every gradient is finite and near float32's; losses and perturbations stay float32."""
    bench = Bench(objective, adversary, dtype=torch.float32, precision="bf16")
    if adversary == "none":
        loss = bench.backward(ROWS)
    else:
        with bench.deltas(monkeypatch) as found:
            loss = bench.backward(ROWS)
        assert all(delta.dtype == torch.float32 and delta.isfinite().all() for delta in found)
    found = gradients(bench.model)
    assert loss.dtype == torch.float32
    assert all(g.isfinite().all() for g in found.values())
    assert relative_difference(found, Bench(objective, adversary, dtype=torch.float32).gradients(ROWS)) < 0.2
