"""A row whose adversarial gradient is not finite gets no perturbation: it is counted, and told once."""

import logging

import pytest
import torch

from engine.models import batch, tiny
from toughen import Fgm, FreeLb, Pgd, Rat, Smart, Vat
from toughen.engine.engine import Engine

ADVERSARIES = {
    "fgm": Fgm(radius=0.3),
    "fgm over the vocabulary": Fgm(radius=0.3, scope="vocabulary"),
    "pgd": Pgd(radius=0.3),
    "freelb": FreeLb(),
    "vat": Vat(),
    "smart": Smart(bregman=0.0),
    "rat": Rat(),
}


class BrokenBackward(torch.autograd.Function):
    """Pass values on, and let the gradient of the second row overflow."""

    @staticmethod
    def forward(ctx, hidden):
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        gradient[1] = torch.inf
        return gradient


def broken():
    """Return a model through which one row of four has no finite gradient."""
    model = tiny("bert")
    # Behind the adversary's own hook, which adds the perturbation to the embeddings.
    model.base_model.encoder.register_forward_pre_hook(lambda _, args: (BrokenBackward.apply(args[0]), *args[1:]))
    return model


@pytest.mark.filterwarnings("ignore:.*no dropout above 0")
@pytest.mark.parametrize("name", ADVERSARIES)
def test_such_rows_are_counted_and_told_once(name, caplog):
    with Engine(broken(), adversary=ADVERSARIES[name]) as engine, caplog.at_level(logging.WARNING):
        for _ in range(3):
            engine.backward(batch())
        rows = 4 if "vocabulary" in name else 1
        assert engine.unperturbed.here() == 3 * rows
        engine.terms()
        engine.backward(batch())
        engine.terms()
        told = [record.getMessage() for record in caplog.records if "without a perturbation" in record.getMessage()]
        assert len(told) == 1
        assert f"adversary {name.split()[0]}: the gradient of {3 * rows} rows" in told[0]
        engine.unperturbed.close(name, dict, processes=1)
        assert engine.unperturbed.report() == {"rows_unperturbed": 4 * rows}


@pytest.mark.filterwarnings("ignore:.*no dropout above 0")
@pytest.mark.parametrize("name", ADVERSARIES)
def test_a_healthy_row_is_none_of_them(name):
    with Engine(tiny("bert"), adversary=ADVERSARIES[name]) as engine:
        engine.backward(batch())
        assert engine.unperturbed.here() == 0
        engine.unperturbed.close(name, dict, processes=1)
        assert engine.unperturbed.report() == {}


def test_rows_that_only_fill_up_do_not_count():
    with Engine(broken(), adversary=Fgm(radius=0.3)) as engine:
        engine.backward(batch() | {"weight": torch.tensor([1.0, 0.0, 1.0, 1.0])}, examples=3)
        assert engine.unperturbed.here() == 0


def test_the_count_goes_on_from_a_checkpoint():
    with Engine(broken(), adversary=Fgm(radius=0.3)) as engine:
        engine.unperturbed.restore(2.0)
        engine.backward(batch())
        assert engine.unperturbed.here() == 3
