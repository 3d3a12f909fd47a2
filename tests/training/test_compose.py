"""What does not go together is refused in a sentence that says why and what to use."""

import pytest

from toughen import CrossEntropy, InputError, load_recipe
from toughen.training.compose import check_trainer, smoothed_once


@pytest.mark.parametrize("name", ["fgm", "freelb", "vat"])
def test_deepspeed_and_an_adversary_are_refused_by_name(name):
    with pytest.raises(InputError, match=f"adversary {name} cannot be combined with DeepSpeed.*use DDP"):
        check_trainer(load_recipe(name), loss_function=None, deepspeed=True)


def test_deepspeed_and_an_average_are_refused_by_name():
    with pytest.raises(InputError, match="average ema cannot be combined with DeepSpeed"):
        check_trainer(load_recipe("ema"), loss_function=None, deepspeed=True)


@pytest.mark.parametrize("name", ["plain", "rdrop"])
def test_deepspeed_may_train_what_needs_one_backward(name):
    check_trainer(load_recipe(name), loss_function=None, deepspeed=True)


def test_another_loss_function_is_refused():
    with pytest.raises(InputError, match="compute_loss_func cannot be combined"):
        check_trainer(None, loss_function=lambda *_: 0.0, deepspeed=False)


def test_smoothing_comes_from_the_recipe_or_the_arguments_but_not_from_both():
    assert smoothed_once(CrossEntropy(label_smoothing=0.1), 0.0).label_smoothing == 0.1
    assert smoothed_once(CrossEntropy(), 0.2).label_smoothing == 0.2
    with pytest.raises(InputError, match="set twice"):
        smoothed_once(CrossEntropy(label_smoothing=0.1), 0.2)
