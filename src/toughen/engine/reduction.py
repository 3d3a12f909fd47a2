"""One ``backward``: runs the adversary's passes and turns losses [B] into one number, always in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from toughen.engine.adversaries import Adversary, AnyAdversary, Search, Teach, WeightAdversary
from toughen.engine.left_out import LeftOut, NotFiniteError, nothing, refuse_not_finite
from toughen.engine.radius import by_row
from toughen.engine.step import Context, Step
from toughen.errors import InputError
from toughen.machine.runtime import forget_casts

if TYPE_CHECKING:
    from toughen.engine.counters import Cost, Tally
    from toughen.engine.likelihood import Likelihood
    from toughen.engine.radius import AutoRadius
    from toughen.engine.unperturbed import Unperturbed
    from toughen.machine.runtime import Runtime


PERTURBED = "perturbed"
"""In the log: the rows on which the adversary acted, as a share of all."""


class Owner(Protocol):
    """What a reduction asks of the engine that it works for."""

    runtime: Runtime
    ascents: int
    cost: Cost
    tally: Tally
    radius: AutoRadius | None
    left_out: LeftOut
    unperturbed: Unperturbed
    likelihood: Likelihood
    log: dict[str, Tensor]

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The weights that learn, by name."""

    def record(self, name: str, value: Tensor) -> None:
        """Add a reduced, detached scalar to the log."""

    def count_perturbed(self, right_of_counted: Tensor) -> None:
        """Take in [right, counted] answers of a perturbed pass."""


def back_propagate(
    engine: Owner,
    context: Context,
    rows: Mapping[str, Tensor],
    scale: Tensor,
    examples: Tensor | float,
    adversary: AnyAdversary | None,
    *,
    sync: bool,
) -> Tensor:
    """Leave the gradient of rows in ``.grad``, without those whose loss is not finite; return the loss, detached.

    Args:
        engine: whose model, log and counts.
        context: of its steps.
        rows: tensors of B rows each.
        scale: of the task loss.
        examples: what the sum of losses is divided by.
        adversary: that acts on them, if one does.
        sync: whether this backward communicates.
    """
    whole = rows
    while len(rows["labels"]):
        log = dict(engine.log)
        try:
            return Reduction(engine, rows.get("weight"), examples).run(Step(context, rows, scale), sync, adversary)
        except NotFiniteError as found:  # the others begin again
            engine.log = log
            engine.cost.abandon_passes()
            rows, scale = engine.left_out.without(rows, found.rows, engine.likelihood, scale, examples)
    if engine.runtime.processes > 1:  # DDP communicates in the backward of a pass that it saw outside of no_sync
        Step(context, whole, scale).forward()
        engine.cost.abandon_passes()
    empty = nothing(list(engine.trainable.values()))
    engine.runtime.backward(empty)
    return torch.zeros_like(empty)


