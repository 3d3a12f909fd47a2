"""What a technique may touch: one micro-batch, its passes through the model, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from toughen.engine.batch import logits_of, refuse_misshapen
from toughen.engine.choices import Loss
from toughen.engine.counters import Cost
from toughen.engine.head_samples import HeadSamples
from toughen.engine.inputs import InputChange, counted_positions
from toughen.engine.likelihood import Likelihood, Target
from toughen.engine.objectives import CrossEntropy
from toughen.engine.randomness import Generators, Noise
from toughen.engine.recompute import recompute_pass
from toughen.engine.site import Site
from toughen.engine.space import Perturbing, Space
from toughen.machine.runtime import forget_casts

FACTS = ("labels", "label", "weight", "row", "length")
"""Batch entries that describe the rows and are no inputs of the model."""


@dataclass(frozen=True)
class Context:
    """What every step of an engine shares."""

    model: Callable[..., Any]
    objective: CrossEntropy
    likelihood: Likelihood
    inputs: InputChange | None
    site: Site | None
    entry: Site | None
    """Where the inputs change: the embedding output; the same site as the adversary's if that is there too."""
    samples: HeadSamples | None
    noise: Noise
    autocast: Callable[[], AbstractContextManager[Any]]
    scaled: Callable[[Tensor], Tensor]
    teacher: Callable[[], tuple[Any, dict[str, Tensor]]]
    """The bare model and the average's weights by name."""
    special_ids: tuple[int, ...]
    cost: Cost
    factor: Tensor | float
    """[] on all lengths of the adversary."""
    bare: nn.Module
    """The model without what communicates around it, and not compiled."""
    low_memory: bool = False
    """Whether passes that wait for another one's backward are made again instead of kept."""
    columns: tuple[str, ...] | None = None
    """The order of a batch's tensors, in which the model takes them where it does not take them by name."""
    twice: bool = False
    """Whether gradients are differentiated, which only torch's math attention kernel allows."""

    def ask(self, model: Callable[..., Any], inputs: Mapping[str, Tensor]) -> Any:
        """Return the model's output: of inputs by name, or in the order of ``columns`` where the engine has one."""
        if self.columns is None:
            return model(**inputs)
        return model(*(inputs[name] for name in self.columns if name in inputs))


