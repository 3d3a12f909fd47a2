"""What does not go together is refused in a sentence that says why and what to use; every rule is broken once here."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.models import checkpointing, tiny
from toughen import Awp, CrossEntropy, Fgm, GradientPenalty, InputError, Pgd, Rat, RDrop, Recipe, Smart, load_recipe
from toughen.engine.averages import CheckpointSoup, Swa
from toughen.engine.compose import RULES, Setup
from toughen.engine.engine import Engine
from toughen.engine.inputs import Mixup, Neftune
from toughen.huggingface.composition import TRAINER_RULES, TrainerSetup, check_trainer, smoothed_once


def setup(*, model=None, objective=None, adversary=None, inputs=None, task="single-label", **facts):
    """Return a setup that breaks nothing but by what is given."""
    return Setup(
        model or tiny("bert"), objective or CrossEntropy(), adversary, inputs, task, **{"knows_special": True} | facts
    )


def recomputing(use_reentrant=False):
    model = tiny("bert")
    checkpointing(model, use_reentrant=use_reentrant)
    return model


def attending(kind):
    model = tiny("bert")
    model.config._attn_implementation = kind
    return model


BROKEN = {
    "adversary rat and objective rdrop": lambda: setup(adversary=Rat(), objective=RDrop()),
    "inputs mixup and task tokens": lambda: setup(inputs=Mixup(), task="tokens"),
    "inputs mixup and adversary.scope vocabulary": lambda: setup(inputs=Mixup(), adversary=Pgd(scope="vocabulary")),
    "inputs mixup and a decoder": lambda: setup(inputs=Mixup(), model=tiny("gpt2")),
    "objective.label_smoothing and task regression": lambda: setup(
        task="regression", objective=CrossEntropy(label_smoothing=0.1)
    ),
    "objective.class_weights and task regression": lambda: setup(
        task="regression", objective=CrossEntropy(class_weights="balanced")
    ),
    "objective.focal_gamma and task regression": lambda: setup(
        task="regression", objective=CrossEntropy(focal_gamma=2.0)
    ),
    "adversary gradient-penalty and this attention": lambda: setup(
        adversary=GradientPenalty(), model=attending("flash_attention_2")
    ),
    "adversary gradient-penalty and gradient checkpointing": lambda: setup(
        adversary=GradientPenalty(), model=recomputing()
    ),
    "adversary gradient-penalty and training.memory low": lambda: setup(adversary=GradientPenalty(), low_memory=True),
    "adversary gradient-penalty and training.compile": lambda: setup(adversary=GradientPenalty(), compiled=True),
    "adversary.special_tokens false and an unknown tokenizer": lambda: setup(
        adversary=Fgm(special_tokens=False), knows_special=False
    ),
    "adversary.site 'layer k' and gradient checkpointing": lambda: setup(
        adversary=Fgm(site="layer 1"), model=recomputing()
    ),
    "an adversary or inputs and reentrant gradient checkpointing": lambda: setup(
        adversary=Fgm(), model=recomputing(use_reentrant=True)
    ),
    "adversary.only and this model": lambda: setup(adversary=Awp(only="nowhere")),
}
FINE = {
    "rat": lambda: setup(adversary=Rat()),
    "rdrop+pgd": lambda: setup(adversary=Pgd(), objective=RDrop()),
    "mixup+pgd": lambda: setup(inputs=Mixup(), adversary=Pgd()),
    "neftune+gpt2": lambda: setup(inputs=Neftune(), model=tiny("gpt2"), task="tokens"),
    "regression": lambda: setup(task="regression", adversary=Fgm()),
    "penalty": lambda: setup(adversary=GradientPenalty()),
    "checkpointing": lambda: setup(adversary=Fgm(), model=recomputing()),
    "awp": lambda: setup(adversary=Awp(only="embeddings")),
}
TRAINERS = {
    "compute_loss_func and ToughTrainer": TrainerSetup(None, loss_function=lambda *_: 0.0),
    "compute_loss of a subclass and ToughTrainer": TrainerSetup(None, overrides_loss=True),
    "adversary {adversary} and DeepSpeed": TrainerSetup(load_recipe("freelb"), deepspeed=True),
    "average {average} and DeepSpeed": TrainerSetup(load_recipe("ema"), deepspeed=True),
    "inputs neftune and TrainingArguments.neftune_noise_alpha": TrainerSetup(
        Recipe(inputs=Neftune()), neftune_alpha=5.0
    ),
    "adversary smart with bregman and any average but ema": TrainerSetup(Recipe(adversary=Smart(), average=Swa())),
    "average checkpoint-soup and a Trainer that scores nothing": TrainerSetup(
        Recipe(average=CheckpointSoup()), scores=False
    ),
}


def test_every_rule_is_broken_here():
    """Canary: a rule without a case would be a rule that nobody has seen refuse."""
    assert [rule.pair for rule in RULES] == list(BROKEN)
    assert [rule.pair for rule in TRAINER_RULES] == list(TRAINERS)


@pytest.mark.parametrize("pair", BROKEN)
def test_a_broken_rule_is_the_only_one_and_says_what_to_use(pair):
    """The setup breaks this rule and no other, and building an engine of it is refused in its sentence."""
    made = BROKEN[pair]()
    assert [rule.pair for rule in RULES if rule.broken(made)] == [pair]
    (rule,) = (rule for rule in RULES if rule.pair == pair)
    with pytest.raises(InputError) as refused:
        Engine(
            made.model,
            made.objective,
            made.adversary,
            inputs=made.inputs,
            task=made.task,
            special_ids=() if made.knows_special else None,
            memory="low" if made.low_memory else "normal",
            compiled=made.compiled,
        )
    assert str(refused.value) == rule.sentence(made)
    assert rule.why in str(refused.value)
    assert str(refused.value).endswith(f"{rule.instead}.")


@pytest.mark.parametrize("name", FINE)
def test_what_goes_together_breaks_no_rule(name):
    made = FINE[name]()
    assert [rule.pair for rule in RULES if rule.broken(made)] == []


@pytest.mark.parametrize("pair", TRAINERS)
def test_a_trainers_broken_rule_is_the_only_one(pair):
    made = TRAINERS[pair]
    assert [rule.pair for rule in TRAINER_RULES if rule.broken(made)] == [pair]
    with pytest.raises(InputError, match="cannot be combined"):
        check_trainer(made)


@pytest.mark.parametrize("name", ["fgm", "freelb", "vat"])
def test_deepspeed_and_an_adversary_are_refused_by_name(name):
    with pytest.raises(InputError, match=f"adversary {name} and DeepSpeed cannot be combined.*use DDP"):
        check_trainer(TrainerSetup(load_recipe(name), deepspeed=True))


@pytest.mark.parametrize("name", ["plain", "rdrop"])
def test_deepspeed_may_train_what_needs_one_backward(name):
    check_trainer(TrainerSetup(load_recipe(name), deepspeed=True))


def test_smart_without_bregman_needs_no_average():
    check_trainer(TrainerSetup(Recipe(adversary=Smart(bregman=0.0))))
    check_trainer(TrainerSetup(Recipe(adversary=Smart(), average=load_recipe("ema").average)))


def test_the_documentation_lists_every_rule():
    """docs/composition.md has a row with pair, reason and remedy of each rule, and no row more."""
    text = (Path(__file__).parents[2] / "docs" / "composition.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| pair")]
    expected = [f"| {rule.pair} | {rule.why} | {rule.instead} |" for rule in (*RULES, *TRAINER_RULES)]
    assert rows == [row.replace("{adversary}", "*name*").replace("{average}", "*name*") for row in expected]


def test_smoothing_comes_from_the_recipe_or_the_arguments_but_not_from_both():
    assert smoothed_once(CrossEntropy(label_smoothing=0.1), 0.0).label_smoothing == 0.1
    assert smoothed_once(CrossEntropy(), 0.2).label_smoothing == 0.2
    with pytest.raises(InputError, match="set twice"):
        smoothed_once(CrossEntropy(label_smoothing=0.1), 0.2)


def test_a_rule_about_labels_speaks_of_the_objective_alone():
    """Canary: the same objective is fine for a task with classes."""
    made = BROKEN["objective.focal_gamma and task regression"]()
    assert not any(rule.broken(replace(made, task="multi-label")) for rule in RULES)
