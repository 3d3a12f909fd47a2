"""Passes of a step, predicted by letting the engine make it on a model of a few numbers: nothing here can drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from toughen.training.adversaries import AnyAdversary, Awp
from toughen.training.averages import Ema
from toughen.training.averaging import make_average
from toughen.training.config import Memory
from toughen.training.counters import Cost
from toughen.training.engine import Engine
from toughen.training.inputs import InputChange
from toughen.training.objectives import CrossEntropy

if TYPE_CHECKING:
    from toughen.recipe import Recipe

PLAIN = 3
"""Units of a plain step: one forward, one backward."""
WIDTH, TOKENS, WORDS, LAYERS = 4, 3, 8, 2


@dataclass(frozen=True)
class Passes:
    """Passes over one micro-batch; a doubled batch counts twice, a part of it in part.

    Attributes:
        forwards: forward passes, those of the next two lines among them.
        no_grad: forward passes without a graph.
        redone: forward passes made a second time in a backward, to save memory.
        backwards: backward passes into the weights.
        input_backwards: backward passes to the perturbation alone.
        units: forwards + 2 backwards + input_backwards.
    """

    forwards: float = 0.0
    no_grad: float = 0.0
    redone: float = 0.0
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
        self.kinds = dict.fromkeys(("no_grad", "redone", "backwards", "input_backwards"), 0.0)

    def passes(self) -> Passes:
        """Return the mean over the steps so far."""
        total = Passes(forwards=self.forwards, units=self.units, **self.kinds)
        return Passes.mean([(1 / max(self.steps, 1), total), (1 - 1 / max(self.steps, 1), Passes())])

    def passed(self, copies: int) -> None:
        """See :class:`Cost`."""
        before = self.forwards
        super().passed(copies)
        if not torch.is_grad_enabled():
            self.kinds["no_grad"] += self.forwards - before

    def again(self) -> None:
        """See :class:`Cost`."""
        with self._counted("redone"):
            super().again()

    def taught(self) -> None:
        """See :class:`Cost`."""
        with self._counted("backwards", units=2):
            super().taught()

    def searched(self, kept: bool = False) -> None:
        """See :class:`Cost`."""
        with self._counted("input_backwards"):
            super().searched(kept)

    def differentiated(self) -> None:
        """See :class:`Cost`."""
        with self._counted("input_backwards"):
            super().differentiated()

    @contextmanager
    def _counted(self, kind: str, units: int = 1) -> Iterator[None]:
        before = self.units
        yield
        self.kinds[kind] += (self.units - before) / units


@dataclass(frozen=True)
class Forecast:
    """The passes of a recipe's step, with and without its adversary.

    Attributes:
        plain: of a step without any technique.
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

        No average makes a pass; SMART's teacher, which is one, counts as the adversary's.
        """
        return {
            "plain": self.plain.units,
            "objective": self.objective.units - self.plain.units,
            "inputs": self.idle.units - self.objective.units,
            "adversary": mean.units - self.idle.units,
            "average": 0.0,
        }


def forecast(recipe: Recipe, rows: int | None = None) -> Forecast:
    """Predict the passes of a recipe's step.

    Args:
        recipe: what to do.
        rows: of a micro-batch; default the recipe's.

    Raises:
        InputError: if its parts do not go together.
    """
    memory, rows = recipe.training.memory, rows or recipe.training.batch_size
    objective = without_weights(recipe.objective)
    # The stub knows the names of no model's weights.
    adversary = replace(recipe.adversary, only="") if isinstance(recipe.adversary, Awp) else recipe.adversary
    idle = counted(objective, None, recipe.inputs, memory, rows)
    return Forecast(
        plain=counted(CrossEntropy(), None, None, memory, rows),
        objective=counted(objective, None, None, memory, rows),
        idle=idle,
        acting=idle if adversary is None else counted(objective, adversary, recipe.inputs, memory, rows),
        adversary=adversary,
    )


def without_weights(objective: CrossEntropy) -> CrossEntropy:
    """Leave class weights out, which may not fit the classes here and cost nothing."""
    return replace(objective, class_weights=None)


def counted(
    objective: CrossEntropy, adversary: AnyAdversary | None, inputs: InputChange | None, memory: Memory, rows: int
) -> Passes:
    """Make one step with these parts on the stub, the adversary acting, and return its passes."""
    site = str(getattr(adversary, "site", ""))
    acting: Any = adversary and replace(adversary, start_step=0)
    with torch.random.fork_rng(devices=[]):
        stub = Stub(int(site.removeprefix("layer ")) if site.startswith("layer") else LAYERS)
        parts: dict[str, Any] = {"inputs": inputs, "memory": memory, "average": make_average(Ema(), stub)}
        with torch.enable_grad(), Engine(stub, objective, acting, special_ids=(), **parts) as engine:
            engine.cost = ledger = Ledger()
            engine.backward(stub.batch(rows))
    return ledger.passes()


class Stub(nn.Module):
    """The least that every technique can be tried on: a table, layers, dropout and a head, each of a few numbers."""

    def __init__(self, layers: int) -> None:
        super().__init__()
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
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        logits: Tensor = self.head(self.dropout(hidden.mean(1)))
        return logits

    def batch(self, rows: int) -> dict[str, Tensor]:
        """Return so many rows of random words, with labels."""
        ids = torch.randint(0, WORDS, (rows, TOKENS))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(rows) % 2}
