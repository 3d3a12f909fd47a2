"""How long, how fast and in what precision a run trains: the `training` part of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toughen.data.tokens.encode import Truncation
from toughen.machine.modes import Memory, Precision
from toughen.settings import require, require_seed, setting

Schedule = Literal["cosine", "linear", "constant"]
Threshold = Literal["fixed", "tuned"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything about a run that is not a technique: length, rate, batches, precision, selection."""

    epochs: float = setting(3.0, "passes over the training rows")
    max_steps: int | None = setting(None, "stop after so many optimiser steps (overrides epochs)")
    batch_size: int = setting(16, "labelled rows per micro-batch and process")
    eval_batch_size: int = setting(64, "rows per batch when scoring")
    accumulation: int = setting(1, "micro-batches per optimiser step")
    max_length: int = setting(256, "tokens per text; longer texts are cut")
    truncation: Truncation = setting("head", "what is kept of a longer text; windows = all of it, answers averaged")
    overlap: int = setting(0, "tokens that a window shares with the one before")
    learning_rate: float | Literal["auto"] = setting("auto", "peak learning rate; auto = by the encoder's width")
    weight_decay: float = setting(0.01, "AdamW's decay, on matrices only")
    max_grad_norm: float = setting(1.0, "clip the gradient's L2 norm to this; 0 = never")
    schedule: Schedule = setting("cosine", "shape of the rate after warm-up")
    warmup: float = setting(0.1, "share of the steps (below 1) or number of steps (1 and more) of linear warm-up")
    layer_decay: float = setting(1.0, "rate of each layer = rate of the layer above times this; 1 = off")
    early_stopping: int | None = setting(3, "stop after so many evaluations without improvement; null = never")
    early_stopping_threshold: float = setting(0.0, "how much better counts as improvement")
    metric: str | None = setting(None, "validation metric that chooses the best weights; null = f1, or pearson")
    threshold: Threshold = setting("fixed", "of two classes: fixed = 0.5; tuned = the best F1 on validation")
    save_steps: int | None = setting(None, "score and checkpoint every so many optimiser steps; null = every epoch")
    save_total_limit: int = setting(2, "checkpoints kept (the best is never dropped)")
    log_steps: int = setting(50, "optimiser steps between log lines; fewer where a run would have less than 20")
    report_to: Tracker = setting(
        "tensorboard", "who is told the log beside the run's own TensorBoard log: tensorboard (nobody), wandb or mlflow"
    )
    precision: Precision = setting(
        "auto", "auto = bf16 where the hardware is fast at it, fp16 on older GPUs, else fp32"
    )
    compile: bool = setting(False, "torch.compile the model (needs a C++ compiler on CPU); pays in long trainings")
    gradient_checkpointing: bool = setting(False, "recompute activations in the backward: less memory, slower")
    memory: Memory = setting("normal", "low = passes one after another, redone in the backward: less memory, slower")
    cpu_kernels: bool = setting(
        True, "on a CPU, while it trains: quicker dropout and attention, freed memory kept; false = torch's own"
    )
    length_buckets: bool = setting(True, "batch texts of similar length together")
    workers: int = setting(0, "processes that load batches")
    seed: int = setting(42, "seed of the split, the batches, the new head and the dropout")

    @property
    def peak_rate(self) -> float:
        """The learning rate as a number.

        Raises:
            RuntimeError: if nobody has yet put a number in the place of `auto`.
        """
        if isinstance(self.learning_rate, str):
            raise RuntimeError("training.learning_rate is still auto: take the recipe of toughen.huggingface.prepare")
        return self.learning_rate

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "eval_batch_size", "accumulation", "max_length")
        rate = () if self.learning_rate == "auto" else ("learning_rate",)
        for name in (*positive, *rate, "save_total_limit", "log_steps"):
            require(getattr(self, name) > 0, f"training.{name}", getattr(self, name), "must be above 0")
        natural = ("weight_decay", "max_grad_norm", "warmup", "early_stopping_threshold", "workers", "overlap")
        for name in natural:
            require(getattr(self, name) >= 0, f"training.{name}", getattr(self, name), "must not be negative")
        require_seed(self.seed, "training.seed")
        require(0 < self.layer_decay <= 1, "training.layer_decay", self.layer_decay, "must be above 0 and at most 1")
        for name in ("max_steps", "save_steps", "early_stopping"):
            value = getattr(self, name)
            require(value is None or value > 0, f"training.{name}", value, "must be above 0 or null")
