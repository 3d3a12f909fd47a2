"""What does not go together, said once: each refusal names the pair, the reason and what to use instead.

``RULES`` are checked when an engine is built, ``TRAINER_RULES`` when a Trainer is; docs/composition.md lists them all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from toughen.engine.adversaries import AnyAdversary, Awp, GradientPenalty, Rat, Smart, WeightAdversary
from toughen.engine.averages import Average, CheckpointSoup, Ema
from toughen.engine.inputs import InputChange, Mixup, Neftune
from toughen.engine.objectives import CrossEntropy
from toughen.errors import InputError
from toughen.tasks import TaskName

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe


@dataclass(frozen=True)
class Setup:
    """The parts that an engine is built from."""

    model: nn.Module
    objective: CrossEntropy
    adversary: AnyAdversary | None
    inputs: InputChange | None
    task: TaskName
    knows_special: bool
    low_memory: bool = False
    compiled: bool = False

    @property
    def embedding_adversary(self) -> Any:
        """The adversary, if it perturbs embeddings."""
        return None if isinstance(self.adversary, WeightAdversary) else self.adversary


@dataclass(frozen=True)
class TrainerSetup:
    """What a Trainer adds: its arguments, and the whole recipe."""

    recipe: Recipe | None
    deepspeed: bool = False
    loss_function: Any = None
    neftune_alpha: float | None = None
    scores: bool = True
    """Whether it scores validation rows while training."""

    @property
    def adversary(self) -> AnyAdversary | None:
        """The recipe's adversary."""
        return self.recipe.adversary if self.recipe else None

    @property
    def average(self) -> Average | None:
        """The recipe's average."""
        return self.recipe.average if self.recipe else None

    @property
    def inputs(self) -> InputChange | None:
        """The recipe's change of the inputs."""
        return self.recipe.inputs if self.recipe else None


@dataclass(frozen=True)
class Rule:
    """A pair that is refused.

    Attributes:
        pair: what does not go together, as the user wrote it.
        why: the reason.
        instead: what to use.
        broken: whether a setup has the pair.
    """

    pair: str
    why: str
    instead: str
    broken: Callable[[Any], bool]

    def sentence(self, setup: Any) -> str:
        """Return the refusal, with the names of this setup's parts."""
        names = {part: getattr(getattr(setup, part, None), "name", "") for part in ("adversary", "average", "inputs")}
        return f"{self.pair.format(**names)} cannot be combined: {self.why}; {self.instead}."


RULES: tuple[Rule, ...] = (
    Rule(
        "adversary rat and objective rdrop",
        "R-AT is R-Drop with the adversarial pass as its second one",
        "use objective cross-entropy, or adversary fgm beside rdrop",
        lambda s: isinstance(s.adversary, Rat) and s.objective.copies > 1,
    ),
    Rule(
        "inputs mixup and task tokens",
        "two sentences' words do not stand at the same places, so their labels cannot be blended",
        "use inputs neftune or none",
        lambda s: isinstance(s.inputs, Mixup) and s.task == "tokens",
    ),
    Rule(
        "inputs mixup and adversary.scope vocabulary",
        "a blended token is no row of the embedding table",
        "use scope example",
        lambda s: isinstance(s.inputs, Mixup) and getattr(s.adversary, "scope", "") == "vocabulary",
    ),
    Rule(
        "inputs mixup and a decoder",
        "it reads its answer at one text's last token, where the other text may not have ended",
        "use an encoder, or inputs neftune",
        lambda s: isinstance(s.inputs, Mixup) and is_decoder(s.model),
    ),
    Rule(
        "objective.label_smoothing and task regression",
        "a number has no other classes to smooth over",
        "set objective.label_smoothing to 0",
        lambda s: s.task == "regression" and s.objective.label_smoothing > 0,
    ),
    Rule(
        "objective.class_weights and task regression",
        "a number has no class",
        "set objective.class_weights to null",
        lambda s: s.task == "regression" and s.objective.class_weights is not None,
    ),
    Rule(
        "objective.focal_gamma and task regression",
        "the focus is on the probability of a class, and a number has none",
        "set objective.focal_gamma to 0",
        lambda s: s.task == "regression" and s.objective.focal_gamma > 0,
    ),
    Rule(
        "adversary gradient-penalty and this attention",
        "its kernel cannot be differentiated twice",
        "load the model with attn_implementation='sdpa' or 'eager'",
        lambda s: isinstance(s.adversary, GradientPenalty) and attention_of(s.model) not in ("sdpa", "eager", ""),
    ),
    Rule(
        "adversary gradient-penalty and gradient checkpointing",
        "a recomputed pass has no second derivative",
        "switch gradient checkpointing off",
        lambda s: isinstance(s.adversary, GradientPenalty) and bool(checkpointed(s.model)),
    ),
    Rule(
        "adversary gradient-penalty and training.memory low",
        "a pass that is made again has no second derivative",
        "set training.memory to normal",
        lambda s: isinstance(s.adversary, GradientPenalty) and s.low_memory,
    ),
    Rule(
        "adversary gradient-penalty and training.compile",
        "a compiled pass has no second derivative",
        "set training.compile (torch_compile of TrainingArguments) to false",
        lambda s: isinstance(s.adversary, GradientPenalty) and s.compiled,
    ),
    Rule(
        "adversary.special_tokens false and an unknown tokenizer",
        "only the tokenizer says which tokens are special",
        "give the engine special_ids (tokenizer.all_special_ids) or the Trainer a processing_class",
        lambda s: (
            s.embedding_adversary is not None and not s.embedding_adversary.special_tokens and not s.knows_special
        ),
    ),
    Rule(
        "adversary.site 'layer k' and gradient checkpointing",
        "that layer runs again without the perturbation",
        "use site embeddings",
        lambda s: (
            s.embedding_adversary is not None
            and s.embedding_adversary.site != "embeddings"
            and bool(checkpointed(s.model))
        ),
    ),
    Rule(
        "an adversary or inputs and reentrant gradient checkpointing",
        "it cannot give an adversary its gradient",
        "enable it with gradient_checkpointing_kwargs={'use_reentrant': False}",
        lambda s: (s.adversary is not None or s.inputs is not None) and any(map(_reentrant, checkpointed(s.model))),
    ),
    Rule(
        "adversary.only and this model",
        "no trainable weight has such a name",
        "choose a regular expression that some weight's name contains, such as 'weight' or 'embeddings'",
        lambda s: isinstance(s.adversary, Awp) and not any(s.adversary.selects(n) for n in _trainable(s.model)),
    ),
)

