"""One training step in which objective and adversary compose: the one place that reduces and back-propagates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from toughen.engine.adversaries import AnyAdversary, WeightAdversary
from toughen.engine.batch import named_batch, pad_batch, refuse_other_kind, width_multiple, with_fitting_weight
from toughen.engine.compose import Setup, check_composition, find_checkpointing, warn_of_idle_parts
from toughen.engine.counters import Cost, Tally
from toughen.engine.head_samples import HeadSamples
from toughen.engine.inputs import InputChange
from toughen.engine.label_gate import outputs_per_text, with_fitting_labels
from toughen.engine.left_out import LeftOut
from toughen.engine.likelihood import LIKELIHOODS
from toughen.engine.objectives import CrossEntropy
from toughen.engine.radius import AutoRadius
from toughen.engine.randomness import Noise, torch_noise
from toughen.engine.reduction import PERTURBED, back_propagate
from toughen.engine.rows import count_rows, label_scale, positive
from toughen.engine.site import Site
from toughen.engine.step import Context
from toughen.engine.unperturbed import Unperturbed
from toughen.engine.weight_average import WeightAverage
from toughen.errors import InputError
from toughen.machine.full_speed import full_speed
from toughen.machine.modes import Memory, Precision
from toughen.machine.runtime import (
    PlainRuntime,
    Runtime,
    casts_kept,
    compiled_graphs_kept,
    is_compiled,
    let_lengths_vary,
    unwrap,
)
from toughen.machine.sharding import refuse_sharded
from toughen.tasks import TaskName

_RIGHT, _COUNTED = "adversary/right", "adversary/counted"
"""In the log: the two sums whose quotient is the accuracy on perturbed texts."""


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
        log: sums since it was last asked for; see :meth:`terms`.
        left_out: rows whose loss is not finite, which were left out of their steps.
        unperturbed: rows whose perturbation was set to 0, since its gradient is not finite.
        radius: the scale of ``adversary.radius: auto``, else None.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: CrossEntropy | None = None,
        adversary: AnyAdversary | None = None,
        *,
        inputs: InputChange | None = None,
        task: TaskName = "single-label",
        average: WeightAverage | None = None,
        precision: Precision = "fp32",
        memory: Memory = "normal",
        compiled: bool = False,
        cpu_kernels: bool = False,
        noise: Noise = torch_noise,
        special_ids: Iterable[int] | None = None,
        embedding: str | None = None,
        columns: Sequence[str] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Register the hooks on the model.

        Args:
            model: a classifier, bare or wrapped in ``DistributedDataParallel``: one of transformers', or any module
                that makes logits (a tensor, first in a tuple, or under ``logits``) of token ids.
            objective: the loss; default cross-entropy.
            adversary: the adversarial training; default none.
            inputs: how the embeddings change while training; default not at all.
            task: what a label is.
            average: the average of the weights, where the adversary needs it as a teacher (SMART's Bregman term).
            precision: of the passes, where the engine stands in a plain loop; losses and perturbations are float32.
            memory: low runs passes that share a backward one after another and makes all but the last of them again in
                the backward: the same gradients (other dropout masks) for the memory of one pass and a forward more.
            compiled: whether the model will be compiled; of one that is already the engine knows.
            cpu_kernels: whether this process changes on a CPU until :meth:`close`, as under ``training.cpu_kernels``.
            noise: source of random starts; default torch's global generator.
            special_ids: the tokenizer's special token ids, needed by ``special_tokens: false``.
            embedding: name, or a part of it, of the token-embedding table of a model that is not transformers' own.
            columns: what the tensors of a batch are, where batches are tuples: such as ``("input_ids", "labels")``. The
                model is then called with its inputs in this order (labels and weight left out), not by name.
            runtime: how passes run inside a framework (the Trainer brings its own).

        Raises:
            InputError: if the model cannot be perturbed where the adversary wants to, or the parts do not compose.
        """
        self.objective = objective or CrossEntropy()
        self.adversary, self.inputs, self.average = adversary, inputs, average
        self.likelihood = LIKELIHOODS[task]
        self.runtime = runtime or PlainRuntime(model, precision)
        bare = unwrap(model)
        refuse_other_kind(bare)
        refuse_sharded(model)
        self._embedding, self._columns = embedding, None if columns is None else tuple(columns)
        self._compiled, self._low_memory = compiled or is_compiled(model), memory == "low"
        if self._compiled:
            let_lengths_vary()
        facts = (special_ids is not None, self._low_memory, self._compiled)
        self._setup = Setup(bare, self.objective, adversary, inputs, task, *facts)
        self.check()
        warn_of_idle_parts(self._setup)
        self._bare = bare
        self._classes = outputs_per_text(bare)
        self._place_hooks(bare)
        self.model: nn.Module = model
        self._noise, self._special_ids = noise, tuple(special_ids or ())
        self._process = ExitStack()
        self._process.enter_context(full_speed(precision, memory, cpu_kernels))
        self.restart()

    def _place_hooks(self, bare: nn.Module) -> None:
        self.site: Site | None = None
        self._entry: Site | None = None
        if self.adversary is not None and not isinstance(self.adversary, WeightAdversary):
            measured = self.adversary.radius_unit in ("site", "per-token")
            self.site = Site(bare, self.adversary.site, measured=measured, embedding=self._embedding)
        if self.inputs is not None:
            at_entry = self.site is not None and self.site.place == "embeddings"
            self._entry = self.site if at_entry else Site(bare, embedding=self._embedding)
        samples = self.objective.dropout_samples
        self._samples = HeadSamples(bare, samples) if samples > 1 else None

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The weights that learn, by name, tied ones once."""
        return {name: p for name, p in self._bare.named_parameters() if p.requires_grad}

    def check(self) -> None:
        """Check the parts once more: a Trainer enables gradient checkpointing late.

        Raises:
            InputError: if they do not compose.
        """
        check_composition(self._setup)
        self._checkpointed = bool(find_checkpointing(self._setup.model))

    def restart(self) -> None:
        """Start again: optimiser steps, perturbations, passes, hits, the log, and the radius that adjusts itself."""
        self.updates = 0
        self.ascents = 0
        self.cost = Cost()
        self.tally = Tally()
        self.left_out = LeftOut()
        self.unperturbed = Unperturbed()
        auto = getattr(self.adversary, "radius", None) == "auto"
        self.radius = AutoRadius(self.adversary.label_free) if self.adversary is not None and auto else None
        self.log: dict[str, Tensor] = {}
        self._logged_updates = 0

    def backward(
        self,
        batch: Mapping[str, Tensor] | Sequence[Tensor],
        *,
        examples: Tensor | float | None = None,
        labelled: Tensor | float | None = None,
        sync: bool = True,
    ) -> Tensor:
        """Add the gradient of sum_i w_i loss_i / examples to the parameters' ``.grad``.

        Args:
            batch: ``input_ids`` [B, T], ``attention_mask`` [B, T], ``labels`` ([B] class ids or [B, K]
                probabilities of the classes, -100: no label; [B, K] 0 or 1 of several labels, -100: none; [B] numbers,
                NaN: none; [B, T] class ids, -100: no word), other model inputs, and optionally
                ``weight`` [B] (0 leaves a row out); or these tensors in the order of ``columns``.
            examples: rows (for tokens: labelled words) of the whole optimiser step (all its micro-batches; under DDP
                the mean over processes); default: those of this batch.
            labelled: those of them with a label; default: the share that has one in this batch.
            sync: False on all but the last micro-batch of an accumulated step.

        Returns:
            The loss, a detached scalar: everything that was back-propagated, reduced as above.

        Raises:
            InputError: if the batch has no token ids, or labels without the shape or the kind of the task; if the loss
                of too many rows so far is not finite (see :mod:`toughen.engine.left_out`).
        """
        batch = self.with_fitting_labels(batch)
        batch = self._as_wide_as_embedded(with_fitting_weight(batch, next(self._bare.parameters()).dtype))
        counts = count_rows(batch, self.likelihood)
        examples = positive(counts[0] if examples is None else examples)
        scale = label_scale(counts, examples, labelled)
        self.left_out.see(len(batch["labels"]))
        with self.runtime.outer(sync), casts_kept(batch["labels"].device), self._compile_context():
            total = self._parts(batch, scale, examples, sync)
        if sync:
            total = total * self.left_out.close_step(self.runtime, examples, list(self.trainable.values()))
            self._adjust_radius()
            self.updates += 1
            self.cost.steps += 1
            self._logged_updates += 1
        return total

    def with_fitting_labels(self, batch: Mapping[str, Tensor] | Sequence[Tensor]) -> Mapping[str, Tensor]:
        """Return the batch by name with labels of the task's shape; see `toughen.engine.label_gate`."""
        batch = named_batch(batch, self._columns)
        if self.likelihood.reads_targets:
            return batch
        return with_fitting_labels(batch, self.likelihood.task, self._classes)

    def _as_wide_as_embedded(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.site is None and self._entry is None:
            return batch
        config = getattr(self._bare, "config", None)
        words = self.likelihood.task == "tokens"
        return pad_batch(batch, width_multiple(config), getattr(config, "pad_token_id", None) or 0, words=words)

    def _adjust_radius(self) -> None:
        radius = self.radius
        if radius is None:
            return
        scale = radius.scale  # of this step's perturbations
        if radius.adjust(self.runtime):
            # float32, as the log of a resumed run is
            self.record("adversary/scale", scale.float())
            self.record("adversary/flipped", radius.flipped.nan_to_num(0.0).float())

    def _compile_context(self) -> AbstractContextManager[None]:
        kept = self._compiled and getattr(self.adversary, "keeps_graph", False)
        return compiled_graphs_kept() if kept else nullcontext()

    def _parts(self, batch: Mapping[str, Tensor], scale: Tensor, examples: Tensor | float, sync: bool) -> Tensor:
        """Back-propagate the rows on which the adversary acts, then the rest; only the last part communicates."""
        adversary = self.adversary if self.adversary is not None and self.adversary.acts(self.updates) else None
        chosen, rest = self._choose_rows(batch, getattr(adversary, "share", 1.0))
        context = self._context()
        self.cost.checkpointed = self._checkpointed
        total: Tensor | None = None
        for rows, acting in ((chosen, adversary), (rest, None)):
            if rows is None:
                continue
            last = acting is None or rest is None
            self.cost.share = len(rows["labels"]) / len(batch["labels"]) if rest is not None else 1
            with nullcontext() if last or not sync else self.runtime.local():
                loss = back_propagate(self, context, rows, scale, examples, acting, sync=sync and last)
            total = loss if total is None else total + loss
        assert total is not None  # a batch has rows
        return total

    def _choose_rows(
        self, batch: Mapping[str, Tensor], share: float
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor] | None]:
        """Split a batch at random into the rows on which the adversary acts (at least one) and the others."""
        rows = len(batch["labels"])
        count = max(1, round(share * rows))
        if count == rows:
            return batch, None
        device = batch["labels"].device
        order = self._noise("uniform", torch.zeros(rows, device=device)).argsort()
        return tuple({name: value[part] for name, value in batch.items()} for part in (order[:count], order[count:]))  # type: ignore[return-value]

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

    def terms(self, mean: Callable[[dict[str, float]], dict[str, float]] = dict) -> dict[str, float]:
        """Return each loss term's mean over the optimiser steps since the last call; they add up to the loss.

        ``task`` and the objective's other terms are those of the clean pass (absent where the adversary has none),
        ``adversarial`` is the adversary's; ``perturbation_norm`` is the mean L2 norm of delta over the examples that
        were perturbed. Of the adversary: ``adversary/accuracy``, of the answers on perturbed texts, and under
        ``radius: auto`` ``adversary/scale`` and ``adversary/flipped`` (see :class:`toughen.engine.radius.AutoRadius`).

        Args:
            mean: takes the mean over processes, where there are several.
        """
        self.unperturbed.tell(getattr(self.adversary, "name", ""))
        count = max(self._logged_updates, 1)
        means = mean({name: float(value) / count for name, value in self.log.items()})
        self.log, self._logged_updates = {}, 0
        right, counted = means.pop(_RIGHT, 0.0), means.pop(_COUNTED, 0.0)
        perturbed = means.pop(PERTURBED, 0.0)
        if perturbed:
            means["perturbation_norm"] /= perturbed
        return means | ({"adversary/accuracy": right / counted} if counted else {})

    def count_perturbed(self, right_of_counted: Tensor) -> None:
        """Take in [right, counted] answers of a perturbed pass, for the log and the watch over an epoch."""
        right_of_counted = right_of_counted.float()
        self.tally.add_perturbed(right_of_counted)
        self.record(_RIGHT, right_of_counted[0])
        self.record(_COUNTED, right_of_counted[1])

    def close(self) -> None:
        """Remove the hooks from the model; leave the process as it was."""
        self._process.close()
        for hooked in (self.site, self._entry, self._samples):
            if hooked is not None:
                hooked.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_state(self) -> dict[str, Any]:
        """Return the log since the last :meth:`terms` as plain numbers, for a checkpoint."""
        return {"updates": self._logged_updates, "terms": {name: float(value) for name, value in self.log.items()}}

    def load_log_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over a saved :meth:`log_state`."""
        self._logged_updates = state["updates"]
        self.log = {name: torch.tensor(value, device=device) for name, value in state["terms"].items()}

    def record(self, name: str, value: Tensor) -> None:
        """Add a reduced, detached scalar to the log."""
        self.log[name] = self.log[name] + value if name in self.log else value

    def _context(self) -> Context:
        return Context(
            model=self.model,
            objective=self.objective,
            likelihood=self.likelihood,
            inputs=self.inputs,
            site=self.site,
            entry=self._entry,
            samples=self._samples,
            noise=self._noise,
            autocast=self.runtime.autocast,
            scaled=self.runtime.scaled,
            teacher=self._teacher,
            special_ids=self._special_ids,
            cost=self.cost,
            factor=1.0 if self.radius is None else self.radius.factor(next(self._bare.parameters()).device),
            bare=self._bare,
            low_memory=self._low_memory,
            columns=self._columns,
            twice=getattr(self.adversary, "differentiates_twice", False),
        )

    def _teacher(self) -> tuple[nn.Module, dict[str, Tensor]]:
        if self.average is None:
            raise InputError(
                f"adversary {getattr(self.adversary, 'name', '')} learns from the average of the weights; set average: "
                "ema (in a loop of your own: Engine(..., average=make_average(...))), or adversary.bregman: 0."
            )
        types = {name: p.dtype for name, p in self._bare.named_parameters()}
        average = self.average.weights(self._bare)
        # The average is float32; the model may hold its weights in half precision.
        return self._bare, {name: weight.to(types[name]) for name, weight in average.items()}
