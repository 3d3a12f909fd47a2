"""What does not go together is refused in a sentence that says why and what to use; every rule is broken once here."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from engine.models import checkpointing, tiny
from huggingface.trials import arguments, trainer
from tiny import write_splits
from toughen import Awp, CrossEntropy, Fgm, GradientPenalty, InputError, Pgd, Rat, RDrop, Recipe, Smart, load_recipe
from toughen.cli import main
from toughen.engine.averages import CheckpointSoup, Swa
from toughen.engine.compose import RULES, Setup
from toughen.engine.engine import Engine
from toughen.engine.inputs import Mixup, Neftune
from toughen.huggingface.composition import TRAINER_RULES, TrainerSetup, check_trainer, smooth_labels
from toughen.huggingface.trainer import ToughTrainer


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
    "FSDP or DeepSpeed and ToughTrainer": TrainerSetup(None, sharded=True),
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


@pytest.fixture
def sharded(tmp_path):
    """A model that FSDP has sharded, in a group of one process."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield fully_shard(tiny("bert"), mesh=init_device_mesh("cpu", (1,)))
    finally:
        torch.distributed.destroy_process_group()


def test_a_sharded_model_is_refused_by_engine_and_trainer(sharded, tmp_path):
    with pytest.raises(InputError, match=r"FSDP or DeepSpeed and Engine cannot be combined.*use DDP"):
        Engine(sharded)
    with pytest.raises(InputError, match=r"FSDP or DeepSpeed and ToughTrainer cannot be combined.*use DDP"):
        ToughTrainer(sharded, arguments(tmp_path))


def test_arguments_that_shard_are_refused_before_the_trainer_is_made(tmp_path):
    with pytest.raises(InputError, match="FSDP or DeepSpeed and ToughTrainer"):
        trainer(tmp_path, fsdp=True)
    args = arguments(tmp_path)
    args.deepspeed = {"zero_optimization": {"stage": 2}}  # set later: transformers takes it only where DeepSpeed is
    with pytest.raises(InputError, match="FSDP or DeepSpeed and ToughTrainer"):
        ToughTrainer(tiny("bert"), args)


@pytest.mark.parametrize("flag", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_a_launcher_that_shards_is_refused_before_anything_is_written(flag, monkeypatch, tmp_path, pretrained, capsys):
    """What ``accelerate launch --use_fsdp`` and ``--use_deepspeed`` set; none of them trains plainly instead."""
    data = write_splits(tmp_path, train=16, validation=8)
    monkeypatch.setenv(flag, "true")
    with pytest.raises(InputError, match="FSDP or DeepSpeed and ToughTrainer"):
        ToughTrainer(tiny("bert"), args=None)
    command = ["train", "plain", "--model", str(pretrained), "--data", str(data), "--output", str(tmp_path / "run")]
    assert main(command) == 2
    assert "FSDP or DeepSpeed and ToughTrainer" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


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
    assert smooth_labels(CrossEntropy(label_smoothing=0.1), 0.0).label_smoothing == 0.1
    assert smooth_labels(CrossEntropy(), 0.2).label_smoothing == 0.2
    with pytest.raises(InputError, match="set twice"):
        smooth_labels(CrossEntropy(label_smoothing=0.1), 0.2)


def test_a_rule_about_labels_speaks_of_the_objective_alone():
    """Canary: the same objective is fine for a task with classes."""
    made = BROKEN["objective.focal_gamma and task regression"]()
    assert not any(rule.broken(replace(made, task="multi-label")) for rule in RULES)
