"""Without a screen, a long run says after its first few steps how long it will take."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from toughen.huggingface import progress
from toughen.huggingface.progress import ProgressLog


def lines(monkeypatch, *, seconds_per_step, log_steps, start=0):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    out = io.StringIO()
    log, args = ProgressLog(Console(file=out)), SimpleNamespace(logging_steps=log_steps)
    state = SimpleNamespace(global_step=start, max_steps=start + 105, is_world_process_zero=True)
    log.on_train_begin(args, state, None)
    for _ in range(20):
        now[0] += seconds_per_step
        state.global_step += 1
        log.on_step_end(args, state, None)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("start", [0, 40])
def test_a_long_run_says_so_once(monkeypatch, start):
    found = lines(monkeypatch, seconds_per_step=2.0, log_steps=50, start=start)
    assert found == [f"step {start + 5}/{start + 105}  0.50 steps/s  about 200 s left"]


def test_a_short_run_and_one_that_logs_earlier_say_nothing(monkeypatch):
    assert lines(monkeypatch, seconds_per_step=0.5, log_steps=50) == []
    assert lines(monkeypatch, seconds_per_step=2.0, log_steps=5) == []
