"""Weight averages against the series of SPEC 3, and their promise to give the raw weights back."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from engine.models import tiny
from toughen.engine.averages import Ema, Swa
from toughen.engine.weight_average import make_average
from toughen.errors import InputError


class Point(nn.Module):
    """A model that is one number."""

    def __init__(self, start=0.0, dtype=torch.float64):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start], dtype=dtype))

    def set(self, value):
        self.w.data.fill_(value)


def averaged(average, model):
    with average.applied():
        return model.w.item()


def test_ema_warm_up_series():
    """d_n = (1+n)/(10+n) from n = 1, and never above the decay."""
    model = Point()
    average = make_average(Ema(decay=0.999), model)
    series = []
    for _ in range(5):
        average.update()
        series.append(average.decay)
    assert series == pytest.approx([2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15], rel=0, abs=1e-12)
    assert [round(d, 6) for d in series] == [0.181818, 0.25, 0.307692, 0.357143, 0.4]
    capped = make_average(Ema(decay=0.3), model)
    for _ in range(3):
        capped.update()
    assert capped.decay == 0.3


def test_constant_ema_on_targets_1_to_5():
    model = Point(0.0)
    average = make_average(Ema(decay=0.9, warmup=False), model)
    values = []
    for target in range(1, 6):
        model.set(target)
        average.update()
        values.append(averaged(average, model))
    assert values == pytest.approx([0.1, 0.29, 0.561, 0.9049, 1.31441], rel=0, abs=1e-9)


def test_warm_up_ema_follows_its_own_recursion():
    """s <- d_n s + (1 - d_n) w with the warm-up's d_n."""
    model, s = Point(7.0), 7.0
    average = make_average(Ema(decay=0.999), model)
    for n, target in enumerate((1.0, -2.0, 0.5), start=1):
        model.set(target)
        average.update()
        d = (1 + n) / (10 + n)
        s = d * s + (1 - d) * target
    assert averaged(average, model) == pytest.approx(s, rel=0, abs=1e-12)


def test_warm_up_forgets_the_starting_point():
    """Why warm-up: after 1,563 steps a constant .999 still carries 21 % of the start."""
    shares = {}
    for warmup in (False, True):
        model = Point(1.0)
        average = make_average(Ema(decay=0.999, warmup=warmup), model)
        model.set(0.0)
        for _ in range(1563):
            average.update()
        shares[warmup] = averaged(average, model)
    assert shares[False] == pytest.approx(0.999**1563, rel=1e-9)
    assert round(shares[False], 2) == 0.21
    assert shares[True] < 1e-6


@pytest.mark.parametrize(
    ("start", "every", "joined"), [(0.5, 1, [6, 7, 8, 9, 10]), (0.4, 3, [7, 10]), (0.0, 5, [5, 10])]
)
def test_swa_is_the_plain_mean_of_the_weights_that_joined(start, every, joined):
    model = Point(100.0)
    average = make_average(Swa(start=start, every=every), model, total_steps=10)
    for step in range(1, 11):
        model.set(step)
        average.update()
        if step < joined[0]:
            assert averaged(average, model) == step  # before the first joins it follows the raw weights
    assert averaged(average, model) == pytest.approx(sum(joined) / len(joined), rel=0, abs=1e-12)


def test_swa_always_takes_at_least_one_weight():
    model = Point(0.0)
    average = make_average(Swa(start=0.99, every=4), model, total_steps=5)
    for step in range(1, 6):
        model.set(step)
        average.update()
    assert average.updates >= 1


def test_swa_needs_the_number_of_steps():
    with pytest.raises(InputError, match="total_steps"):
        make_average(Swa(), Point())


@pytest.mark.parametrize("config", [Ema(decay=0.5, warmup=False), Swa(start=0.0)])
def test_raw_weights_come_back_bitwise_even_after_an_exception(config):
    model = tiny("bert", dtype=torch.float32)
    average = make_average(config, model, total_steps=4)
    for scale in (1.1, 0.7):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(scale)
        average.update()
    raw = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def score():
        with average.applied():
            assert any(not torch.equal(raw[name], now) for name, now in model.state_dict().items())
            raise RuntimeError("while scoring")

    with pytest.raises(RuntimeError, match="while scoring"):
        score()
    assert all(torch.equal(raw[name], now) for name, now in model.state_dict().items())


def test_shadow_of_half_precision_weights_is_float32():
    """In bfloat16 a step of 1/256 at 1.0 would be lost again and again."""
    model = Point(1.0, torch.bfloat16)
    average = make_average(Ema(decay=0.99, warmup=False), model)
    model.set(1.0078125)
    for _ in range(100):
        average.update()
    (shadow,) = [t for name, t in average.state_dict().items() if name.startswith("average.")]
    assert shadow.dtype == torch.float32
    assert shadow.item() == pytest.approx(1 + 0.0078125 * (1 - 0.99**100), abs=1e-6)
    with average.applied():
        assert model.w.dtype == torch.bfloat16


