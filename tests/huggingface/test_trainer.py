"""ToughTrainer is a Trainer that obeys its arguments, reduces rightly and keeps one set of scored weights."""

import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback

from engine.models import distance, tiny
from huggingface.trials import arguments, checkpoints, collate, losses, make_rows, run, same, trainer, weights
from toughen import Fgm, Pgd
from toughen.engine.objectives import CrossEntropy
from toughen.errors import InputError
from toughen.huggingface.trainer import ToughTrainer
from toughen.recipe.training import Training

# transformers 5.23 has new names for what 5.20 calls gradient_checkpointing.
old_names = pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")


class Recorder(TrainerCallback):
    """Keeps the gradients of every optimiser step."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients.append({name: p.grad.detach().clone() for name, p in model.named_parameters()})


def generators():
    return {"torch": torch.get_rng_state(), "numpy": np.random.get_state()[1].tolist(), "python": random.getstate()}


# ---- the Trainer, nothing on


@pytest.mark.parametrize("recipe", [None, {}], ids=["no recipe", "an empty recipe"])
def test_nothing_on_is_bitwise_trainer(tmp_path, recipe):
    """Dropout on, evaluation each epoch: weights, optimiser, generators bitwise; logged and validation loss to 1e-6."""
    ends = {}
    for cls in (Trainer, ToughTrainer):
        made = trainer(
            tmp_path / cls.__name__,
            recipe if cls is ToughTrainer else None,
            cls=cls,
            model=tiny("bert", dtype=torch.float32, dropout=0.1),
            eval_strategy="epoch",
        )
        made.train()
        optimizer = made.optimizer.optimizer.state_dict()
        ends[cls] = (weights(made.model), optimizer, generators()), losses(made), made.evaluate()["eval_loss"]
    (theirs, their_losses, their_score), (ours, our_losses, our_score) = ends[Trainer], ends[ToughTrainer]
    assert same(ours, theirs)
    assert len(our_losses) == 8
    assert our_losses == pytest.approx(their_losses, abs=1e-6)
    assert our_score == pytest.approx(their_score, abs=1e-6)
    assert distance(ours[0], weights(tiny("bert", dtype=torch.float32))) > 1e-4, "canary: it did train"


def test_label_smoothing_from_the_arguments_is_trainers(tmp_path):
    """``label_smoothing_factor`` trains to the same weights as in Trainer (to 1e-6), and differs from none."""
    ends = [
        weights(run(tmp_path / cls.__name__, cls=cls, model=tiny("bert"), label_smoothing_factor=0.2).model)
        for cls in (Trainer, ToughTrainer)
    ]
    assert distance(*ends) < 1e-6
    assert distance(ends[0], weights(run(tmp_path / "none", model=tiny("bert")).model)) > 1e-4


@pytest.mark.parametrize(
    "recipe",
    [{}, {"adversary": Pgd(radius=0.4, step_size=0.3)}, {"objective": CrossEntropy(class_weights=(0.5, 2.0))}],
    ids=["plain", "pgd", "class weights"],
)
def test_accumulation_with_an_uneven_last_window_equals_big_batches(tmp_path, recipe):
    """13 rows: windows of 2+2+2+2 and 2+2+1 rows give the gradients of batches of 8 and 5, every step."""
    found = []
    for name, size, accumulation in (("micro", 2, 4), ("whole", 8, 1)):
        recorder = Recorder()
        run(
            tmp_path / name,
            recipe,
            model=tiny("bert"),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_grad_norm=0.0,
            keep={"callbacks": [recorder]},
        )
        found.append(recorder.gradients)
    assert len(found[0]) == len(found[1]) == 4
    assert max(map(distance, *found)) < 1e-9


def test_the_logged_loss_of_a_window_is_its_mean(tmp_path):
    """Micro-batched or not, the log shows the mean loss over the window's rows, and terms that add up to it."""
    recipe = {"adversary": Fgm(radius=0.4)}
    micro = run(
        tmp_path / "a", recipe, model=tiny("bert"), per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    whole = run(tmp_path / "b", recipe, model=tiny("bert"), per_device_train_batch_size=8)
    assert losses(micro) == pytest.approx(losses(whole), abs=1e-6)
    lines = [line for line in micro.state.log_history if "loss" in line]
    assert [line["loss/task"] + line["loss/adversarial"] for line in lines] == pytest.approx(
        [line["loss"] for line in lines], abs=1e-5
    )
    assert all(line["perturbation_norm"] > 0 for line in lines)


# ---- refusals


def test_label_smoothing_set_twice_is_refused(tmp_path):
    recipe = {"objective": CrossEntropy(label_smoothing=0.1)}
    with pytest.raises(InputError, match=r"label smoothing is set twice.*0\.2.*0\.1"):
        trainer(tmp_path, recipe, label_smoothing_factor=0.2)


def test_compute_loss_func_is_refused(tmp_path):
    with pytest.raises(InputError, match="compute_loss_func and ToughTrainer cannot be combined"):
        trainer(tmp_path, keep={"compute_loss_func": lambda *_: None})


def test_an_unknown_recipe_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(InputError, match=r"tough-stick.*tough-stack"):
        trainer(tmp_path, "tough-stick")


def test_class_weights_of_another_number_of_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"class_weights must have one weight per class \(2\)"):
        trainer(tmp_path, {"objective": CrossEntropy(class_weights=(1.0, 2.0, 3.0))})


