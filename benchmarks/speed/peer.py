"""(q) A step of bert4torch's Trainer with its FGM, PGD, R-Drop and EMA over ours with the same settings.

bert4torch (MIT) and torch4keras (Apache 2.0) are no dependency of this project. Put them into a folder of their own,

    pip install --no-deps --target FOLDER bert4torch==0.6.2 torch4keras==0.3.4 requests==2.34.2 \
        charset-normalizer==3.5.2 urllib3==2.8.0 idna==3.20 certifi==2026.10.18

and name it: TOUGHEN_PEER=FOLDER, or --peer FOLDER. What is left out of its package, and why, is said in README.md.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import operator
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import loops
import models
import torch
from measure import Bench, Side
from models import Batch
from sides import CLIP, STEPS, WholeStep, make_optimizer
from torch import Tensor, nn

from toughen.machine.full_speed import full_speed
from toughen.recipe.recipe import Recipe, load_recipe
from toughen.recipe.training import Training

ON_THE_TABLE = {"adversary.radius": 1.0, "adversary.radius_unit": "absolute", "adversary.scope": "vocabulary"}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "fgm": ON_THE_TABLE,
    "pgd": {**ON_THE_TABLE, "adversary.step_size": 0.3, "adversary.steps": 3},
    "rdrop": {"objective.alpha": 1.0, "objective.label_smoothing": 0.0},
    "ema": {"average.decay": 0.999, "average.warmup": False},
}
"""What our recipes are changed to, so that they compute what bert4torch does by default.

Its R-Drop divides by 4 and by the number of classes: its alpha 4 is our 1. `plain` has no technique: what the loops
cost.
"""
ALPHA = 4.0
PASSES = {"fgm": 2, "pgd": 4}
IDLE: dict[str, dict[str, Any]] = {"rdrop": {**RECIPES["rdrop"], "objective.alpha": 0.0}}
"""What a technique must differ from, where that is not `plain`."""
UNITS = {"plain": 3, "fgm": 6, "pgd": 12, "rdrop": 6, "ema": 3}
"""Of theirs: every pass is a forward and a backward into all weights; R-Drop's has every row twice."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def run(bench: Bench, options: Any) -> None:
    """Check that both compute the same, then measure what is missing."""
    try:
        peer = load()
    except ImportError as error:
        print(f"q is left out: bert4torch cannot be imported ({error}); see benchmarks/speed/peer.py", flush=True)
        return
    for size in options.sizes:
        rows, length = options.shapes(size, (4, 128))
        for precision in options.precisions:
            if precision == "fp16" and options.device == "cpu":
                print("q in fp16 is left out: on a CPU bert4torch's Trainer computes float32 instead", flush=True)
                continue
            for name in filter(options.wants, RECIPES):
                setting = {"size": size, "batch": rows, "length": length, "precision": precision, "peer": peer.version}
                if bench.missing("q", name, setting):
                    check(peer, name)
                    _compare(bench, peer, name, setting, options.device)


@full_speed(Training())
def _compare(bench: Bench, peer: Any, name: str, setting: dict[str, Any], device: str) -> None:
    size, precision = setting["size"], setting["precision"]
    batches = models.full_batches(size, setting["batch"], setting["length"], device)
    ours = WholeStep(models.make_model(size, device), recipe(name), batches, precision)
    fit = Fit(peer, name, models.make_model(size, device), batches, precision)
    theirs = loops.Lane(fit)
    # Theirs runs in a thread; in the main one ours would keep larger blocks of freed memory.
    with ThreadPoolExecutor(1) as thread:
        try:
            units = _watched(fit, theirs, name, setting)
            bench.compare("q", name, setting, theirs, _in(thread, ours), units=ours.units, peer_units=units)
        finally:
            theirs.close()


def _in(thread: ThreadPoolExecutor, side: Side) -> Side:
    return lambda i: thread.submit(side, i).result()


def recipe(name: str) -> Recipe:
    """Return ours with the settings of theirs."""
    return load_recipe(name, RECIPES[name])


def idle(name: str) -> Recipe:
    """Return ours with the technique off."""
    return load_recipe(name, IDLE[name]) if name in IDLE else load_recipe("plain")


