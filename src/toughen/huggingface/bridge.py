"""Between the engine and the Trainer: how a pass runs there, and the moments that only a callback sees."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState

from toughen.engine.adversaries import AnyAdversary, WeightAdversary
from toughen.engine.adversaries.smooth import GradientPenalty
from toughen.engine.engine import Engine
from toughen.huggingface import training_state
from toughen.machine.launch import draw_apart
from toughen.machine.runtime import gather_rows, sum_over_group

if TYPE_CHECKING:
    from toughen.huggingface.engine_trainer import EngineTrainer


class TrainerRuntime:
    """The engine's view of a Trainer: accelerate runs, scales and communicates. See :mod:`toughen.machine.runtime`."""

    def __init__(self, trainer: EngineTrainer) -> None:
        self._trainer = trainer

    @property
    def processes(self) -> int:
        """How many there are, as accelerate says."""
        return int(self._trainer.accelerator.num_processes)

    @property
    def skips_overflow(self) -> bool:
        """Whether accelerate has a gradient scaler."""
        return self._trainer.accelerator.scaler is not None

    def autocast(self) -> AbstractContextManager[Any]:
        """Nothing: accelerate has wrapped the model's forward."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Back-propagate through accelerate, which scales for fp16."""
        self._trainer.accelerator.backward(loss)

    def scaled(self, loss: Tensor) -> Tensor:
        """Multiply by the gradient scale, if there is a scaler."""
        scaler = self._trainer.accelerator.scaler
        return loss if scaler is None else scaler.scale(loss)

    def local(self) -> AbstractContextManager[Any]:
        """Do not communicate: DDP's no_sync."""
        no_sync: AbstractContextManager[Any] = self._trainer.accelerator.no_sync(self._trainer.model_wrapped)
        return no_sync

    def outer(self, sync: bool) -> AbstractContextManager[Any]:
        """Nothing: the Trainer's loop has already entered no_sync for a micro-batch that does not communicate."""
        return nullcontext()

    def summed(self, numbers: Tensor) -> Tensor:
        """Add up over accelerate's processes."""
        return sum_over_group(None, numbers) if self.processes > 1 else numbers

    def gathered(self, rows: Tensor) -> Tensor:
        """Gather from accelerate's processes."""
        return gather_rows(None, rows) if self.processes > 1 else rows


class Bridge(TrainerCallback):
    """Moves average and counters after each step that was taken, and watches for collapse."""

    def __init__(self, trainer: EngineTrainer) -> None:
        self._trainer = trainer
        self._scale = 1.0
        self._training = False
        self._watch: MajorityWatch | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Restore what the Trainer has just reset, draw apart from other processes, and start the clock."""
        self._training = True
        draw_apart(args.process_index, args.seed)  # a checkpoint's generators are restored after this
        training_state.restore_losses(self._trainer)
        self._trainer.clock.start()

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remember the gradient scale."""
        scaler = self._trainer.accelerator.scaler
        self._scale = 1.0 if scaler is None else scaler.get_scale()

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the average, or take the count of a skipped step back."""
        # accelerate cannot see that a fused optimiser skipped; a scale that fell can.
        trainer = self._trainer
        scaler = trainer.accelerator.scaler
        assert trainer.engine is not None
        if scaler is not None and scaler.get_scale() < self._scale:
            trainer.engine.skipped()
            optimizer: Any = trainer.optimizer
            optimizer._is_overflow = True  # or the schedule would move on
        elif trainer.average is not None:
            trainer.average.update()

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Offer the weights that were just scored to the soup, while training."""
        trainer = self._trainer
        if trainer.soup is not None and self._training:
            metric = str(args.metric_for_best_model)
            score = (metrics or {}).get(metric if metric.startswith("eval_") else f"eval_{metric}")
            if score is not None:
                trainer.soup.offer(state.global_step, float(score), trainer.model)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop the clock; later scores are not of this training."""
        self._training = False
        self._trainer.clock.stop()

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Start counting hits."""
        if self._trainer.engine is not None:
            accelerator = self._trainer.accelerator
            self._watch = MajorityWatch(self._trainer.engine, partial(accelerator.reduce, reduction="sum"))

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Warn early of an adversary under which nothing is learnt; without one a warm-up may look like this."""
        adversary = self._trainer.the_engine().adversary
        early = EARLY + int(args.get_warmup_steps(state.max_steps))
        if state.global_step == early and adversary is not None and self._watch is not None:
            self._watch.check(f"the first {early} steps", say=state.is_world_process_zero)

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Warn of collapse."""
        if self._watch is not None:
            self._watch.check(f"epoch {math.ceil(state.epoch or 0)}", say=state.is_world_process_zero)


EARLY = 50
"""Optimiser steps after the warm-up at which a run with an adversary that still stands at chance says so."""
MIN_LABELS, TOLERANCE = 50, 0.02
"""An epoch of fewer labels (of rows, or of words) says too little; an accuracy this near the majority's sits at it."""


class MajorityWatch:
    """Compares an epoch's training accuracy with the majority rate of the labels it saw."""

    def __init__(self, engine: Engine, reduce: Callable[[Tensor], Tensor] | None = None) -> None:
        """Start counting; ``reduce`` adds the counts of all processes up."""
        self._engine = engine
        self._reduce = reduce or (lambda counts: counts)
        engine.tally.reset()

    def check(self, when: str, *, say: bool = True) -> None:
        """Warn (one process ``say``s it) if the accuracy so far, ``when``, is that of always answering the majority."""
        counts = self._engine.tally.counts()
        if counts is None:
            return
        hits, *classes = self._reduce(counts).tolist()
        perturbed = self._describe_perturbed()
        labels = sum(classes)
        rate = max(classes) / max(labels, 1)
        if not say or labels < MIN_LABELS or rate == 1 or hits / labels > rate + TOLERANCE:
            return
        adversary = self._engine.adversary
        cause = "the learning rate may be too high, too low or still warming up"
        if adversary is not None:
            cause = f"{_adversary_text(self._engine, adversary)} may be too strong: {_remedy(adversary)}"
        warnings.warn(
            f"training accuracy {hits / labels:.1%}{perturbed} sat at the majority rate {rate:.1%} for {when}: the "
            f"model may have collapsed to one class; {cause}.",
            stacklevel=2,
        )

    def _describe_perturbed(self) -> str:
        counts = self._engine.tally.perturbed
        if counts is None:
            return ""
        right, counted = self._reduce(counts).tolist()
        return f" ({right / counted:.1%} on perturbed texts)" if counted else ""


def _adversary_text(engine: Engine, adversary: AnyAdversary) -> str:
    unit = getattr(adversary, "radius_unit", None)
    now = "" if engine.radius is None else f", now {float(engine.radius.scale):.2g}"
    return f"adversary {adversary.name} with radius {adversary.radius}{now}{f' ({unit})' if unit else ''}"


def _remedy(adversary: AnyAdversary) -> str:
    wait = "let it wait with adversary.start_step"
    embeddings = not isinstance(adversary, WeightAdversary | GradientPenalty)
    if adversary.radius == "auto":
        return f"{wait}, or check training.learning_rate"
    return f"lower adversary.radius{', set it to auto' if embeddings else ''}, or {wait}"
