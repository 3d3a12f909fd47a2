"""A row whose loss is not finite leaves its step: the gradient is that of a loop without it; a limit ends the run."""

import math

import pytest
import torch

from engine.models import batch, distance, gradients, tiny
from toughen import Awp, Fgm, FreeLb, Pgd, RDrop, Smart, Vat
from toughen.engine.engine import Engine
from toughen.engine.left_out import FEW
from toughen.errors import InputError

BROKEN = 60
"""A word that no row has by chance: what it becomes in the model is no number, and all that is made of it neither."""
PARTS = {
    "plain": {},
    "rdrop": {"objective": RDrop()},
    "fgm": {"adversary": Fgm(radius=0.3)},
    "pgd": {"adversary": Pgd(radius=0.3)},
    "freelb": {"adversary": FreeLb()},
    "awp": {"adversary": Awp()},
    "vat": {"adversary": Vat()},
    "smart": {"adversary": Smart(bregman=0.0)},
    "low memory": {"objective": RDrop(), "adversary": Fgm(radius=0.3), "memory": "low"},
}

pytestmark = pytest.mark.filterwarnings("ignore:.*no dropout above 0")  # the draws of fewer rows would be others


def still(kind, like, *_):
    """Return no randomness: the draws of a batch with one row more would be others."""
    return torch.full_like(like, 0.01)


def pick(whole, rows):
    return {name: value[list(rows)] for name, value in whole.items()}


def broken(task="single-label"):
    """Return a batch of four rows, the second with a word that breaks it, and the model with the broken word."""
    model, whole = tiny("bert", task=task), batch(task=task)
    model.get_input_embeddings().register_forward_hook(
        lambda _, args, hidden: hidden.masked_fill((args[0] == BROKEN).unsqueeze(-1), torch.nan)
    )
    whole["input_ids"][1, 1] = BROKEN
    return model, whole


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_the_gradient_is_that_of_the_other_rows(parts):
    """A weight of 0 would not do, since 0 times NaN is NaN: canary below."""
    model, whole = broken()
    with Engine(model, noise=still, **parts) as engine:
        loss = engine.backward(whole)
        assert engine.left_out.rows == 1
        cost = engine.cost.units
    found = gradients(model)
    model.zero_grad()
    with Engine(model, noise=still, **parts) as engine:
        expected = engine.backward(pick(whole, (0, 2, 3)))
        assert engine.cost.units < cost
    assert distance(found, gradients(model)) < 1e-12
    assert float(loss) == pytest.approx(float(expected), abs=1e-12)
    assert any(g.abs().max() > 0 for g in found.values()), "canary"

    model.zero_grad()
    weighted = model(input_ids=whole["input_ids"], attention_mask=whole["attention_mask"]).logits.sum(-1)
    (weighted * torch.tensor([1.0, 0.0, 1.0, 1.0])).sum().backward()
    assert not all(g.isfinite().all() for g in gradients(model).values()), "canary"


@pytest.mark.parametrize("task", ["multi-label", "regression", "tokens"])
def test_every_task_counts_what_it_takes_a_mean_of(task):
    model, whole = broken(task)
    with Engine(model, task=task) as engine:
        engine.backward(whole)
    found = gradients(model)
    model.zero_grad()
    with Engine(model, task=task) as engine:
        engine.backward(pick(whole, (0, 2, 3)))
    assert distance(found, gradients(model)) < 1e-12


@pytest.mark.parametrize("unlabelled", [(), (0,)], ids=["all labelled", "one without a label"])
def test_a_label_that_is_no_number_does_not_take_the_batch_with_it(unlabelled):
    model, whole = tiny("bert", task="regression"), batch(task="regression")
    whole["labels"][1] = math.inf
    whole["labels"][list(unlabelled)] = math.nan
    parts = {"objective": RDrop(), "task": "regression"}
    with Engine(model, **parts) as engine:
        engine.backward(whole)
        assert engine.left_out.report() == {"rows_left_out": 1}
    found = gradients(model)
    model.zero_grad()
    with Engine(model, **parts) as engine:
        engine.backward(pick(whole, (0, 2, 3)))
        assert engine.left_out.report() == {}
    assert distance(found, gradients(model)) < 1e-12


@pytest.mark.parametrize("broken_part", [0, 1])
def test_an_accumulated_step_is_the_mean_over_all_rows_that_stay(broken_part):
    model, whole = broken()
    parts = [(2, 3), (0, 1)] if broken_part else [(0, 1), (2, 3)]
    with Engine(model, adversary=Fgm(radius=0.3)) as engine:
        for rows, last in zip(parts, (False, True), strict=True):
            engine.backward(pick(whole, rows), examples=4, labelled=4, sync=last)
    found = gradients(model)
    model.zero_grad()
    with Engine(model, adversary=Fgm(radius=0.3)) as engine:
        engine.backward(pick(whole, (0, 2, 3)))
    assert distance(found, gradients(model)) < 1e-12


def test_a_batch_of_which_nothing_stays_moves_nothing():
    model, whole = broken()
    with Engine(model) as engine:
        assert float(engine.backward(pick(whole, (1, 1)))) == 0
        assert engine.left_out.rows == 2
    assert all((g == 0).all() for g in gradients(model).values())


def test_the_rows_end_a_run_beyond_the_limit_and_not_before():
    model, whole = broken()
    with Engine(model) as engine:
        for _ in range(FEW):
            engine.backward(whole)
        with pytest.raises(InputError, match=rf"the loss of {FEW + 1} of {4 * (FEW + 1)} rows is not finite, and"):
            engine.backward(whole)
    with Engine(model) as engine:
        engine.left_out.restore({"rows": FEW, "seen": 10_000})  # 1 % of the rows are more than a few
        engine.backward(whole)
        assert engine.left_out.state() == {"rows": FEW + 1, "seen": 10_004}


def test_broken_weights_end_the_first_step_by_name():
    model, whole = tiny("bert"), batch(lengths=(5,) * 16, labels=(0, 1) * 8)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    with Engine(model) as engine, pytest.raises(InputError, match=r"every one of the last step .* training diverged"):
        engine.backward(whole)
