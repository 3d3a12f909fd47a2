"""What does not go together, said once: each refusal names the pair, the reason and what to use instead.

``RULES`` are checked when an engine is built, those of `toughen.huggingface.composition` when a Trainer is;
docs/composition.md lists them all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from toughen.engine.adversaries import AnyAdversary, WeightAdversary
from toughen.engine.adversaries.smooth import GradientPenalty, Rat
from toughen.engine.adversaries.weights import Awp
from toughen.engine.inputs import InputChange, Mixup
from toughen.engine.objectives import CrossEntropy
from toughen.errors import InputError
from toughen.tasks import TaskName


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
        lambda s: isinstance(s.adversary, GradientPenalty) and bool(find_checkpointing(s.model)),
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
            and bool(find_checkpointing(s.model))
        ),
    ),
    Rule(
        "an adversary or inputs and reentrant gradient checkpointing",
        "it cannot give an adversary its gradient",
        "enable it with gradient_checkpointing_kwargs={'use_reentrant': False}",
        lambda s: (
            (s.adversary is not None or s.inputs is not None) and any(map(_reentrant, find_checkpointing(s.model)))
        ),
    ),
    Rule(
        "adversary.only and this model",
        "no trainable weight has such a name",
        "choose a regular expression that some weight's name contains, such as 'weight' or 'embeddings'",
        lambda s: isinstance(s.adversary, Awp) and not any(s.adversary.selects(n) for n in _trainable(s.model)),
    ),
)


def check_composition(setup: Setup) -> None:
    """Refuse, in a sentence, what cannot work together.

    Raises:
        InputError: naming the pair, the reason and what to use instead.
    """
    refuse(RULES, setup)


def warn_of_idle_parts(setup: Setup) -> None:
    """Warn of what cannot help."""
    if setup.objective.copies > 1 and not any(map(_drops, setup.model.modules())):
        warnings.warn(
            f"{type(setup.model).__name__} has no dropout above 0, so R-Drop's two passes are equal and its divergence "
            "is 0.",
            stacklevel=4,
        )


def _drops(module: nn.Module) -> bool:
    """Whether a module has dropout above 0: as a module, or as a rate that it calls the function with, like BART's."""
    if isinstance(module, nn.Dropout):
        return module.p > 0
    return any("dropout" in name and isinstance(value, float) and value > 0 for name, value in vars(module).items())


def refuse(rules: Iterable[Rule], setup: Any) -> None:
    """Raise the sentence of the first rule that the setup breaks as an InputError."""
    for rule in rules:
        if rule.broken(setup):
            raise InputError(rule.sentence(setup))


def find_checkpointing(model: nn.Module) -> list[Any]:
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
