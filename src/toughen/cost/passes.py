"""Passes of a step, predicted by letting the engine make it on a model of a few numbers: nothing here can drift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from toughen.engine.adversaries import AnyAdversary
from toughen.engine.adversaries.weights import Awp
from toughen.engine.averages import Ema
from toughen.engine.counters import Cost
from toughen.engine.engine import Engine
from toughen.engine.inputs import InputChange
from toughen.engine.objectives import CrossEntropy
from toughen.engine.weight_average import make_average
from toughen.machine.modes import Memory

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe

PLAIN = 3
"""Units of a plain step: one forward, one backward."""
ROWS, WIDTH, TOKENS, WORDS, LAYERS = 2, 4, 3, 8, 2


@dataclass(frozen=True)
class Passes:
    """Passes over one micro-batch; a doubled batch counts twice, a part of it in part.

    Attributes:
        forwards: forward passes, those of the next three lines among them.
        no_grad: forward passes without a graph.
        redone: forward passes made once more in a backward, to save memory.
        checkpointed: those of them that gradient checkpointing makes, layer by layer.
        backwards: backward passes into the weights.
        input_backwards: backward passes to the perturbation alone.
        units: forwards + 2 backwards + input_backwards.
    """

    forwards: float = 0.0
    no_grad: float = 0.0
    redone: float = 0.0
    checkpointed: float = 0.0
    backwards: float = 0.0
    input_backwards: float = 0.0
    units: float = 0.0

    @staticmethod
    def mean(parts: Iterable[tuple[float, Passes]]) -> Passes:
        """Return the mean of several steps, each as often as the number beside it says."""
        weighted = list(parts)
        total = sum(often for often, _ in weighted)
        names = [field.name for field in fields(Passes)]
        return Passes(**{name: sum(n * getattr(p, name) for n, p in weighted) / total for name in names})


class Ledger(Cost):
    """The engine's own count of forwards and units, told apart by kind."""

    def __init__(self) -> None:
        super().__init__()
        kinds = ("no_grad", "redone", "checkpointed", "backwards", "input_backwards")
        self.kinds = dict.fromkeys(kinds, 0.0)

    def passes(self) -> Passes:
        """Return the mean over the steps so far."""
        total = Passes(forwards=self.forwards, units=self.units, **self.kinds)
        return Passes.mean([(1 / max(self.steps, 1), total), (1 - 1 / max(self.steps, 1), Passes())])

    def passed(self, copies: int) -> None:
        """See :class:`Cost`."""
        with self._count_forwards(*(() if torch.is_grad_enabled() else ("no_grad",))):
            super().passed(copies)

    def again(self) -> None:
        """See :class:`Cost`."""
        with self._count_forwards("redone"):
            super().again()

    def layers_again(self, copies: int) -> None:
        """See :class:`Cost`."""
        with self._count_forwards("redone", "checkpointed"):
            super().layers_again(copies)

    def taught(self) -> None:
        """See :class:`Cost`."""
        with self._count_backwards("backwards", units=2):
            super().taught()

    def searched(self, kept: bool = False) -> None:
        """See :class:`Cost`."""
        with self._count_backwards("input_backwards"):
            super().searched(kept)

    def count_double_backward(self) -> None:
        """See :class:`Cost`."""
        with self._count_backwards("input_backwards"):
            super().count_double_backward()

    @contextmanager
    def _count_forwards(self, *kinds: str) -> Iterator[None]:
        before = self.forwards
        yield
        for kind in kinds:
            self.kinds[kind] += self.forwards - before

    @contextmanager
    def _count_backwards(self, kind: str, units: int = 1) -> Iterator[None]:
        before = self.units - self.forwards  # a backward may make forward passes again
        yield
        self.kinds[kind] += (self.units - self.forwards - before) / units


@dataclass(frozen=True)
class Forecast:
    """The passes of a recipe's step, with and without its adversary.

    Attributes:
        plain: of a step without any technique, and without gradient checkpointing.
        objective: with the recipe's objective.
        idle: and with its change of the inputs: what a step costs in which the adversary does not act.
        acting: of a step in which it does.
        adversary: says in which steps it acts.
    """

    plain: Passes
    objective: Passes
    idle: Passes
    acting: Passes
    adversary: AnyAdversary | None

    def over(self, steps: Iterable[int]) -> Passes:
        """Return the mean over these optimiser steps, counted from 0."""
        acts = [self.adversary is not None and self.adversary.acts(step) for step in steps]
        return Passes.mean([(sum(acts), self.acting), (len(acts) - sum(acts), self.idle)])

    @property
    def cycle(self) -> range:
        """The steps of one cycle of the adversary, from the first in which it acts."""
        if self.adversary is None:
            return range(1)
        return range(self.adversary.start_step, self.adversary.start_step + self.adversary.every)

    def slots(self, mean: Passes) -> dict[str, float]:
        """Return the units of plain training, and how many more each slot makes it, added in this order.

        No average makes a pass; SMART's teacher, which is one, counts as the adversary's. Gradient checkpointing comes
        last, with what it makes again for all of them.
        """
        plain, objective, idle, whole = (
            passes.units - passes.checkpointed for passes in (self.plain, self.objective, self.idle, mean)
        )
        return {
            "plain": plain,
            "objective": objective - plain,
            "inputs": idle - objective,
            "adversary": whole - idle,
            "average": 0.0,
            "checkpointing": mean.checkpointed,
        }