def load() -> SimpleNamespace:
    """Import what is needed of bert4torch, as it is.

    Raises:
        ImportError: if it, or something that these modules import, is not there.
    """
    spec = importlib.util.find_spec("bert4torch")
    if spec is None:
        raise ModuleNotFoundError("No module named 'bert4torch'")
    # Its own __init__ imports every one of its models, and with them torchvision, which it does not declare.
    sys.modules.setdefault("bert4torch", importlib.util.module_from_spec(spec))
    # torch4keras deletes nn.Module.compile for the sake of a class that is not used here.
    kept = nn.Module.compile
    try:
        from bert4torch.callbacks import AdversarialTraining, LambdaCallback
        from bert4torch.losses import RDropLoss
        from bert4torch.optimizers import extend_with_exponential_moving_average
        from torch4keras.trainer import AccelerateTrainer, Trainer
    finally:
        nn.Module.compile = kept
    return SimpleNamespace(
        AdversarialTraining=AdversarialTraining,
        LambdaCallback=LambdaCallback,
        RDropLoss=RDropLoss,
        average=extend_with_exponential_moving_average,
        Trainer=Trainer,
        AccelerateTrainer=AccelerateTrainer,
        version=", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("bert4torch", "torch4keras")),
    )


# ---- theirs


class _EndedError(Exception):
    """Leaves a fit: its ``stop_training`` is looked at between epochs only."""


class Fit:
    """Their ``fit``, with what :class:`loops.Lane` asks of a training.

    Attributes:
        optimizer: fused AdamW, as ours.
        average: their moving average, a scheduler among its schedulers, where the technique is `ema`.
    """

    def __init__(self, peer: Any, name: str, model: Any, batches: Sequence[Batch], precision: str) -> None:
        self.model, self._peer = model, peer
        self.optimizer, schedule = make_optimizer(model)
        self.average = peer.average(model, RECIPES["ema"]["average.decay"]) if name == "ema" else None
        self._callbacks = [_adversary(peer, name)] if name in PASSES else []
        self._trainer, mixed = _trainer(peer, model, precision)
        self._trainer.compile(
            loss=_RDrop(peer) if name == "rdrop" else _CrossEntropy(),
            optimizer=self.optimizer,
            scheduler=[schedule, self.average] if self.average else schedule,
            clip_grad_norm=CLIP,
            mixed_precision=mixed,
        )
        self._rows = [_rows(batch, 2 if name == "rdrop" else 1) for batch in batches]

    def add_callback(self, baton: Any) -> None:
        """Take what hands over after every step."""
        self._baton = baton

    def remove_callback(self, _kind: Any) -> None:
        """Do nothing: its progress bar is off."""

    def train(self) -> None:
        """Call ``fit`` as its users do, on batches that are made already."""
        last = self._peer.LambdaCallback(on_batch_end=self._hand_over)
        # Without a generator of its own it draws from the one that dropout draws from.
        own = torch.Generator()
        rows = torch.utils.data.DataLoader(self._rows, batch_size=1, collate_fn=operator.itemgetter(0), generator=own)
        # It holds the wait for the other side's step against the callback that waits.
        warnings.filterwarnings("ignore", r"Method on_batch_end\(\) is slow")
        with contextlib.suppress(_EndedError):
            self._trainer.fit(rows, steps_per_epoch=STEPS, epochs=1, callbacks=[*self._callbacks, last], verbose=0)

    def _hand_over(self, *_logs: Any) -> None:
        control = SimpleNamespace(should_training_stop=False)
        self._baton.on_step_end(None, None, control)
        if control.should_training_stop:
            raise _EndedError


def _trainer(peer: Any, model: Any, precision: str) -> tuple[Any, Any]:
    """Return a Trainer and its ``mixed_precision``.

    Theirs names `cuda` to autocast, which does nothing on a CPU; there bfloat16 is what its AccelerateTrainer is for.
    """
    if precision == "fp32":
        return peer.Trainer(model), False
    if next(model.parameters()).device.type == "cuda":
        return peer.Trainer(model), precision
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision or another part
    trainer = peer.AccelerateTrainer(model, mixed_precision=precision, cpu=True)
    trainer.verbose = 0  # it turns the progress bar on
    return trainer, False


def _adversary(peer: Any, name: str) -> Any:
    settings = {"epsilon": 1.0} if name == "fgm" else {"epsilon": 1.0, "K": 3, "alpha": 0.3}
    return peer.AdversarialTraining(name, settings)


def _rows(batch: Batch, copies: int) -> tuple[list[Tensor], Tensor]:
    """Return what a loader hands to ``fit``; R-Drop's users put every row into the batch twice."""
    inputs = [torch.cat([batch[name]] * copies) for name in ("input_ids", "attention_mask")]
    return inputs, torch.cat([batch["labels"]] * copies)


class _CrossEntropy(nn.CrossEntropyLoss):
    """Of what a transformers classifier returns."""

    def forward(self, output: Any, labels: Tensor) -> Tensor:
        return super().forward(output.logits, labels)