def test_balanced_class_weights_need_every_class(tmp_path):
    rows = [row | {"labels": 0} for row in make_rows(5)]
    with pytest.raises(InputError, match=r"needs rows of every class.*5, 0"):
        trainer(tmp_path, {"objective": CrossEntropy(class_weights="balanced")}, rows=rows)


def test_balanced_class_weights_are_counted_on_any_dataset(tmp_path):
    """rows / (classes x count), from a list of rows and from a datasets.Dataset."""
    import datasets

    rows = make_rows(13)
    ones = sum(row["labels"] for row in rows)
    expected = (13 / (2 * (13 - ones)), 13 / (2 * ones))
    for data in (rows, datasets.Dataset.from_list(rows)):
        made = trainer(tmp_path, {"objective": CrossEntropy(class_weights="balanced")}, rows=data)
        assert made.engine.objective.class_weights == pytest.approx(expected)


def test_an_adversary_that_never_acts_is_an_error(tmp_path):
    """8 steps, start_step 8: refused at the end with the numbers; with 7 it acts once."""
    with pytest.raises(InputError, match=r"start_step=8 is not before the end of training \(8 steps\)"):
        run(tmp_path, {"adversary": Fgm(start_step=8)})
    assert run(tmp_path, {"adversary": Fgm(start_step=7)}).engine.ascents == 1


# ---- the ways in


def test_a_shipped_recipe_by_name(tmp_path):
    """``recipe="tough-stack"`` brings its objective, adversary and average."""
    made = trainer(tmp_path, "tough-stack", model=tiny("bert", dtype=torch.float32, dropout=0.1))
    made.train()
    assert made.engine.objective.name == "rdrop"
    assert made.engine.ascents == 8


def test_rows_may_call_their_label_label(tmp_path):
    """A datasets.Dataset with a ``label`` column and unused ones trains as one with ``labels``."""
    import datasets

    rows = make_rows(13)
    named = datasets.Dataset.from_list([row | {"label": row["labels"], "text": "x"} for row in rows])

    def collate_label(batch):
        return collate([{("labels" if k == "label" else k): v for k, v in row.items()} for row in batch])

    made = trainer(tmp_path, {"adversary": Fgm()}, rows=named.remove_columns("labels"))
    made.data_collator = collate_label
    made.train()
    assert distance(weights(made.model), weights(run(tmp_path, {"adversary": Fgm()}).model)) == 0


def test_model_init_gives_every_run_a_fresh_engine(tmp_path):
    """Two ``train()`` calls with ``model_init`` are equal: nothing of the first run stays in the second."""
    made = trainer(tmp_path, {"adversary": Fgm(start_step=2)}, model=tiny("bert", dtype=torch.float32))
    made = ToughTrainer(
        args=arguments(tmp_path),
        recipe=made.recipe,
        train_dataset=make_rows(13),
        data_collator=collate,
        model_init=lambda: tiny("bert", dtype=torch.float32),
    )
    ends = []
    for _ in range(2):
        made.train()
        ends.append((weights(made.model), made.engine.ascents))
    assert ends[0][1] == ends[1][1] == 6
    assert same(*ends)