def test_tied_weights_are_averaged_once_and_stay_tied():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    model[1].weight = model[0].weight
    average = make_average(Ema(decay=0.9, warmup=False), model)
    before = model[0].weight.detach().clone()
    model[0].weight.data.add_(1.0)
    average.update()
    assert sum(name.startswith("average.") for name in average.state_dict()) == 1
    with average.applied():
        assert model[1].weight is model[0].weight
        assert torch.allclose(model[1].weight, before + 0.1, rtol=0, atol=1e-12)


def test_floating_buffers_are_copied_and_other_buffers_left_alone():
    model = nn.BatchNorm1d(2)
    average = make_average(Ema(decay=0.9, warmup=False), model)
    model(torch.tensor([[1.0, 2.0], [3.0, 8.0]]))
    average.update()
    at_update = model.running_mean.clone()
    model(torch.tensor([[5.0, 5.0], [9.0, 9.0]]))
    now, count = model.running_mean.clone(), int(model.num_batches_tracked)
    with average.applied():
        assert torch.equal(model.running_mean, at_update)
        assert int(model.num_batches_tracked) == count
    assert torch.equal(model.running_mean, now)
    assert not torch.equal(now, at_update)


def test_frozen_weights_take_no_part():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    average = make_average(Ema(), model)
    assert {name for name in average.state_dict() if name.startswith("average.")} == {
        "average.1.weight",
        "average.1.bias",
    }
    for parameter in model[1].parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="no trainable weights"):
        make_average(Ema(), model)


@pytest.mark.parametrize("config", [Ema(decay=0.9), Swa(start=0.3, every=2)])
def test_a_restored_average_goes_on_as_if_never_stopped(config):
    """Save after 4 of 8 updates into a new object: the same weights, counters and decay at the end."""
    model = Point(0.0)
    straight = make_average(config, model, total_steps=8)
    for step in range(1, 9):
        model.set(step * step)
        straight.update()
        if step == 4:
            state = {name: tensor.clone() for name, tensor in straight.state_dict().items()}
    other = Point(-5.0)
    resumed = make_average(config, other, total_steps=8)
    resumed.load_state_dict(state)
    for step in range(5, 9):
        other.set(step * step)
        resumed.update()
    assert all(
        torch.equal(a, b) for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    assert resumed.decay == straight.decay
    fresh = make_average(config, other, total_steps=8)
    assert averaged(fresh, other) != averaged(straight, model)


def test_the_average_of_another_model_is_refused():
    state = make_average(Ema(), Point()).state_dict()
    with pytest.raises(ValueError, match="another model"):
        make_average(Ema(), nn.Linear(2, 2)).load_state_dict(state)


def test_update_changes_no_weight():
    model = tiny("bert", dtype=torch.float32)
    raw = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average = make_average(Ema(), model)
    average.update()
    assert all(torch.equal(raw[name], now) for name, now in model.state_dict().items())


def test_the_decay_rises_to_its_limit():
    average = make_average(Ema(decay=0.9), Point())
    decays = []
    for _ in range(200):
        average.update()
        decays.append(average.decay)
    assert all(a <= b for a, b in pairwise(decays))
    assert decays[-1] == 0.9


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (Ema, {"decay": 1.0}, "decay"),
        (Ema, {"decay": -0.1}, "decay"),
        (Swa, {"start": 1.0}, "start"),
        (Swa, {"rate_factor": 0.0}, "rate_factor"),
        (Swa, {"every": 0}, "every"),
        (Swa, {"rate": "cyclic", "every": 1}, "every"),
    ],
)
def test_wrong_settings_are_refused_by_name(kind, settings, field):
    with pytest.raises(InputError, match=field):
        kind(**settings)


@pytest.mark.parametrize("config", [Ema(decay=0.9, keep_on="cpu"), Swa(start=0.0, keep_on="cpu")])
def test_an_average_kept_on_the_cpu_is_the_same(config):
    """Where it lies changes no number. (On a machine without accelerator both lie on the CPU.)"""
    from dataclasses import replace

    model = Point()
    there, here = (make_average(c, model, total_steps=3) for c in (config, replace(config, keep_on="model")))
    for target in (1.0, 2.0, 3.0):
        model.set(target)
        there.update()
        here.update()
    assert averaged(there, model) == averaged(here, model) != 3.0
    assert all(tensor.device.type == "cpu" for tensor in there.state_dict().values())


def test_keeping_it_on_the_cpu_really_moves_it():
    """Canary: a model on another device (meta, which holds no numbers to copy) shows that the copy is asked for."""
    model = nn.Linear(2, 2, device="meta")
    assert make_average(Ema(keep_on="model"), model).state_dict()["average.weight"].device.type == "meta"
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        make_average(Ema(keep_on="cpu"), model)