class Reduction:
    """One micro-batch on its way into the parameters' gradients."""

    def __init__(self, engine: Owner, weight: Tensor | None, examples: Tensor | float) -> None:
        """Prepare.

        Args:
            engine: whose model, adversary, runtime and log.
            weight: [B] or None, what each row's loss is multiplied by.
            examples: what the sum of losses is divided by.
        """
        self._engine = engine
        self._runtime = engine.runtime
        self._weight = weight
        self._examples = examples
        self._total: Tensor | None = None

    def run(self, step: Step, sync: bool, adversary: AnyAdversary | None) -> Tensor:
        """Leave the gradient of the recipe, with this adversary, in ``.grad``; return the loss, detached.

        Raises:
            NotFiniteError: if a row's loss is not finite; nothing is in ``.grad`` then.
        """
        if adversary is None:
            self._teach(step.clean())
        elif isinstance(adversary, WeightAdversary):
            self._in_weights(adversary, step, sync)
        else:
            self._in_embeddings(adversary, step, sync)
            self._engine.unperturbed.add(step.zeroed())
        for name, value in step.recorded.items():
            self._record(name, value)
        self._count_hits(step)
        self._count_perturbed(step)
        assert self._total is not None  # every branch teaches
        return self._total

    # ---- embedding space

    def _in_embeddings(self, adversary: Adversary, step: Step, sync: bool) -> None:
        with self._silent(sync):
            delta = self._ascend(adversary.ascend(step))
        self._engine.ascents += 1
        self._record_length(delta.flatten(1).norm(dim=1), step)
        terms = adversary.terms(step, delta)
        for name, value in terms.items():
            self._record(name, value)
        losses = [*terms.values()] if adversary.replaces_task else [step.clean(), *terms.values()]
        self._teach(sum(losses[1:], start=losses[0]))
        if self._engine.radius is not None:
            self._engine.radius.observe(step, self._weight)

    def _silent(self, sync: bool) -> Any:
        # The outer context of a micro-batch that does not communicate is already local, and need not nest.
        return self._runtime.local() if sync else nullcontext()

    def _ascend(self, ascent: Any) -> Tensor:
        gradient: Tensor | None = None
        while True:
            try:
                asked = ascent.send(gradient)
            except StopIteration as done:
                delta: Tensor = done.value.detach()
                return delta
            gradient = self._teaching_pass(asked) if isinstance(asked, Teach) else self._search(asked)

    def _teaching_pass(self, asked: Teach) -> Tensor | None:
        if not asked.clean:
            self._record("adversarial", asked.loss)
        self._teach(asked.loss)
        if asked.leaf is None:
            return None
        grad = asked.leaf.grad
        if grad is None:
            raise RuntimeError("an adversary yielded a loss that does not depend on its perturbation")
        # Undo the reduction and the gradient scale, so that the 1e-8 guards see each example's own gradient.
        return grad * self._examples / self._scale(grad)

    def _search(self, asked: Search) -> Tensor:
        scaled = self._runtime.scaled(asked.loss.sum())
        (gradient,) = torch.autograd.grad(scaled, asked.leaf, retain_graph=asked.kept)
        self._engine.cost.searched(asked.kept)
        return gradient / self._scale(gradient)

    # ---- weight space

    def _in_weights(self, adversary: WeightAdversary, step: Step, sync: bool) -> None:
        with self._silent(sync):
            selected, moved, length = self._uphill(adversary, step)
        self._engine.ascents += 1
        self._record_length(length, step)
        with lend_weights(selected, moved):
            loss = step.objective()
            self._record("adversarial", loss)
            self._teach(loss)
        if not adversary.clean:
            step.recorded = {}

    def _uphill(self, adversary: WeightAdversary, step: Step) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return the weights that move, where they move, and how far; the gradients themselves are not kept."""
        weights = self._engine.trainable
        clean = step.clean()
        self._look(clean)
        loss = self._reduce_loss(clean)
        gradients = torch.autograd.grad(self._runtime.scaled(loss), list(weights.values()), allow_unused=True)
        self._engine.cost.taught()
        there = [(name, w, g) for (name, w), g in zip(weights.items(), gradients, strict=True) if g is not None]
        chosen = [i for i, (name, _, _) in enumerate(there) if adversary.selects(name)]
        if not chosen:
            raise InputError(
                "the weights that the adversary selects take no part in the loss, so it cannot move them; choose "
                "others (adversary.only)."
            )
        learning = [w for _, w, _ in there]
        own = _own([g for _, _, g in there], like=learning)
        del gradients, there
        if adversary.clean:
            self._total = loss.detach()
        free = _accumulate(learning, own) if adversary.clean else own
        selected, found, into = ([tensors[i] for i in chosen] for tensors in (learning, own, free))
        with torch.no_grad():
            return selected, into, adversary.move([w.detach() for w in selected], found, into)

    def _scale(self, like: Tensor) -> Tensor:
        return self._runtime.scaled(torch.ones((), device=like.device))

    # ---- reducing

    def _look(self, loss: Tensor) -> None:
        """Refuse losses [B] that are not finite before they reach a gradient; a scaler of fp16 skips its overflow."""
        if not self._runtime.skips_overflow:
            refuse_not_finite(loss, begun=self._total is not None)

    def _teach(self, loss: Tensor) -> None:
        self._look(loss)
        reduced = self._reduce_loss(loss)
        self._runtime.backward(reduced)
        self._engine.cost.taught()
        self._total = reduced.detach() if self._total is None else self._total + reduced.detach()

    def _reduce_loss(self, loss: Tensor) -> Tensor:
        weighted = loss if self._weight is None else loss * self._weight
        total = weighted.sum()
        return total / (self._examples.to(total.dtype) if isinstance(self._examples, Tensor) else self._examples)

    def _record(self, name: str, loss: Tensor) -> None:
        self._engine.record(name, self._reduce_loss(loss.detach()))

    def _record_length(self, length: Tensor, step: Step) -> None:
        """Record the perturbation's length [B] and the rows that it is the mean of: an adversary may act on a share."""
        units = step.units.to(length.device)
        self._record("perturbation_norm", length * units)
        self._record(PERTURBED, units)

    def _count_hits(self, step: Step) -> None:
        if step.first_logits is None or step.target.mixing is not None:
            return  # a mixed row has no label to hit
        counted = step.target.likelihood.hits(step.first_logits, step.labels)
        if counted is None:
            return
        right, labels = counted
        weight = self._weight
        if weight is not None:
            weight = weight.repeat_interleave(len(labels) // len(weight))
        self._engine.tally.add(right, labels, step.first_logits.shape[-1], weight)

    def _count_perturbed(self, step: Step) -> None:
        likelihood = step.target.likelihood
        if step.after is None or step.target.mixing is not None or likelihood.task == "regression":
            return
        counts = by_row(likelihood.counted(step.labels), self._weight)
        right = (likelihood.right(step.after, step.labels) * counts).sum()
        self._engine.count_perturbed(torch.stack([right, counts.sum()]))


@contextmanager
def lend_weights(weights: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Let weights stand where others lie inside the block; afterwards they are bitwise what they were, in any case.

    Nothing is copied: for the time of the block a weight points to other memory. A graph that was made before the block
    must not be back-propagated in it: autograd does not notice that its weights have changed.
    """
    before = [weight.data for weight in weights]
    try:
        for weight, other in zip(weights, others, strict=True):
            weight.data = other
        forget_casts()
        yield
    finally:
        for weight, kept in zip(weights, before, strict=True):
            weight.data = kept
        forget_casts()


def _accumulate(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    """Add gradients to ``.grad``, as a backward would; return memory of each one's shape that nobody needs.

    A first gradient becomes ``.grad`` itself, and the memory is new; the memory of a later one is its own.
    """
    free = []
    for weight, gradient in zip(weights, gradients, strict=True):
        free.append(torch.empty_like(gradient) if weight.grad is None else gradient)
        weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
    return free


def _own(gradients: Sequence[Tensor], like: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients that may be overwritten, each laid out like its weight and in memory of its own.

    Autograd may give two weights one and the same gradient, or one number repeated.
    """
    seen: set[int] = set()
    own = []
    for gradient, weight in zip(gradients, like, strict=True):
        place = gradient.untyped_storage().data_ptr()
        alone = place not in seen and gradient.stride() == weight.stride()
        own.append(gradient if alone else torch.empty_like(weight).copy_(gradient))
        seen.add(place)
    return own