def test_rows_without_label_are_counted_in_trainers_own_batches(tmp_path):
    """With labels of -100 among the rows the task is a mean over the labelled ones, as when they are left out."""
    rows = make_rows(8)
    mixed = [row | {"labels": -100} for row in make_rows(8, seed=9)]
    gradients = []
    for data in (rows, [*rows, *mixed]):
        recorder = Recorder()
        run(
            tmp_path,
            model=tiny("bert"),
            rows=data,
            per_device_train_batch_size=len(data),
            num_train_epochs=1,
            max_grad_norm=0.0,
            keep={"callbacks": [recorder]},
        )
        gradients.append(recorder.gradients[0])
    assert distance(*gradients) < 1e-9


def test_layer_decay_of_the_recipe_reaches_the_optimiser(tmp_path):
    """Head at the full rate, embeddings at decay^(layers + 1); each trainable parameter in exactly one group."""
    made = trainer(tmp_path, {"training": Training(layer_decay=0.5)}, learning_rate=1e-3)
    groups = made.create_optimizer().param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rates[id(made.model.classifier.weight)] == pytest.approx(1e-3)
    assert rates[id(made.model.get_input_embeddings().weight)] == pytest.approx(1e-3 * 0.5**3)
    assert sum(len(group["params"]) for group in groups) == len(list(made.model.parameters())) == len(rates)


def test_start_step_keeps_the_steps_before_bitwise_plain(tmp_path):
    """Weights after steps 1 and 2 are plain training's, after step 3 they are not (dropout on)."""
    ends = []
    for name, recipe in (("plain", {}), ("late", {"adversary": Fgm(radius=0.4, start_step=2)})):
        run(
            tmp_path / name,
            recipe,
            model=tiny("bert", dtype=torch.float32, dropout=0.1),
            save_strategy="steps",
            save_steps=1,
        )
        ends.append({s: load_file(p / "model.safetensors") for s, p in checkpoints(tmp_path / name).items()})
    plain, late = ends
    assert distance(plain[1], late[1]) == distance(plain[2], late[2]) == 0
    assert distance(plain[3], late[3]) > 1e-5


def test_compute_loss_func_is_refused_in_its_place_too(tmp_path):
    """Trainer's eighth positional argument is refused like the keyword."""
    with pytest.raises(InputError, match="compute_loss_func and ToughTrainer cannot be combined"):
        ToughTrainer(tiny("bert"), arguments(tmp_path), collate, make_rows(4), None, None, None, lambda *_: None)


def test_a_second_run_of_a_trainer_counts_from_0(tmp_path):
    """Trained again, it lets the adversary wait for ``start_step`` again."""
    made = run(tmp_path, {"adversary": Fgm(start_step=5)})
    made.train()
    assert (made.engine.updates, made.engine.ascents) == (8, 3)


@old_names
def test_gradient_checkpointing_changes_nothing(tmp_path):
    """Without reentrancy the weights are bitwise those without checkpointing."""
    recipe = {"adversary": Pgd(radius=0.4, step_size=0.3)}
    ends = [
        weights(run(tmp_path, recipe, gradient_checkpointing=on, gradient_checkpointing_kwargs=how).model)
        for on, how in ((False, None), (True, {"use_reentrant": False}))
    ]
    assert distance(*ends) == 0


@old_names
def test_checkpointing_that_the_adversary_cannot_live_with_is_refused(tmp_path):
    """The Trainer enables it after the engine was made: refused when training starts; without adversary it is not."""
    reentrant = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}
    with pytest.raises(InputError, match="reentrant gradient checkpointing"):
        run(tmp_path, {"adversary": Fgm()}, **reentrant)
    with pytest.raises(InputError, match=r"adversary.site .layer k. and gradient checkpointing cannot be combined"):
        run(tmp_path, {"adversary": Fgm(site="layer 1")}, gradient_checkpointing=True)
    run(tmp_path, {}, **reentrant)