class _RDrop(nn.Module):
    """Their R-Drop of what a transformers classifier returns."""

    def __init__(self, peer: Any) -> None:
        super().__init__()
        self._loss = peer.RDropLoss(alpha=ALPHA, rank="updown")

    def forward(self, output: Any, labels: Tensor) -> Any:
        return self._loss(output.logits, labels)


# ---- that theirs is what it is taken for


def check(peer: Any, name: str) -> None:
    """Compare one step of both on a tiny model in float64: the gradient that AdamW gets, or the average.

    Dropout is off, but on for R-Drop, whose two forms draw the same masks.

    Raises:
        RuntimeError: if they differ, or if the technique changes nothing.
    """
    batch = models.make_batch("tiny", [12, 12, 9, 7], 0)
    theirs, ours, off = (_Double(name, batch) for _ in range(3))
    theirs.step_of_theirs(peer)
    ours.step_of_ours(recipe(name))
    off.step_of_ours(idle(name))
    apart, moved = _distance(theirs.found, ours.found), _distance(theirs.found, off.found)
    print(f"    theirs - ours: {apart:.0e}; theirs - off: {moved:.0e}", flush=True)
    if apart > SAME or (name != "plain" and moved < DIFFERENT):
        raise RuntimeError(f"bert4torch's {name} is not ours: {apart:.0e} apart, and {moved:.0e} from nothing at all")


SAME, DIFFERENT = 1e-9, 1e-6


class _Double:
    """A tiny model that makes one step.

    Attributes:
        found: by parameter: the gradient as the optimiser got it; for `ema` what the average moved.
    """

    def __init__(self, name: str, batch: Batch) -> None:
        self._name, self._batch = name, batch
        self._model = models.make_model("tiny").double()
        for module in self._model.modules():
            if isinstance(module, nn.Dropout) and name != "rdrop":
                module.p = 0.0
        self._start = {n: p.detach().clone() for n, p in self._model.named_parameters()}
        self.found: dict[str, Tensor] = {}

    def step_of_theirs(self, peer: Any) -> None:
        fit = Fit(peer, self._name, self._model, [self._batch], "fp32")
        lane = loops.Lane(fit)
        self._step(lane, fit.optimizer)
        lane.close()
        if fit.average is not None:
            self._keep_average(fit.average.ema_weights)

    def step_of_ours(self, made: Recipe) -> None:
        step = WholeStep(self._model, made, [self._batch], "fp32")
        self._step(step, step._optimizer)
        if self._name == "ema":
            average = step.engine.average
            self._keep_average(average.weights(self._model) if average else self._start)

    def _step(self, step: Any, optimizer: torch.optim.Optimizer) -> None:
        optimizer.register_step_pre_hook(self._keep_gradients)
        with torch.no_grad():
            for parameter in self._model.parameters():
                parameter += 0.01  # the average has its copy already, and must follow
        torch.manual_seed(1)
        step(0)

    def _keep_gradients(self, *_: Any) -> None:
        named = self._model.named_parameters()
        self.found = {name: p.grad.clone() for name, p in named if p.grad is not None}

    def _keep_average(self, weights: dict[str, Tensor]) -> None:
        self.found = {name: weights[name] - start for name, start in self._start.items()}


def _distance(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Return the largest difference of any two numbers; infinite if the names differ."""
    if first.keys() != second.keys():
        return float("inf")
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def _watched(fit: Fit, lane: loops.Lane, name: str, setting: dict[str, Any]) -> int:
    """Make one step of the very training that is measured, and return its units: 3 per row and pass.

    Raises:
        RuntimeError: if the units are not the technique's, an adversary does not move the table before each of its
            passes (or something else moves it), or the passes are in another precision.
    """
    rows, tables, dtypes = [], [], set()

    def entered(table: Any, inputs: Any) -> None:
        rows.append(len(inputs[0]))
        tables.append(float(table.weight.detach()[inputs[0]].double().sum()))

    def left(_linear: Any, _inputs: Any, output: Tensor) -> None:
        dtypes.add(output.dtype)

    linear = next(module for module in fit.model.modules() if isinstance(module, nn.Linear))
    hooks = fit.model.get_input_embeddings().register_forward_pre_hook(entered), linear.register_forward_hook(left)
    lane(0)
    for hook in hooks:
        hook.remove()
    found = 3 * sum(rows) / setting["batch"], len(set(tables)), dtypes
    wanted = UNITS[name], PASSES.get(name, 1), {DTYPES[setting["precision"]]}
    if found != wanted:
        raise RuntimeError(f"bert4torch's {name}: units, tables and precision are {found}, expected {wanted}")
    return UNITS[name]
