"""fp16 with a gradient scaler: an overflow moves nothing; what `auto` chooses; perturbations of bfloat16 weights."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from contract.bench import Bench, relative_difference
from contract.table import ADVERSARIES
from engine.models import batch, distance, gradients, tiny
from huggingface.trials import same, trainer, weights
from toughen.engine.averages import Ema
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy
from toughen.engine.weight_average import make_average
from toughen.errors import InputError
from toughen.machine.runtime import resolve_precision

ROWS = batch(lengths=(7, 4, 5, 2), labels=(0, 1, 1, 0))
MOVING = ("fgm", "pgd", "pgd-vocabulary", "freelb", "vat", "smart")
FIRING = ("none", *MOVING, "gradient-penalty", "sam", "asam", "awp")
TOO_BIG = 2.0**24
"""A gradient scale at which float16 overflows, and which takes several halvings to fit."""


def optimizers(model):
    parameters = list(model.parameters())
    return {
        "plain": torch.optim.AdamW(parameters, lr=1e-3),
        "fused": torch.optim.AdamW(parameters, lr=1e-3, fused=True),
    }


def memory(optimizer):
    """Return the optimiser's state, without what is 0 (a fused one makes its moments on a skipped step)."""
    return {
        (index, name): value.clone()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value.abs().max() > 0
    }


# ---- the plain loop


@pytest.mark.parametrize("kind", ["plain", "fused"])
@pytest.mark.parametrize("adversary", FIRING)
def test_an_overflow_moves_nothing_and_training_recovers(adversary, kind):
    """While steps are skipped, weights, optimiser, average and counter stay bitwise; then all of them move."""
    bench = Bench("rdrop", adversary, average="ema", dtype=torch.float32, precision="fp16")
    bench.engine.runtime.scaler = torch.amp.GradScaler("cpu", init_scale=TOO_BIG)
    optimizer = optimizers(bench.model)[kind]
    average = make_average(Ema(), bench.model)
    skipped = taken = 0
    while taken < 2:
        before = weights(bench.model), memory(optimizer), bench.engine.updates, average.updates
        bench.backward(ROWS)
        assert bench.engine.updates == before[2] + 1
        if bench.engine.step(optimizer, max_grad_norm=1.0):
            average.update()
            taken += 1
            assert distance(before[0], weights(bench.model)) > 1e-5
        else:
            skipped += 1
            after = weights(bench.model), memory(optimizer), bench.engine.updates, average.updates
            assert same(after, before)
        assert all(g.abs().max() == 0 for g in gradients(bench.model).values()), "step() clears the gradients"
        assert skipped < 40
    assert skipped >= 2, "canary: it did overflow"
    assert (bench.engine.updates, average.updates) == (2, 2)


@pytest.mark.parametrize("adversary", FIRING)
def test_fp16_gradients_are_those_of_fp32(adversary):
    """Scaled by 2^10 and unscaled, gradients in fp16 are within 2 % of float32's, and a scale of 2^7 changes little."""
    found = []
    for scale in (2.0**10, 2.0**7):
        bench = Bench("rdrop", adversary, average="ema", dtype=torch.float32, precision="fp16")
        bench.engine.runtime.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        bench.backward(ROWS)
        found.append({name: g / scale for name, g in gradients(bench.model).items()})
    exact = Bench("rdrop", adversary, average="ema", dtype=torch.float32).gradients(ROWS)
    assert relative_difference(found[0], exact) < 0.02
    assert relative_difference(found[1], found[0]) < 0.01


