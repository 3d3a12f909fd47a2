"""What the log says is what it says: means over the rows that they are about, warnings only of what is so."""

import warnings

import pytest

from engine.models import batch, tiny
from toughen import Fgm
from toughen.engine.engine import Engine
from toughen.engine.objectives import RDrop


@pytest.mark.parametrize("sparing", [{}, {"every": 2}, {"share": 0.5}, {"start_step": 2}], ids=str)
def test_the_perturbations_length_is_that_of_the_rows_that_had_one(sparing):
    """FGM's delta has the radius's length, however seldom or on however few rows it acts."""
    model = tiny("bert")
    with Engine(model, adversary=Fgm(radius=0.3, radius_unit="absolute", **sparing)) as engine:
        for _ in range(4):
            engine.backward(batch())
        terms = engine.terms()
    assert terms["perturbation_norm"] == pytest.approx(0.3, abs=1e-6)
    assert "perturbed" not in terms


def test_r_drop_warns_of_a_model_without_dropout_and_only_of_that():
    """BART calls dropout as a function; it has no module of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Engine(tiny("bart", dropout=0.1), RDrop()).close()
    with pytest.warns(UserWarning, match="no dropout above 0"):
        Engine(tiny("bart", dropout=0.0), RDrop()).close()
