"""What a technique may touch: one micro-batch, its passes through the model, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toughen.training.adversaries import Adversary, Loss
from toughen.training.counters import Cost
from toughen.training.objectives import CrossEntropy
from toughen.training.site import Site
from toughen.training.space import Noise, Space

FACTS = ("labels", "label", "weight", "row", "length")
"""Batch entries that describe the rows and are no inputs of the model."""


@dataclass(frozen=True)
class Context:
    """What every step of an engine shares."""

    model: Callable[..., Any]
    objective: CrossEntropy
    site: Site | None
    noise: Noise
    autocast: Callable[[], AbstractContextManager[Any]]
    special_ids: tuple[int, ...]
    cost: Cost


class Step:
    """One micro-batch, for the duration of one ``engine.backward``.

    Attributes:
        labels: [B] class ids, ``IGNORED`` (-100) where there is none.
        mask: [B, T] bool, True on real tokens.
        label_scale: rows over labelled rows of the optimiser step; the task loss is scaled by it, so that it stays a
            mean over labelled rows while label-free terms are means over all rows. 1 where every row has a label.
        recorded: loss terms [B] of the clean pass, for the log.
        first_logits: [B, K], detached, of the first pass of the objective, for the training accuracy.
    """

    def __init__(self, context: Context, batch: Mapping[str, Tensor], label_scale: Tensor | float = 1.0) -> None:
        self._context = context
        self._inputs = {name: value for name, value in batch.items() if name not in FACTS}
        self.labels = batch["labels"]
        self._ids = batch["input_ids"]
        self._weight = batch.get("weight")
        mask = batch.get("attention_mask")
        self.mask = torch.ones_like(self._ids, dtype=torch.bool) if mask is None else mask.bool()
        self.label_scale = label_scale
        self.recorded: dict[str, Tensor] = {}
        self.first_logits: Tensor | None = None
        self._rng: _Rng | None = None
        self._replaying = False
        self._reference: Tensor | None = None

    def forward(self, delta: Tensor | None = None) -> Tensor:
        """Run a new pass over the batch: delta [B, T, D] -> logits [B, K], float32 or wider."""
        return self._run(delta, copies=1)

    def objective(self, delta: Tensor | None = None) -> Tensor:
        """Return the recipe's objective [B] on a new pass (R-Drop: the batch twice in one forward, the same delta)."""
        return self._total(self._terms(delta))

    def task(self, delta: Tensor | None = None) -> Tensor:
        """Return the task loss alone [B], on one copy of the batch."""
        return self._context.objective.task(self.forward(delta), self.labels) * self.label_scale

    def loss(self, which: Loss, delta: Tensor | None = None) -> Tensor:
        """Return :meth:`objective` or :meth:`task` by name."""
        return self.objective(delta) if which == "objective" else self.task(delta)

    def clean(self, delta: Tensor | None = None) -> Tensor:
        """Return the objective [B] of the unperturbed batch (delta, if given, is all zeros) and record its terms."""
        terms = self._terms(delta)
        self.recorded = {name: self._scaled(name, value).detach() for name, value in terms.items()}
        return self._total(terms)

    @property
    def reference(self) -> Tensor:
        """The clean pass's logits [B, K] without graph, for divergences; a pass of its own only if there was none."""
        if self._reference is None:
            with torch.no_grad():
                self._reference = self.forward()
        return self._reference

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Make every pass inside draw the same dropout (the same in all frozen blocks of the step)."""
        self._rng = self._rng or _Rng(self._ids.device)
        before, self._replaying = self._replaying, True
        try:
            yield
        finally:
            self._replaying = before

    def space(self, adversary: Adversary) -> Space:
        """Return the space of perturbations of this batch: 0 on padding and, if so configured, on special tokens."""
        if self._context.site is None:
            raise RuntimeError("this engine has no adversary, so it has no site for a perturbation")
        keep = self.mask
        if self._weight is not None:
            # With scope: vocabulary a row that only fills up would otherwise move the rows that count.
            keep = keep & (self._weight > 0).unsqueeze(1)
        if not adversary.special_tokens:
            special = torch.tensor(self._context.special_ids, device=self._ids.device)
            keep = keep & ~torch.isin(self._ids, special)
        return Space(adversary, self._context.site, self._ids, keep, self._context.noise)

    def _terms(self, delta: Tensor | None) -> dict[str, Tensor]:
        copies = self._context.objective.copies
        logits = self._run(delta, copies)
        split = logits.chunk(copies)
        if copies == 1 and delta is None:
            self._reference = logits.detach()
        if self.first_logits is None:
            self.first_logits = split[0].detach()
        return self._context.objective.terms(split, self.labels)

    def _scaled(self, name: str, value: Tensor) -> Tensor:
        return value * self.label_scale if name == "task" else value

    def _total(self, terms: dict[str, Tensor]) -> Tensor:
        scaled = [self._scaled(name, value) for name, value in terms.items()]
        return sum(scaled[1:], start=scaled[0])

    def _run(self, delta: Tensor | None, copies: int) -> Tensor:
        inputs, ids = self._inputs, self._ids
        if copies > 1:
            inputs = {name: torch.cat([value] * copies) for name, value in inputs.items()}
            ids = inputs["input_ids"]
            delta = None if delta is None else torch.cat([delta] * copies)
        if self._replaying and self._rng is not None:
            self._rng.restore()
        context = self._context
        perturbed = nullcontext() if context.site is None else context.site.perturbed(delta, ids)
        with perturbed, context.autocast():
            output = context.model(**inputs)
        context.cost.passed(copies)
        logits = logits_of(output)
        return logits if logits.dtype == torch.float64 else logits.float()


def logits_of(output: Any) -> Tensor:
    """Return the logits of a model's output: an object with ``.logits``, a dict, a tuple, or the tensor itself."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        logits: Tensor = output["logits"]
        return logits
    first: Tensor = output.logits if hasattr(output, "logits") else output[0]
    return first


class _Rng:
    """The state of the generators that dropout draws from on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