class Casts(TorchDispatchMode):
    """Counts how often each weight is copied into half precision."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._to_copy.default and (kwargs or {}).get("dtype") is torch.bfloat16:
            place = args[0].data_ptr()  # moved weights lie elsewhere
            self.counts.update(name for name, p in self.model.named_parameters() if p.data_ptr() == place)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("adversary", ["pgd", "freelb", "vat", "sam"])
def test_a_weight_is_cast_once_for_all_passes_of_a_step(adversary):
    """Copies into bfloat16 are kept between passes, for as long as the weights stay where they are and no longer."""
    bench = Bench("rdrop", adversary, dtype=torch.float32, precision="bf16")
    bench.backward(ROWS)
    with Casts(bench.model) as casts:
        bench.backward(ROWS)
        once = Counter(casts.counts)
        bench.backward(ROWS)
    assert set(once.values()) == {2 if adversary in ("sam", "vat") else 1}, "moved weights, passes without graph: anew"
    assert casts.counts == once + once, "canary: nothing outlives the step, or a step would see old weights"


def test_perturbations_stay_finite_when_gradients_do_not(monkeypatch):
    """Where every gradient overflows, delta is 0 for those rows instead of NaN."""
    bench = Bench("cross-entropy", "pgd", dtype=torch.float32, precision="fp16")
    bench.engine.runtime.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    with bench.deltas(monkeypatch) as found:
        bench.backward(ROWS)
    assert float(found[0].abs().max()) == 0


@pytest.mark.parametrize("adversary", ["sam", "asam", "awp"])
def test_weights_do_not_move_where_the_gradient_overflows(adversary):
    """Both passes of the step run at the weights themselves, bitwise; with a small scale (canary) the second one does
    not.
    """
    for scale, apart in ((2.0**60, 0), (2.0**7, 1e-4)):
        bench = Bench(adversary=adversary, dtype=torch.float32, precision="fp16")
        bench.engine.runtime.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        seen, before = [], weights(bench.model)
        bench.model.register_forward_pre_hook(lambda model, _args, seen=seen: seen.append(weights(model)))
        bench.backward(ROWS)
        assert distance(seen[0], before) == 0
        assert len(seen) == 2
        assert distance(seen[1], before) >= apart if apart else same(seen[1], before)
        assert same(weights(bench.model), before)


def test_a_skipped_step_does_not_bring_the_adversary_forward():
    """``start_step`` counts steps that were taken: it waits as long as steps are skipped."""
    bench = Bench("cross-entropy", "fgm", dtype=torch.float32, precision="fp16")
    bench.engine.adversary = replace(ADVERSARIES["fgm"], start_step=1)
    bench.engine.runtime.scaler = torch.amp.GradScaler("cpu", init_scale=TOO_BIG)
    optimizer = optimizers(bench.model)["plain"]
    while True:
        bench.backward(ROWS)
        assert bench.engine.ascents == 0
        if bench.engine.step(optimizer):
            break
    bench.backward(ROWS)
    assert bench.engine.ascents == 1


# ---- the Trainer


class Watcher(TrainerCallback):
    """Notes, after every step, what must not move on a skipped one."""

    def __init__(self):
        self.trainer, self.seen = None, []

    def on_step_end(self, args, state, control, **kwargs):
        made = self.trainer
        self.seen.append(
            {
                "scale": made.accelerator.scaler.get_scale(),
                "weights": weights(made.model),
                "updates": made.engine.updates,
                "average": made.average.updates,
                "schedule": made.lr_scheduler.state_dict()["last_epoch"],
            }
        )


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused"])
def test_the_trainer_in_fp16_skips_and_recovers(tmp_path, optim):
    """fp16=True on a CPU: skipped steps move neither weights nor average, counter or rate; others do."""
    watcher = Watcher()
    objective = CrossEntropy(label_smoothing=0.1, class_weights=(0.7, 1.6))
    recipe = {"objective": objective, "adversary": ADVERSARIES["pgd"], "average": Ema(decay=0.9)}
    made = trainer(
        tmp_path,
        recipe,
        model=tiny("bert", dtype=torch.float32, dropout=0.1),
        keep={"callbacks": [watcher]},
        fp16=True,
        optim=optim,
        num_train_epochs=6,
    )
    watcher.trainer = made
    made.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=TOO_BIG)
    start = {"scale": TOO_BIG, "weights": weights(made.model), "updates": 0, "average": 0, "schedule": 0}
    made.train()
    steps = list(zip([start, *watcher.seen], watcher.seen, strict=False))
    skipped = [(a, b) for a, b in steps if b["scale"] < a["scale"]]
    taken = [(a, b) for a, b in steps if b["scale"] >= a["scale"]]
    assert len(skipped) >= 2
    assert len(taken) >= 5
    for before, after in skipped:
        assert same({**after, "scale": 0}, {**before, "scale": 0})
    for before, after in taken:
        assert distance(before["weights"], after["weights"]) > 0
        for counter in ("updates", "average", "schedule"):
            assert after[counter] == before[counter] + 1
    assert all(p.isfinite().all() for p in made.model.parameters())


def test_the_trainer_in_bf16_is_finite(tmp_path):
    """TrainingArguments(bf16=True): the passes run in bfloat16, the weights stay float32 and train."""
    made = trainer(tmp_path, {"adversary": ADVERSARIES["pgd"]}, bf16=True, eval_strategy="epoch")
    before = weights(made.model)
    made.train()
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in made.model.parameters())
    assert distance(before, weights(made.model)) > 1e-4


# ---- what is chosen


@pytest.mark.parametrize(
    ("device", "capability", "fast_cpu", "expected"),
    [
        ("cuda", (9, 0), False, "bf16"),
        ("cuda", (8, 0), False, "bf16"),
        ("cuda", (7, 5), False, "fp16"),
        ("cuda", (7, 0), True, "fp16"),
        ("cpu", None, True, "bf16"),
        ("cpu", None, False, "fp32"),
        ("mps", None, True, "fp32"),
    ],
    ids=["H100", "A100", "T4", "V100", "CPU with AMX", "old CPU", "Apple"],
)
def test_auto_takes_what_the_hardware_is_fast_at(monkeypatch, device, capability, fast_cpu, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast_cpu)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert resolve_precision("auto", torch.device(device)) == expected
    assert resolve_precision("fp32", torch.device(device)) == "fp32"


def test_bf16_on_a_gpu_without_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla P100")
    with pytest.raises(InputError, match="bf16 is not supported by Tesla P100; use fp16 or auto"):
        resolve_precision("bf16", torch.device("cuda"))


@pytest.mark.parametrize("adversary", MOVING)
def test_perturbations_of_bfloat16_weights_are_float32(adversary, monkeypatch):
    """A model in bfloat16: delta, its norm and the loss are float32, gradients finite and near float32's."""
    bench = Bench("focal", adversary, average="ema", dtype=torch.bfloat16)
    with bench.deltas(monkeypatch) as found:
        loss = bench.backward(ROWS)
    assert all(delta.dtype == torch.float32 for delta in found)
    assert loss.dtype == torch.float32
    exact = Bench("focal", adversary, average="ema", dtype=torch.float32).gradients(ROWS)
    assert relative_difference({k: g.float() for k, g in gradients(bench.model).items()}, exact) < 0.3


def test_an_average_of_bfloat16_weights_is_float32():
    """Steps too small for bfloat16 add up in the shadow, which is float32."""
    model = tiny("bert", dtype=torch.bfloat16)
    average = make_average(Ema(decay=0.99, warmup=False), model)
    state = average.state_dict()
    assert all(t.dtype == torch.float32 for name, t in state.items() if name.startswith("average."))
    with Engine(model, adversary=ADVERSARIES["fgm"]) as engine:
        assert engine.site.dtype == torch.float32
