"""Learning-rate schedules against the table of SPEC 4."""

from math import cos, pi

import pytest
import torch

from toughen.engine.averages import Ema, Swa
from toughen.huggingface.schedules import make_schedule, warmup_steps


def factors(schedule, total, *, warmup=0.1, average=None, base=2e-5):
    """Return the rate at each optimiser step 0..total as a share of the base rate."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make_schedule(optimizer, schedule, warmup=warmup, total_steps=total, average=average)
    series = []
    for _ in range(total + 1):
        series.append(optimizer.param_groups[0]["lr"] / base)
        optimizer.step()
        scheduler.step()
    return series


def test_cosine_with_warm_up():
    """T = 100, W = 10; the values of SPEC 4 and the formula behind them."""
    rate = factors("cosine", 100)
    spec = {0: 0.0, 1: 0.1, 5: 0.5, 10: 1.0, 11: 0.999695, 55: 0.5, 99: 0.000305, 100: 0.0}
    for step, value in spec.items():
        assert rate[step] == pytest.approx(value, rel=0, abs=5e-7)
    for step in range(10, 101):
        assert rate[step] == pytest.approx((1 + cos(pi * (step - 10) / 90)) / 2, rel=0, abs=1e-9)


def test_linear_falls_to_zero_and_constant_stays():
    linear, constant = factors("linear", 100), factors("constant", 100)
    assert [linear[s] for s in (5, 10, 55, 100)] == pytest.approx([0.5, 1.0, 0.5, 0.0], rel=0, abs=1e-9)
    assert [constant[s] for s in (5, 10, 55, 100)] == pytest.approx([0.5, 1.0, 1.0, 1.0], rel=0, abs=1e-9)


@pytest.mark.parametrize(
    ("warmup", "total", "steps"), [(0.1, 100, 10), (0.1, 101, 11), (0.0, 50, 0), (1, 50, 1), (20, 50, 20)]
)
def test_warm_up_below_one_is_a_share_and_else_a_number_of_steps(warmup, total, steps):
    assert warmup_steps(warmup, total) == steps
    rate = factors("constant", total, warmup=warmup)
    assert rate[steps] == 1.0
    assert steps == 0 or rate[steps - 1] < 1.0


def test_swa_holds_the_rate_constant_from_its_start():
    rate = factors("cosine", 100, average=Swa(start=0.75, rate="constant", rate_factor=0.4))
    plain = factors("cosine", 100)
    assert rate[:75] == plain[:75]
    assert rate[75:100] == pytest.approx([0.4] * 25, rel=0, abs=1e-12)


def test_swa_cycles_fall_to_the_step_that_joins():
    """Cycle of 5 from step 75: top at its first step, lowest at its last, whose weights join the mean."""
    rate = factors("cosine", 100, average=Swa(start=0.75, rate="cyclic", rate_factor=0.5, every=5))
    assert rate[75:85] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1] * 2, rel=0, abs=1e-12)


@pytest.mark.parametrize("average", [None, Ema(), Swa(rate="schedule")])
def test_other_averages_leave_the_schedule_alone(average):
    assert factors("cosine", 40, average=average) == factors("cosine", 40)


def test_every_group_keeps_its_own_base_rate():
    """Layer-wise rates survive schedule and SWA tail: each group is scaled by the same factor."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (2e-5, 1e-5)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = make_schedule(optimizer, "cosine", warmup=0.1, total_steps=20, average=Swa(rate_factor=0.3))
    for _ in range(20):
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert first == pytest.approx(2 * second, rel=1e-12)
        optimizer.step()
        scheduler.step()