class Step:
    """One micro-batch, for the duration of one ``engine.backward``.

    Attributes:
        labels: [B], [B, K] or [B, T], by task (see :mod:`toughen.engine.likelihood`).
        mask: [B, T] bool, True on real tokens; of either row, where rows are mixed.
        units: [B] what each row counts for in the mean: 1, or its labelled words.
        label_scale: rows over labelled rows of the optimiser step; the task loss is scaled by it, so that it stays a
            mean over labelled rows while label-free terms are means over all rows. 1 where every row has a label.
        recorded: loss terms [B] of the clean pass, for the log.
        first_logits: [B, ...], detached, of the first pass of the objective, for the training accuracy.
        before: [B, ...], detached logits of the step's first pass, before the adversary has had its way.
        after: [B, ...], detached logits of its latest perturbed pass.
    """

    def __init__(self, context: Context, batch: Mapping[str, Tensor], label_scale: Tensor | float = 1.0) -> None:
        self._context = context
        self._inputs = {name: value for name, value in batch.items() if name not in FACTS}
        self.labels = batch["labels"]
        self._ids = batch["input_ids"]
        self._weight = batch.get("weight")
        mask = batch.get("attention_mask")
        self.mask = torch.ones_like(self._ids, dtype=torch.bool) if mask is None else mask.bool()
        self.target = Target(context.likelihood, self.labels)
        if context.inputs is not None and context.inputs.mixes:
            self._mix(context.inputs)
        self.units = context.likelihood.units(self.labels)
        self.label_scale = label_scale
        self.recorded: dict[str, Tensor] = {}
        self._space: Space | None = None
        self.first_logits: Tensor | None = None
        self.before: Tensor | None = None
        self.after: Tensor | None = None
        self._rng: Generators | None = None
        self._replaying = False
        self._reference: Tensor | None = None
        self._student: Tensor | None = None
        self._clean: Tensor | None = None

    # ---- passes

    def forward(self, delta: Tensor | None = None) -> Tensor:
        """Run a new pass over the batch: delta [B, T, D] -> logits [B, ...], float32 or wider."""
        (logits,) = self._run(delta, copies=1)
        self._note(logits, perturbed=delta is not None)
        return logits

    def objective(self, delta: Tensor | None = None) -> Tensor:
        """Return the recipe's objective [B] on a new pass (R-Drop: the batch twice in one forward, the same delta)."""
        return self._total(self._terms(delta))

    def task(self, delta: Tensor | None = None) -> Tensor:
        """Return the task loss alone [B], on one copy of the batch."""
        return self.task_of(self.forward(delta))

    def loss(self, which: Loss, delta: Tensor | None = None) -> Tensor:
        """Return :meth:`objective` or :meth:`task` by name."""
        return self.objective(delta) if which == "objective" else self.task(delta)

    def clean(self, delta: Tensor | None = None, *, keep: bool = False, share: float = 1.0) -> Tensor:
        """Return ``share`` of the objective [B] of the unperturbed batch and record its terms.

        Delta, if given, is all zeros. With ``keep`` the graph is kept for the joint backward, and further calls return
        the same loss.
        """
        if self._clean is not None:
            return self._clean
        terms = {name: share * value for name, value in self._terms(delta, clean=True, keep=keep).items()}
        self.recorded = {name: self._scale_term(name, value).detach() for name, value in terms.items()}
        total = self._total(terms)
        if keep:
            self._clean = total
            self._context.cost.kept()
        return total

    @property
    def reference(self) -> Tensor:
        """The clean pass's logits [B, ...] without graph, for divergences; a pass of its own only if there was none."""
        if self._reference is None:
            with torch.no_grad():
                self._reference = self.forward()
        return self._reference

    @property
    def student(self) -> Tensor:
        """The clean pass's logits [B, ...] with their graph; a pass of its own only if no single copy was kept."""
        if self._student is None:
            (self._student,) = self._run(None, copies=1, waits=True)
            self._context.cost.kept()
        return self._student

    def teacher(self) -> Tensor:
        """Return the logits [B, ...] of a clean pass under the averaged weights, without graph."""
        bare, weights = self._context.teacher()
        with torch.no_grad():
            (logits,) = self._run(
                None, copies=1, model=lambda *args, **named: functional_call(bare, weights, args, named)
            )
        return logits

    # ---- losses

    def task_of(self, logits: Tensor) -> Tensor:
        """Return the task loss [B] of these logits."""
        return self.target.loss(logits, self._context.objective) * self.label_scale

    def kl(self, reference: Tensor, logits: Tensor) -> Tensor:
        """Return KL(reference || logits) of each row, [B], under the task's likelihood."""
        return self.target.kl(reference, logits)

    def symmetric_kl(self, first: Tensor, second: Tensor) -> Tensor:
        """Return KL(first || second) + KL(second || first) of each row, [B]; gradient through both."""
        return self.target.symmetric_kl(first, second)

    def differentiable_gradient(self, loss: Tensor, leaf: Tensor) -> Tensor:
        """Return the gradient of each row's loss at ``leaf``, itself with a graph; free of the gradient scale."""
        scaled = self._context.scaled
        (gradient,) = torch.autograd.grad(scaled(loss.sum()), leaf, create_graph=True)
        self._context.cost.count_double_backward()
        # Divided before it is squared: a penalty is not scale-free.
        return gradient / scaled(torch.ones((), device=gradient.device))

    # ---- circumstances

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Make every pass inside draw the same dropout (the same in all frozen blocks of the step)."""
        self._rng = self._rng or Generators(self._ids.device)
        before, self._replaying = self._replaying, True
        try:
            yield
        finally:
            self._replaying = before

    def space(self, adversary: Perturbing) -> Space:
        """Return the space of perturbations of this batch: 0 on padding and, if so configured, on special tokens."""
        if self._context.site is None:
            raise RuntimeError("this engine has no adversary, so it has no site for a perturbation")
        keep = self.mask
        if self._weight is not None:
            # With scope: vocabulary a row that only fills up would otherwise move the rows that count.
            keep = keep & (self._weight > 0).unsqueeze(1)
        if not adversary.special_tokens:
            keep = keep & ~torch.isin(self._ids, _on_device(self._context.special_ids, self._ids.device))
        given = (adversary, self._context.site, self._ids, keep, self._context.noise, self._context.factor)
        self._space = Space(*given)
        return self._space

    def zeroed(self) -> Tensor:
        """Return [B] bool: the rows that count and whose perturbation was set to 0 (see :class:`Space`)."""
        if self._space is None:
            return torch.zeros_like(self._ids[:, 0], dtype=torch.bool)
        return self._space.zeroed if self._weight is None else self._space.zeroed & (self._weight > 0)

    def _mix(self, inputs: InputChange) -> None:
        countable = self._context.likelihood.known(self.labels)
        if self._weight is not None:
            countable = countable & (self._weight > 0)
        mixing = inputs.mixing(countable, self._context.noise)
        assert mixing is not None  # it says that it mixes
        self.target = Target(self._context.likelihood, self.labels, mixing)
        positions = counted_positions(self._context.bare, self._ids)
        if positions is not None:  # the longer partner's last tokens would stand at the padding's position
            self._inputs.setdefault("position_ids", torch.where(self.mask, positions, positions[mixing.partner]))
        self.mask = self.mask | self.mask[mixing.partner]
        self._inputs["attention_mask"] = self.mask.to(self._inputs.get("attention_mask", self._ids).dtype)

    def _terms(self, delta: Tensor | None, *, clean: bool = False, keep: bool = False) -> dict[str, Tensor]:
        objective = self._context.objective
        logits = self._run(delta, objective.copies, sampled=True, waits=keep)
        samples = [sample.chunk(objective.copies) for sample in logits]
        first = samples[0][0]
        self._note(first, perturbed=not clean)
        if objective.copies == 1 and (delta is None or clean):
            self._reference = first.detach()
            self._student = first if keep else None
        if self.first_logits is None:
            self.first_logits = first.detach()
        found = [objective.terms(copies, self.target) for copies in samples]
        if len(found) == 1:
            return found[0]
        return {name: torch.stack([terms[name] for terms in found]).mean(0) for name in found[0]}

    def _note(self, logits: Tensor, *, perturbed: bool) -> None:
        logits = logits.detach()
        self.before = logits if self.before is None else self.before
        self.after = logits if perturbed else self.after

    def _scale_term(self, name: str, value: Tensor) -> Tensor:
        return value * self.label_scale if name == "task" else value

    def _total(self, terms: dict[str, Tensor]) -> Tensor:
        scaled = [self._scale_term(name, value) for name, value in terms.items()]
        return sum(scaled[1:], start=scaled[0])

    def _run(
        self,
        delta: Tensor | None,
        copies: int,
        *,
        sampled: bool = False,
        model: Callable[..., Any] | None = None,
        waits: bool = False,
    ) -> list[Tensor]:
        """Run one pass; with ``sampled`` there are several logits, one per dropout sample of the head.

        With little memory the copies run one after another, and all that wait for the backward of a later pass (the
        last copy too, if the whole pass ``waits``) keep no activations.
        """
        if self._replaying and self._rng is not None:
            self._rng.restore()
        samples = self._context.samples if sampled else None
        low = self._context.low_memory and torch.is_grad_enabled()
        if not low:
            return self._pass(delta, copies, samples, model, waits=False)
        parts = [self._pass(delta, 1, samples, model, waits=waits or n < copies - 1) for n in range(copies)]
        return [torch.cat(sample) for sample in zip(*parts, strict=True)]

    def _pass(
        self,
        delta: Tensor | None,
        copies: int,
        samples: HeadSamples | None,
        model: Callable[..., Any] | None,
        *,
        waits: bool,
    ) -> list[Tensor]:
        context, inputs = self._context, self._inputs
        if copies > 1:
            inputs = {name: torch.cat([value] * copies) for name, value in inputs.items()}
            delta = None if delta is None else torch.cat([delta] * copies)

        # What is made again must be what was made: DDP must not prepare in the middle of a backward, and torch.compile
        # may choose another program then, which has saved other tensors. A pass that does not wait always follows.
        model = model or (context.bare if waits else context.model)

        def run(noise: Noise) -> Tensor:
            with ExitStack() as stack:
                self._enter_sites(stack, delta, inputs["input_ids"], self._change(copies, noise))
                if samples is not None:
                    stack.enter_context(samples.drawn())
                if context.twice:
                    stack.enter_context(math_attention())
                stack.enter_context(context.autocast())
                return logits_of(context.ask(model, inputs))

        logits = recompute_pass(run, context.noise, context.cost, inputs["input_ids"]) if waits else run(context.noise)
        if not torch.is_grad_enabled():
            forget_casts()  # torch 2.13 keeps none of such a pass by itself; older versions do
        refuse_misshapen(logits, context.likelihood.task)
        context.cost.passed(copies)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return [logits] if samples is None else list(logits.chunk(samples.count))

    def _enter_sites(
        self, stack: ExitStack, delta: Tensor | None, ids: Tensor, change: Callable[[Tensor], Tensor] | None
    ) -> None:
        context = self._context
        if context.entry is not None and context.entry is not context.site:
            stack.enter_context(context.entry.perturbed(None, ids, change))
            change = None
        if context.site is not None:
            stack.enter_context(context.site.perturbed(delta, ids, change))

    def _change(self, copies: int, noise: Noise) -> Callable[[Tensor], Tensor] | None:
        inputs = self._context.inputs
        if inputs is None:
            return None
        mask = torch.cat([self.mask] * copies)
        return lambda hidden: inputs.changed(hidden, mask, self.target.mixing, copies, noise)


@lru_cache(maxsize=8)
def _on_device(ids: tuple[int, ...], device: torch.device) -> Tensor:
    """Return a tensor of them, copied once: a copy to a GPU waits for what the GPU is at."""
    return torch.tensor(ids, device=device)


def math_attention() -> AbstractContextManager[Any]:
    """Return the context in which torch's attention can be differentiated twice."""
    return sdpa_kernel(SDPBackend.MATH)
