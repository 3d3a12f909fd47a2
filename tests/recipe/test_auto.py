"""What a recipe leaves to the run is open until a number stands there, and what it says itself stays."""

import pytest

from toughen.errors import InputError
from toughen.recipe.auto import as_begun, fill_auto, is_open
from toughen.recipe.recipe import load_recipe

VALUES = {"head.pooling": "mean", "training.learning_rate": 1e-4}


def test_only_what_is_open_is_filled():
    done = fill_auto(load_recipe("plain"), VALUES)
    assert (done.head.pooling, done.training.peak_rate) == ("mean", 1e-4)
    said = load_recipe("plain", {"head.pooling": "cls"})
    assert fill_auto(said, VALUES).head.pooling == "cls"
    assert is_open(said)
    assert not is_open(done)


def test_other_autos_are_the_machines_and_stay():
    done = fill_auto(load_recipe("plain"), VALUES)
    assert (done.training.precision, done.head.bias) == ("auto", "auto")


def test_a_run_goes_on_with_what_it_began_with():
    begun = fill_auto(load_recipe("plain"), VALUES)
    assert as_begun(load_recipe("plain"), begun) == begun
    assert as_begun(load_recipe("plain", {"training.learning_rate": 5e-5}), begun) != begun


def test_an_open_rate_is_no_number():
    with pytest.raises(RuntimeError, match="still auto"):
        _ = load_recipe("plain").training.peak_rate
    with pytest.raises(InputError, match=r"training.learning_rate must be a number or auto, got 'fast'"):
        load_recipe("plain", {"training.learning_rate": "fast"})
