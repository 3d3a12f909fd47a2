"""One training step in which objective and adversary compose: the one place that reduces and back-propagates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from toughen.training.adversaries import EmbeddingAdversary, Teach
from toughen.training.compose import check_composition
from toughen.training.config import Precision
from toughen.training.counters import Cost, Tally
from toughen.training.objectives import IGNORED, CrossEntropy
from toughen.training.runtime import PlainRuntime, Runtime
from toughen.training.site import Site
from toughen.training.space import Noise, torch_noise
from toughen.training.step import Context, Step


class Engine:
    """Replaces ``loss.backward()``: ``engine.backward(batch)`` leaves the gradient of the whole recipe in ``.grad``.

    A step has two phases. *Ascend*: the adversary finds its perturbation; its passes may back-propagate but never
    communicate between processes. *Term*: one joint backward, which does. (One phase for both lets two DDP ranks drift
    apart without an error.)

    Attributes:
        model: what passes run through: the bare model, or a wrapper around it that communicates.
        updates: optimiser steps so far; ``adversary.start_step`` counts these.
        ascents: perturbations found so far.
        cost: passes so far.
        tally: training accuracy since it was last reset.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: CrossEntropy | None = None,
        adversary: EmbeddingAdversary | None = None,
        *,
        precision: Precision = "fp32",
        noise: Noise = torch_noise,
        special_ids: Iterable[int] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Register the hook on the model.

        Args:
            model: a transformers sequence classifier, bare or wrapped in ``DistributedDataParallel``.
            objective: what is a mistake; default cross-entropy.
            adversary: who pushes back; default nobody.
            precision: of the passes, where the engine stands in a plain loop; losses and perturbations are float32.
            noise: source of random starts; default torch's global generator.
            special_ids: the tokenizer's special token ids, needed by ``special_tokens: false``.
            runtime: how passes run inside a framework (the Trainer brings its own).

        Raises:
            InputError: if the model cannot be perturbed where the adversary wants to, or the parts do not compose.
        """
        self.objective = objective or CrossEntropy()
        self.adversary = adversary
        self.runtime = runtime or PlainRuntime(model, precision)
        bare = unwrap(model)
        check_composition(bare, self.objective, adversary, special_ids)
        self.site = Site(bare, adversary.site) if adversary is not None else None
        self.model: nn.Module = model
        self._noise = noise
        self._special_ids = tuple(special_ids or ())
        self.restart()

    def restart(self) -> None:
        """Count from 0 again: optimiser steps, perturbations, passes, hits and the log."""
        self.updates = 0
        self.ascents = 0
        self.cost = Cost()
        self.tally = Tally()
        self._log: dict[str, Tensor] = {}
        self._logged_updates = 0

    def backward(
        self,
        batch: Mapping[str, Tensor],
        *,
        examples: Tensor | float | None = None,
        labelled: Tensor | float | None = None,
        sync: bool = True,
    ) -> Tensor:
        """Add the gradient of sum_i w_i loss_i / examples to the parameters' ``.grad``.

        Args:
            batch: ``input_ids`` [B, T], ``attention_mask`` [B, T], ``labels`` [B] (-100: no label), other model inputs,
                and optionally ``weight`` [B] (0 leaves a row out).
            examples: rows of the whole optimiser step (all its micro-batches; under DDP the mean over processes);
                default: the rows of this batch.
            labelled: those of them with a label; default: the share that has one in this batch.
            sync: False on all but the last micro-batch of an accumulated step.

        Returns:
            The loss, a detached scalar: everything that was back-propagated, reduced as above.
        """
        weight = batch.get("weight")
        if examples is None:
            examples = float(len(batch["labels"])) if weight is None else weight.sum().clamp(min=1)
        step = Step(self._context(), batch, self._label_scale(batch, examples, labelled))
        with self.runtime.outer(sync):
            total = _Reduction(self, weight, examples).run(step, sync)
        if sync:
            self.updates += 1
            self.cost.steps += 1
            self._logged_updates += 1
        return total

    def step(self, optimizer: torch.optim.Optimizer, *, max_grad_norm: float | None = None) -> bool:
        """Unscale, clip, step the optimiser and clear the gradients; False if fp16 overflowed and the step was skipped.

        A convenience for plain loops; with fp32 and bf16 ``optimizer.step()`` does as well. After a skipped step
        neither a schedule nor an average may move, and ``updates`` does not.
        """
        scaler = getattr(self.runtime, "scaler", None)
        if scaler is not None:
            scaler.unscale_(optimizer)
        if max_grad_norm:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
        taken = True
        if scaler is None:
            optimizer.step()
        else:
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            taken = scaler.get_scale() >= before
        optimizer.zero_grad()
        if not taken:
            self.skipped()
        return taken

    def skipped(self) -> None:
        """Take back the count of the last step: the scaler skipped it."""
        self.updates -= 1

    def terms(self) -> dict[str, float]:
        """Return each loss term's mean over the optimiser steps since the last call; they add up to the loss.

        ``task`` and the objective's other terms are those of the clean pass (absent where the adversary has none),
        ``adversarial`` is the adversary's; ``perturbation_norm`` is the mean L2 norm of delta per example.
        """
        count = max(self._logged_updates, 1)
        means = {name: float(value) / count for name, value in self._log.items()}
        self._log, self._logged_updates = {}, 0
        return means

    def close(self) -> None:
        """Remove the hook from the model."""
        if self.site is not None:
            self.site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_state(self) -> dict[str, Any]:
        """Return the log since the last :meth:`terms` as plain numbers, for a checkpoint."""
        return {"updates": self._logged_updates, "terms": {name: float(value) for name, value in self._log.items()}}

    def load_log_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over a saved :meth:`log_state`."""
        self._logged_updates = state["updates"]
        self._log = {name: torch.tensor(value, device=device) for name, value in state["terms"].items()}

    def record(self, name: str, value: Tensor) -> None:
        """Add a reduced, detached scalar to the log."""
        self._log[name] = self._log[name] + value if name in self._log else value

    def _context(self) -> Context:
        return Context(
            self.model, self.objective, self.site, self._noise, self.runtime.autocast, self._special_ids, self.cost
        )

    def _label_scale(
        self, batch: Mapping[str, Tensor], examples: Tensor | float, labelled: Tensor | float | None
    ) -> Tensor:
        if labelled is None:
            known = (batch["labels"] != IGNORED).to(torch.float32)
            weight = batch.get("weight", torch.ones_like(known))
            examples, labelled = weight.sum(), (known * weight).sum()
        # Under DDP these are means over processes, which may lie between 0 and 1.
        labelled = torch.as_tensor(labelled)
        labelled = labelled.to(torch.float32 if labelled.device.type == "mps" else torch.float64)
        return torch.where(labelled > 0, examples / labelled, 1.0)

    @property
    def takes_unlabelled(self) -> bool:
        """Whether some term of the recipe needs no label."""
        return self.objective.label_free or getattr(self.adversary, "label_free", False)


