"""A recipe at work on random texts of one shape: the real model, the real engine, the real optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from toughen.cost.memory import SavedTensors, line_through
from toughen.cost.passes import Forecast, Ledger, Passes, acting_rows, without_weights
from toughen.engine.averages import CheckpointSoup, Ema
from toughen.engine.engine import Engine
from toughen.engine.objectives import CrossEntropy
from toughen.engine.step import math_attention
from toughen.engine.weight_average import make_average
from toughen.huggingface.pretrained import prepare
from toughen.machine.process_wide import process_wide
from toughen.machine.runtime import best_device, from_ampere, resolve_precision
from toughen.model.groups import parameter_groups
from toughen.recipe.recipe import Recipe
from toughen.tasks import TaskName

Clock = Callable[[], float]


@dataclass(frozen=True)
class Measured:
    """What a few steps really took, means over a cycle of the adversary.

    Attributes:
        passes: that the engine made.
        plain_seconds: of a plain step, without gradient checkpointing, optimiser included; the median.
        seconds: of the recipe's step; the median.
        activations: bytes that autograd kept at most.
        peak: bytes that the device held at most (GPU only).
    """

    passes: Passes
    plain_seconds: float
    seconds: float
    activations: int
    peak: int | None


class Workload:
    """One model, made ready as a training makes it ready, and random texts for it.

    Attributes:
        model: in training mode, on the device.
        device: where.
        precision: of the passes, resolved.
        rows: of a micro-batch.
        length: tokens of each text; lower than asked where the model takes no more.
    """

    def __init__(self, recipe: Recipe, rows: int, length: int) -> None:
        """Load the model.

        Raises:
            InputError: if it cannot be found, or the recipe cannot be applied to it.
        """
        self._recipe = replace(recipe, training=replace(recipe.training, max_length=length))
        self._task = task_of(recipe)
        names = ("value",) if self._task == "regression" else ("0", "1")
        prepared = prepare(self._recipe, names, self._task)
        self._recipe = prepared.recipe
        self.rows, self.length = rows, prepared.max_length
        self.device = best_device()
        self.precision = resolve_precision(recipe.training.precision, self.device)
        self.model: Any = prepared.model.to(self.device).train()
        self._checkpoint(True)
        self._tokenizer = prepared.tokenizer

    def batch(self, rows: int) -> dict[str, Tensor]:
        """Return random words between the special tokens of a text, without padding, and random labels."""
        tokenizer, generator = self._tokenizer, torch.Generator().manual_seed(self._recipe.training.seed)
        special = set(tokenizer.all_special_ids)
        size = min(len(tokenizer), int(self.model.get_input_embeddings().weight.shape[0]))
        words = torch.tensor([word for word in range(size) if word not in special])
        ids = words[torch.randint(0, len(words), (rows, self.length), generator=generator)]
        first = _first_known(tokenizer.cls_token_id, tokenizer.bos_token_id)
        last = _first_known(tokenizer.sep_token_id, tokenizer.eos_token_id)
        if self.length > 2 and first is not None and last is not None:
            ids[:, 0], ids[:, -1] = first, last
        labels = _labels(self._task, ids, generator)
        found = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
        return {name: tensor.to(self.device) for name, tensor in found.items()}

    def flops(self) -> int:
        """Return the operations of one forward pass: two per multiplication in matrix products, attention's among them.

        Counted by torch on one row, whose attention is taken apart into its products; the rows are alike.
        """
        inputs = {name: tensor for name, tensor in self.batch(1).items() if name != "labels"}
        with torch.no_grad(), math_attention(), FlopCounterMode(display=False) as counter:
            self.model(**inputs)
        return int(counter.get_total_flops()) * self.rows

    def activations(self) -> int:
        """Predict the bytes that autograd keeps at most in a step.

        Watched at one row and at two, and continued in a straight line. Where the adversary has a share of the rows,
        the others go through on their own (all of them, where it acts now and then), and the larger part counts.
        """
        adversary: Any = self._recipe.adversary
        share = float(getattr(adversary, "share", 1.0))
        if share == 1:
            return line_through(self._measure_backward(adversary))(self.rows)
        acting = acting_rows(adversary, self.rows)
        others = self.rows if adversary.every > 1 else self.rows - acting
        whole = line_through(self._measure_backward(replace(adversary, share=1.0)))(acting)
        return max(whole, line_through(self._measure_backward(None))(others)) if others else whole

    def _measure_backward(self, adversary: Any) -> Callable[[int], int]:
        def at(rows: int) -> int:
            with self._engine(adversary) as engine:
                return self._saved_bytes(lambda: engine.backward(self.batch(rows)))

        return at

    def _saved_bytes(self, step: Callable[[], object]) -> int:
        with SavedTensors([*self.model.parameters(), *self.model.buffers()]) as saved:
            step()
        self.model.zero_grad()
        return saved.peak

    def measure(self, forecast: Forecast, repeats: int, clock: Clock = time.perf_counter) -> Measured:
        """Make warm steps of the plain kind and of the recipe's kinds in turn, on one batch with one optimiser."""
        recipe, batch = self._recipe, self.batch(self.rows)
        training = recipe.training
        groups = parameter_groups(self.model, training.peak_rate, training.weight_decay)
        optimizer = torch.optim.AdamW(groups, fused=self.device.type in ("cpu", "cuda"))
        average = None
        if recipe.average is not None and not isinstance(recipe.average, CheckpointSoup):
            average = make_average(recipe.average, self.model, total_steps=1)
        plain = Engine(self.model, CrossEntropy(), task=self._task, precision=recipe.training.precision)
        with plain, self._engine(recipe.adversary, average) as tough:
            acts = [recipe.adversary is not None and recipe.adversary.acts(n) for n in forecast.cycle]
            kinds = {kind: acts.count(kind == "acting") for kind in ("acting", "idle")}
            runs = {} if is_plain(recipe) else {"plain": _Run(plain, 0, None)}
            runs |= {kind: _Run(tough, 0 if kind == "acting" else 1, average) for kind, n in kinds.items() if n}
            activations = self._warm(runs, batch, optimizer)
            peak = self._time_steps(runs, batch, optimizer, repeats, clock)
        mix = [(kinds[kind], run) for kind, run in runs.items() if kind in kinds]
        return Measured(
            passes=Passes.mean((often, run.ledger.passes()) for often, run in mix),
            plain_seconds=median(runs["idle" if is_plain(recipe) else "plain"].seconds),
            seconds=sum(often * median(run.seconds) for often, run in mix) / sum(often for often, _ in mix),
            activations=activations,
            peak=peak,
        )

    def _warm(self, runs: Mapping[str, _Run], batch: Any, optimizer: Any) -> int:
        """Make a first step of each kind, watched; return the bytes kept at most by a step of the recipe's."""
        kept = {}
        for kind, run in runs.items():
            self._checkpoint(kind != "plain")
            kept[kind] = self._saved_bytes(lambda run=run: run.step(batch, optimizer, 0.0))  # type: ignore[misc]
            run.ledger = Ledger()
        return max(size for kind, size in kept.items() if kind != "plain")

    def _time_steps(
        self, runs: Mapping[str, _Run], batch: Any, optimizer: Any, repeats: int, clock: Clock
    ) -> int | None:
        """Time steps in turn; return the bytes that a GPU held at most in a step of the recipe's."""
        cuda, peak = self.device.type == "cuda", 0
        for _ in range(repeats):
            for kind, run in runs.items():
                self._checkpoint(kind != "plain")
                if cuda:
                    torch.cuda.reset_peak_memory_stats(self.device)
                self._wait()
                began = clock()
                run.step(batch, optimizer, self._recipe.training.max_grad_norm)
                self._wait()
                run.seconds.append(clock() - began)
                if cuda and kind != "plain":
                    peak = max(peak, torch.cuda.max_memory_allocated(self.device))
        return peak or None

    def _checkpoint(self, on: bool) -> None:
        """Switch the gradient checkpointing that the recipe asks for on or off."""
        if self._recipe.training.gradient_checkpointing:
            _recompute(self.model, on)

    def _wait(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize()

    def _engine(self, adversary: Any, average: Any = None) -> Engine:
        recipe = self._recipe
        acting = adversary and replace(adversary, start_step=0)
        if average is None and getattr(acting, "bregman", 0) > 0:
            average = make_average(Ema(), self.model)
        return Engine(
            self.model,
            without_weights(recipe.objective),
            acting,
            inputs=recipe.inputs,
            task=self._task,
            average=average,
            precision=recipe.training.precision,
            memory=recipe.training.memory,
            special_ids=self._tokenizer.all_special_ids,
        )


class _Run:
    """Steps of one kind: plain, with the adversary acting, or with it idle."""

    def __init__(self, engine: Engine, updates: int, average: Any) -> None:
        self._engine, self._updates, self._average = engine, updates, average
        self.ledger = Ledger()
        self.seconds: list[float] = []

    def step(self, batch: Any, optimizer: Any, max_grad_norm: float) -> None:
        """Make one step; each is the same one to the adversary's clock."""
        self._engine.cost, self._engine.updates = self.ledger, self._updates
        self._engine.backward(batch)
        self._engine.step(optimizer, max_grad_norm=max_grad_norm)
        if self._average is not None:
            self._average.update()


def task_of(recipe: Recipe) -> TaskName:
    """Return the task that the recipe names; one label per text where it is left to the data."""
    return "single-label" if recipe.data.task == "auto" else recipe.data.task


def is_plain(recipe: Recipe) -> bool:
    """Whether a step of the recipe is the plain step that others are compared with."""
    changed = recipe.adversary or recipe.inputs or recipe.training.gradient_checkpointing
    moved = recipe.average is not None and not isinstance(recipe.average, CheckpointSoup)
    return not changed and not moved and without_weights(recipe.objective) == CrossEntropy()


def tensor_floats(device: torch.device) -> AbstractContextManager[None]:
    """Multiply in TF32 inside, where the Trainer's arguments have a training do so: on a GPU from Ampere on."""
    return tf32() if from_ampere(device) else nullcontext()


@process_wide
@contextmanager
def tf32() -> Iterator[None]:
    """Multiply float32 in TF32 inside; it is a switch of the process."""
    # transformers' own switch remembers that it was used, and a training after this one would not switch again.
    where: Any = torch.backends
    on: str | bool = "tf32"
    name = "fp32_precision"
    if not hasattr(where, name):  # before torch 2.9
        where, name, on = where.cuda.matmul, "allow_tf32", True
    before = getattr(where, name)
    setattr(where, name, on)
    try:
        yield
    finally:
        setattr(where, name, before)


def _recompute(model: Any, on: bool) -> None:
    """Switch gradient checkpointing, as a training does, by the name that this version of transformers has."""
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if on:
        switch = getattr(model, f"{name}_checkpointing_enable")
        switch(**{f"{name}_checkpointing_kwargs": {"use_reentrant": False}})
    else:
        getattr(model, f"{name}_checkpointing_disable")()


def _labels(task: TaskName, ids: Tensor, generator: torch.Generator) -> Tensor:
    rows = len(ids)
    if task == "regression":
        return torch.randn(rows, generator=generator)
    shape = {"multi-label": (rows, 2), "tokens": tuple(ids.shape)}.get(task, (rows,))
    labels = torch.randint(0, 2, shape, generator=generator)
    return labels.float() if task == "multi-label" else labels


def _first_known(*ids: int | None) -> int | None:
    return next((i for i in ids if i is not None), None)