TRAINER_RULES: tuple[Rule, ...] = (
    Rule(
        "compute_loss_func and ToughTrainer",
        "its loss is the recipe's objective",
        "leave it out, or use transformers' Trainer",
        lambda s: s.loss_function is not None,
    ),
    Rule(
        "adversary {adversary} and DeepSpeed",
        "it takes an optimiser step's worth of gradient at every backward while an adversary needs several",
        "use DDP (torchrun), or leave the adversary out",
        lambda s: s.deepspeed and s.adversary is not None,
    ),
    Rule(
        "average {average} and DeepSpeed",
        "it keeps the weights in partitions of its own",
        "use DDP (torchrun), or leave the average out",
        lambda s: s.deepspeed and s.average is not None,
    ),
    Rule(
        "inputs neftune and TrainingArguments.neftune_noise_alpha",
        "the noise would be added twice",
        "set one of them",
        lambda s: s.neftune_alpha is not None and isinstance(s.inputs, Neftune),
    ),
    Rule(
        "adversary smart with bregman and any average but ema",
        "the proximal term compares with the EMA of the weights",
        "set average: ema, or adversary.bregman: 0",
        lambda s: isinstance(s.adversary, Smart) and s.adversary.bregman > 0 and not isinstance(s.average, Ema),
    ),
    Rule(
        "average checkpoint-soup and a Trainer that scores nothing",
        "the checkpoints are chosen by their validation score",
        "set eval_strategy and metric_for_best_model, or use average ema",
        lambda s: isinstance(s.average, CheckpointSoup) and not s.scores,
    ),
)


def check_composition(setup: Setup) -> None:
    """Refuse, in a sentence, what cannot work together.

    Raises:
        InputError: naming the pair, the reason and what to use instead.
    """
    _refuse(RULES, setup)


def warn_of_idle_parts(setup: Setup) -> None:
    """Warn of what cannot help."""
    has_dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in setup.model.modules())
    if setup.objective.copies > 1 and not has_dropout:
        warnings.warn(
            f"{type(setup.model).__name__} has no dropout above 0, so R-Drop's two passes are equal and its divergence "
            "is 0.",
            stacklevel=4,
        )


def check_trainer(setup: TrainerSetup) -> None:
    """Refuse a Trainer's arguments that the recipe cannot live with.

    Raises:
        InputError: naming the argument, the reason and what to use instead.
    """
    _refuse(TRAINER_RULES, setup)


def _refuse(rules: Iterable[Rule], setup: Setup | TrainerSetup) -> None:
    for rule in rules:
        if rule.broken(setup):
            raise InputError(rule.sentence(setup))


def checkpointed(model: nn.Module) -> list[Any]:
    """Return the checkpointing functions of the layers that recompute their activations."""
    return [
        m._gradient_checkpointing_func
        for m in model.modules()
        if bool(getattr(m, "gradient_checkpointing", False)) and hasattr(m, "_gradient_checkpointing_func")
    ]


def _reentrant(function: Any) -> bool:
    return bool(getattr(function, "keywords", {}).get("use_reentrant", True))


def _trainable(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad]


def attention_of(model: Any) -> str:
    """Return the name of a transformers model's attention, "" where it has none."""
    return str(getattr(getattr(model, "config", None), "_attn_implementation", "") or "")


def is_decoder(model: Any) -> bool:
    """Whether a model belongs to a family that only ever reads from left to right."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    family = str(getattr(getattr(model, "config", None), "model_type", ""))
    return family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


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