class _Reduction:
    """One ``backward``: runs the adversary's passes and turns losses [B] into one number, always in the same way."""

    def __init__(self, engine: Engine, weight: Tensor | None, examples: Tensor | float) -> None:
        self._engine = engine
        self._runtime = engine.runtime
        self._weight = weight
        self._examples = examples
        self._total: Tensor | None = None

    def run(self, step: Step, sync: bool) -> Tensor:
        adversary = self._engine.adversary
        if adversary is None or self._engine.updates < adversary.start_step:
            self._teach(step.clean())
        else:
            # The outer context of a micro-batch that does not communicate is already local, and need not nest.
            with self._runtime.local() if sync else nullcontext():
                delta = self._ascend(adversary.ascend(step))
            self._engine.ascents += 1
            self._record("perturbation_norm", delta.flatten(1).norm(dim=1))
            self._teach(self._adversarial(adversary, step, delta))
        for name, value in step.recorded.items():
            self._record(name, value)
        if step.first_logits is not None:
            self._engine.tally.add(step.first_logits, step.labels, self._weight)
        assert self._total is not None  # every branch teaches
        return self._total

    def _adversarial(self, adversary: EmbeddingAdversary, step: Step, delta: Tensor) -> Tensor:
        term = adversary.term(step, delta)
        self._record("adversarial", term)
        return term if adversary.replaces_task else step.clean() + term

    def _ascend(self, ascent: Any) -> Tensor:
        gradient: Tensor | None = None
        while True:
            try:
                asked = ascent.send(gradient)
            except StopIteration as done:
                delta: Tensor = done.value.detach()
                return delta
            gradient = self._teaching_pass(asked) if isinstance(asked, Teach) else self._search(*asked)

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
        return grad * self._examples / self._runtime.scaled(torch.ones((), device=grad.device))

    def _search(self, loss: Tensor, leaf: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(self._runtime.scaled(loss.sum()), leaf)
        self._engine.cost.searched()
        return gradient / self._runtime.scaled(torch.ones((), device=gradient.device))

    def _teach(self, loss: Tensor) -> None:
        reduced = self._reduced(loss)
        self._runtime.backward(reduced)
        self._engine.cost.taught()
        self._total = reduced.detach() if self._total is None else self._total + reduced.detach()

    def _reduced(self, loss: Tensor) -> Tensor:
        weighted = loss if self._weight is None else loss * self._weight
        return weighted.sum() / self._examples

    def _record(self, name: str, loss: Tensor) -> None:
        self._engine.record(name, self._reduced(loss.detach()))


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DDP, FSDP or a compiled module."""
    from accelerate.utils import extract_model_from_parallel

    bare: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    return bare
