"""What a Trainer's arguments and a recipe's parts do not do together; see `toughen.engine.compose`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from toughen.engine.adversaries import AnyAdversary
from toughen.engine.adversaries.smooth import Smart
from toughen.engine.averages import Average, CheckpointSoup, Ema
from toughen.engine.compose import Rule, refuse
from toughen.engine.inputs import InputChange, Neftune
from toughen.engine.objectives import CrossEntropy
from toughen.errors import InputError
from toughen.machine.sharding import INSTEAD, WHY

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe

TRAINER_RULES: tuple[Rule, ...] = (
    Rule(
        "compute_loss_func and ToughTrainer",
        "its loss is the recipe's objective",
        "leave it out, or use transformers' Trainer",
        lambda s: s.loss_function is not None,
    ),
    Rule(
        "compute_loss of a subclass and ToughTrainer",
        "its loss is the recipe's objective, so the method would only be used for scoring",
        "leave the method out, or derive from transformers' Trainer",
        lambda s: s.overrides_loss,
    ),
    Rule("FSDP or DeepSpeed and ToughTrainer", WHY, INSTEAD, lambda s: s.sharded),
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


@dataclass(frozen=True)
class TrainerSetup:
    """What a Trainer adds: its arguments, and the whole recipe."""

    recipe: Recipe | None
    sharded: bool = False
    """Whether the weights are divided among processes."""
    loss_function: Any = None
    overrides_loss: bool = False
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


def check_trainer(setup: TrainerSetup) -> None:
    """Refuse a Trainer's arguments that the recipe cannot live with.

    Raises:
        InputError: naming the argument, the reason and what to use instead.
    """
    refuse(TRAINER_RULES, setup)


def smooth_labels(objective: CrossEntropy, smoothing: float) -> CrossEntropy:
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
