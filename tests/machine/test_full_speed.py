"""Full speed on a CPU: only where it is asked for, and only for as long as a training lasts."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import toughen
from contract.bench import relative_difference
from engine.models import batch, gradients, tiny
from huggingface.trials import trainer
from tiny import save_tiny_model, write_splits
from toughen.engine.engine import Engine
from toughen.huggingface.trainer import ToughTrainer
from toughen.machine import allocator
from toughen.machine import full_speed as where
from toughen.machine.full_speed import full_speed, half_attention
from toughen.machine.kernels import bernoulli_
from toughen.training import build_trainer

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")


class Softmax(TorchDispatchMode):
    """Notes the types of attention's probabilities [B, heads, T, T]."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if "softmax" in str(function) and found.dim() == 4:
            self.types.add(found.dtype)
        return found


def has_quick_kernels():
    """Say whether a mask is drawn by the kernel of ours; torch's generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = torch.empty(100).bernoulli_(0.9)
    return torch.equal(drawn, bernoulli_(torch.empty(100), 0.9, generator=torch.Generator().manual_seed(0)))


def step(precision, wanted):
    """Return a step's gradients, with dropout, and the types of attention's probabilities."""
    model, rows = tiny("bert", dropout=0.1).float(), batch()
    torch.manual_seed(0)
    with Engine(model, precision=precision) as engine, half_attention(wanted), Softmax() as seen:
        engine.backward(rows)
    return gradients(model), seen.types


def test_attention_stays_in_bfloat16_and_its_gradients_near_those_of_float32():
    """Canary: without it attention is widened to float32; the switch is as it was afterwards."""
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    exact, _ = step("fp32", wanted=False)
    wide, wide_types = step("bf16", wanted=False)
    half, half_types = step("bf16", wanted=True)
    assert (wide_types, half_types) == ({torch.float32}, {torch.bfloat16})
    assert relative_difference(half, wide) > 0
    assert relative_difference(half, exact) < 0.03
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before


def test_of_overlapping_blocks_the_last_puts_the_switch_back():
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed
    first, second = half_attention(), half_attention()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert allowed()
    second.__exit__(None, None, None)
    assert not allowed()


def test_float32_is_left_as_it_is():
    exact, _ = step("fp32", wanted=False)
    same, types = step("fp32", wanted=True)
    assert types == {torch.float32}
    assert relative_difference(same, exact) == 0


@pytest.mark.parametrize("cpu_kernels", [True, False])
@pytest.mark.parametrize(("memory", "kept"), [("normal", True), ("low", False)])
@pytest.mark.parametrize(("precision", "half"), [("bf16", True), ("fp32", False)])
def test_the_training_settings_decide(monkeypatch, memory, kept, precision, half, cpu_kernels):
    asked = []
    monkeypatch.setattr(where, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(allocator, "_glibc", lambda: asked.append("glibc"))
    with full_speed(precision, memory, cpu_kernels):
        assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == (half and cpu_kernels)
        assert has_quick_kernels() == cpu_kernels
    assert bool(asked) == (kept and cpu_kernels)
    assert not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    assert not has_quick_kernels()


def test_for_a_gpu_nothing_of_the_cpu_is_changed(monkeypatch):
    monkeypatch.setattr(where, "best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with full_speed():
        assert not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
        assert not has_quick_kernels()


@pytest.fixture
def at_each_step(monkeypatch):
    """What is on in each training step of the Trainer: (attention in bfloat16, quick kernels)."""
    inside, inner = [], ToughTrainer.training_step

    def noted(*args, **kwargs):
        inside.append((torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed(), has_quick_kernels()))
        return inner(*args, **kwargs)

    monkeypatch.setattr(ToughTrainer, "training_step", noted)
    for module in (where, build_trainer):
        monkeypatch.setattr(module, "best_device", lambda: torch.device("cpu"))
    return inside


@pytest.mark.parametrize("asked", [{}, {"cpu_kernels": False}])
def test_a_training_runs_at_full_speed_unless_told_not_to_and_leaves_nothing_on(at_each_step, tmp_path, asked):
    data = write_splits(tmp_path, train=32, validation=16, test=16)
    training = {"max_steps": 2, "batch_size": 8, "max_length": 32, "precision": "bf16"} | asked
    model = save_tiny_model(tmp_path / "model")
    toughen.train(data, model=model, recipe="plain", output=tmp_path / "run", quiet=True, training=training)
    assert at_each_step == [(not asked, not asked)] * 2
    assert not has_quick_kernels()
    assert not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()


@pytest.mark.parametrize("asked", [{}, {"cpu_kernels": True}])
def test_a_trainer_of_ones_own_changes_the_process_only_when_asked(at_each_step, tmp_path, asked):
    made = trainer(tmp_path, keep=asked, max_steps=2)
    assert not has_quick_kernels()
    made.train()
    assert [kernels for _, kernels in at_each_step] == [bool(asked)] * 2
    assert not has_quick_kernels()


@pytest.mark.parametrize("asked", [{}, {"cpu_kernels": True}])
def test_an_engine_in_a_plain_loop_changes_the_process_only_when_asked(monkeypatch, asked):
    monkeypatch.setattr(where, "best_device", lambda: torch.device("cpu"))
    with Engine(tiny("bert"), **asked) as engine:
        engine.backward(batch())
        assert has_quick_kernels() == bool(asked)
    assert not has_quick_kernels()


def test_a_training_that_breaks_leaves_nothing_on(monkeypatch, at_each_step, tmp_path):
    made = trainer(tmp_path, keep={"cpu_kernels": True})
    before = ToughTrainer.training_step

    def breaks(*args, **kwargs):
        before(*args, **kwargs)
        raise ZeroDivisionError

    monkeypatch.setattr(ToughTrainer, "training_step", breaks)
    with pytest.raises(ZeroDivisionError):
        made.train()
    assert [kernels for _, kernels in at_each_step] == [True], "canary: they were on"
    assert not has_quick_kernels()