def forecast(recipe: Recipe, rows: int | None = None) -> Forecast:
    """Predict the passes of a recipe's step.

    Args:
        recipe: what to do.
        rows: of a micro-batch; default the recipe's.

    Raises:
        InputError: if its parts do not go together.
    """
    training = recipe.training
    made = partial(count_passes, memory=training.memory, checkpointing=training.gradient_checkpointing)
    objective = without_weights(recipe.objective)
    # The stub knows the names of no model's weights.
    adversary = replace(recipe.adversary, only="") if isinstance(recipe.adversary, Awp) else recipe.adversary
    idle = acting = made(objective, None, recipe.inputs)
    if adversary is not None:
        rows = rows or training.batch_size
        chosen = acting_rows(adversary, rows)
        # Not made with so many rows: what each of them goes through depends on no other, and there may be millions.
        acting = Passes.mean([(chosen, made(objective, adversary, recipe.inputs)), (rows - chosen, idle)])
    return Forecast(
        plain=count_passes(CrossEntropy(), None, None, training.memory),
        objective=made(objective, None, None),
        idle=idle,
        acting=acting,
        adversary=adversary,
    )


def acting_rows(adversary: AnyAdversary, rows: int) -> int:
    """Return on how many of so many rows the engine lets an adversary act."""
    return max(1, round(getattr(adversary, "share", 1.0) * rows))


def without_weights(objective: CrossEntropy) -> CrossEntropy:
    """Leave class weights out, which may not fit the classes here and cost nothing."""
    return replace(objective, class_weights=None)


def count_passes(
    objective: CrossEntropy,
    adversary: AnyAdversary | None,
    inputs: InputChange | None,
    memory: Memory,
    checkpointing: bool = False,
) -> Passes:
    """Make one step with these parts on the stub, the adversary acting on all rows, and return its passes."""
    site = str(getattr(adversary, "site", ""))
    acting: Any = adversary and replace(adversary, start_step=0)
    acting = replace(acting, share=1.0) if hasattr(acting, "share") else acting
    with torch.random.fork_rng(devices=[]):
        stub = Stub(int(site.removeprefix("layer ")) if site.startswith("layer") else LAYERS, checkpointing)
        parts: dict[str, Any] = {"inputs": inputs, "memory": memory, "average": make_average(Ema(), stub)}
        with torch.enable_grad(), Engine(stub, objective, acting, special_ids=(), **parts) as engine:
            engine.cost = ledger = Ledger()
            engine.backward(stub.batch())
    return ledger.passes()


class Stub(nn.Module):
    """The least that every technique can be tried on: a table, layers, dropout and a head, each of a few numbers."""

    def __init__(self, layers: int, checkpointing: bool = False) -> None:
        super().__init__()
        # Named as in transformers' models, whose recomputation the engine asks for.
        self.gradient_checkpointing = checkpointing
        self._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        self.config = SimpleNamespace(num_hidden_layers=layers, hidden_size=WIDTH, num_labels=2)
        self.table = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(layers))
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(WIDTH, 2)

    def get_input_embeddings(self) -> nn.Module:
        """Return the table, as transformers models do."""
        return self.table

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map [B, T] to logits [B, 2]."""
        hidden = self.table(input_ids)
        again = self.gradient_checkpointing and torch.is_grad_enabled()
        run: Callable[..., Any] = self._gradient_checkpointing_func if again else _apply
        for module in self.layers:
            hidden = run(layer, module, hidden)
        logits: Tensor = self.head(self.dropout(hidden.mean(1)))
        return logits

    def batch(self) -> dict[str, Tensor]:
        """Return a few rows of random words, with labels."""
        ids = torch.randint(0, WORDS, (ROWS, TOKENS))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(ROWS) % 2}


def layer(module: nn.Module, hidden: Tensor) -> Tensor:
    """Run one layer of the stub."""
    return torch.tanh(module(hidden))


def _apply(function: Callable[..., Tensor], *args: Any) -> Tensor:
    return function(*args)
