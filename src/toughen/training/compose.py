"""What does not go together, said once: each refusal names the pair, the reason and what to use instead."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from toughen.errors import InputError
from toughen.training.adversaries import EmbeddingAdversary
from toughen.training.objectives import CrossEntropy

if TYPE_CHECKING:
    from toughen.recipe import Recipe


def check_composition(
    model: nn.Module, objective: CrossEntropy, adversary: EmbeddingAdversary | None, special_ids: Iterable[int] | None
) -> None:
    """Refuse, in a sentence, what cannot work together; warn of what cannot help.

    Raises:
        InputError: naming the pair, the reason and what to use instead.
    """
    has_dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    if objective.copies > 1 and not has_dropout:
        warnings.warn(
            f"{type(model).__name__} has no dropout above 0, so R-Drop's two passes are equal and its divergence is 0.",
            stacklevel=3,
        )
    if adversary is None:
        return
    if not adversary.special_tokens and special_ids is None:
        raise InputError(
            "adversary.special_tokens: false needs to know which tokens are special; give the engine special_ids "
            "(tokenizer.all_special_ids) or the Trainer a processing_class."
        )
    check_checkpointing(model, adversary)


def check_checkpointing(model: nn.Module, adversary: EmbeddingAdversary | None) -> None:
    """Refuse gradient checkpointing that the adversary cannot live with; the Trainer enables it late.

    Raises:
        InputError: naming the reason and what to use instead.
    """
    if adversary is None:
        return
    checkpointing = [m._gradient_checkpointing_func for m in model.modules() if _checkpoints(m)]
    if any(getattr(f, "keywords", {}).get("use_reentrant", True) for f in checkpointing):
        raise InputError(
            "reentrant gradient checkpointing cannot give an adversary its gradient; enable it with "
            "gradient_checkpointing_kwargs={'use_reentrant': False}."
        )
    if checkpointing and adversary.site != "embeddings":
        raise InputError(
            f"adversary.site {adversary.site!r} cannot be combined with gradient checkpointing, which runs that layer "
            "again without the perturbation; use site: embeddings."
        )


def _checkpoints(module: nn.Module) -> bool:
    return bool(getattr(module, "gradient_checkpointing", False)) and hasattr(module, "_gradient_checkpointing_func")


def check_trainer(recipe: Recipe | None, *, loss_function: Any, deepspeed: bool) -> None:
    """Refuse a Trainer's arguments that the recipe cannot live with.

    Raises:
        InputError: naming the argument, the reason and what to use instead.
    """
    if loss_function is not None:
        raise InputError(
            "compute_loss_func cannot be combined with ToughTrainer, whose loss is the recipe's objective; leave it "
            "out or use transformers' Trainer."
        )
    if deepspeed and recipe is not None and recipe.adversary is not None:
        raise InputError(
            f"adversary {recipe.adversary.name} cannot be combined with DeepSpeed, which takes an optimiser step's "
            "worth of gradient at every backward while an adversary needs several; use DDP (torchrun) or leave the "
            "adversary out."
        )
    if deepspeed and recipe is not None and recipe.average is not None:
        raise InputError(
            f"average {recipe.average.name} cannot be combined with DeepSpeed, which keeps the weights in partitions "
            "of its own; use DDP (torchrun) or leave the average out."
        )


def smoothed_once(objective: CrossEntropy, smoothing: float) -> CrossEntropy:
    """Return the objective with ``TrainingArguments.label_smoothing_factor``.

    Raises:
        InputError: if the recipe smooths as well.
    """
    if smoothing and objective.label_smoothing:
        raise InputError(
            f"label smoothing is set twice: TrainingArguments.label_smoothing_factor={smoothing} and the recipe's "
            f"objective.label_smoothing={objective.label_smoothing}; set one of them to 0."
        )
    return replace(objective, label_smoothing=smoothing or objective.label_smoothing)
