"""Examples sought before each epoch: other ones each time, with their labels; all else is as without them."""

import copy
import json
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import toughen
from tiny import reviews, save_tiny_model, write_splits
from toughen import InputError, load_recipe
from toughen.cost.plan_line import plan_lines
from toughen.data import Data, load_splits
from toughen.data.divide.overlap import text_hashes
from toughen.data.read.chunks import as_dataset
from toughen.data.words import Words
from toughen.huggingface.trainer import ToughTrainer
from toughen.training import fresh

TRAINING = {"epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "max_length": 32, "early_stopping": None}
FREE = 0.6
"""Share of the words that may be changed: no single word decides these texts."""
COUNTS = {"train": 48, "validation": 16, "test": 16}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), **COUNTS)


def train(model, data, output, *, resume=False, folds=None, training=None, **augment):
    """Train plainly; with settings of ``augment`` examples are sought."""
    given = {"data.augment": "attack", "augment": {"max_changed": FREE, **augment}} if augment else {}
    settings = {"training": {**TRAINING, **(training or {})}, **given}
    folder = dict.fromkeys(["folds"], folds)
    return toughen.train(
        data, model=model, recipe="plain", output=output, resume=resume, quiet=True, **folder, **settings
    )


@pytest.fixture(scope="module")
def run(model, data, tmp_path_factory):
    return train(
        model, data, tmp_path_factory.mktemp("runs") / "run", share=0.5, clean_epochs=2, training={"epochs": 5}
    )


@pytest.fixture(scope="module")
def splits(data):
    return load_splits(Data(source=str(data)), seed=42)


def found(run, epoch):
    return pq.read_table(run.path / fresh.FOLDER / f"epoch-{epoch}.parquet").to_pylist()


def weights(run):
    return load_file(run.path / "model" / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_every_epoch_after_the_clean_ones_has_examples_of_its_own(run):
    files = sorted(path.name for path in (run.path / fresh.FOLDER).iterdir())
    assert files == ["epoch-3.parquet", "epoch-4.parquet", "epoch-5.parquet"]
    texts = [{pair["adversarial"] for pair in found(run, epoch)} for epoch in (3, 4, 5)]
    assert all(texts)
    assert texts[0] != texts[1] != texts[2]
    rows = [{pair["train_row"] for pair in found(run, epoch)} for epoch in (3, 4, 5)]
    assert rows[0] != rows[1], "other texts are attacked"


def test_examples_have_the_label_of_their_original_and_keep_the_constraints(run, splits):
    known = dict(zip(splits.train["text"], splits.train["label"], strict=True))
    pairs = [pair for epoch in (3, 4, 5) for pair in found(run, epoch)]
    for pair in pairs:
        assert splits.label_names[known[pair["text"]]] == pair["label"]
        assert splits.train["text"][pair["train_row"]] == pair["text"]
        original, made = Words.of(pair["text"]), Words.of(pair["adversarial"])
        assert 1 <= len(original.changed(made)) <= max(1, int(FREE * len(original)))
        assert pair["queries"] <= 50
    scored = {*splits.validation["text"], *splits.test["text"]}
    assert not scored & {text for pair in pairs for text in (pair["text"], pair["adversarial"])}


def test_metrics_say_what_was_found(run):
    told = json.loads((run.path / "metrics.json").read_text())["augment"]
    assert told["attack"] == "deepwordbug"
    assert [epoch["epoch"] for epoch in told["epochs"]] == [3, 4, 5]
    for epoch in told["epochs"]:
        assert epoch["attacked"] == 24 >= epoch["answered_rightly"] >= epoch["fooled"] >= epoch["added"] > 0
        assert epoch["added"] == len(found(run, epoch["epoch"]))
    assert run.metrics["train"]["steps"] == 5 * 9, "48 texts and 24 places, 8 at a time"


def test_examples_are_learnt_from(run, model, data, tmp_path):
    plain = train(model, data, tmp_path / "plain")
    assert not same(weights(run), weights(train(model, data, tmp_path / "longer", training={"epochs": 5})))
    assert "augment" not in plain.metrics
    nothing = train(model, data, tmp_path / "nothing", share=0.0)
    assert same(weights(nothing), weights(plain)), "no text attacked is the plain run, bitwise"


@pytest.mark.parametrize("every", [1, 2])
def test_a_killed_run_goes_on_with_the_same_examples(model, data, tmp_path, monkeypatch, every):
    """Killed in the middle of an epoch, whose examples the weights of its checkpoint would not find again."""
    settings = {"share": 0.5, "every": every, "training": {"accumulation": 2, "save_steps": 2, "epochs": 4}}
    whole = train(model, data, tmp_path / "whole", **settings)
    step, calls = ToughTrainer.training_step, []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 26:  # micro-batches: 9 an epoch
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ToughTrainer, "training_step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(model, data, tmp_path / "killed", **settings)
    sought = []
    seek = fresh.Fresh._seek

    def noted(self, epoch, *args, **kwargs):
        sought.append(epoch)
        seek(self, epoch, *args, **kwargs)

    monkeypatch.setattr(fresh.Fresh, "_seek", noted)
    killed = train(model, data, tmp_path / "killed", resume=True, **settings)
    assert sought == [3], "only what had not been sought"
    assert same(weights(killed), weights(whole))
    for path in (whole.path / fresh.FOLDER).iterdir():
        assert pq.read_table(path).equals(pq.read_table(killed.path / fresh.FOLDER / path.name))


def test_an_epoch_that_has_lost_its_examples_is_not_continued(model, data, tmp_path, monkeypatch):
    settings = {"share": 0.5, "training": {"save_steps": 3, "epochs": 3}}
    step, calls = ToughTrainer.training_step, []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ToughTrainer, "training_step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(model, data, tmp_path / "run", **settings)
    (tmp_path / "run" / fresh.FOLDER / "epoch-2.parquet").unlink()
    with pytest.raises(InputError, match="is gone, and its epoch has begun"):
        train(model, data, tmp_path / "run", resume=True, **settings)


def test_folds_seek_each_among_their_own_rows(model, data, tmp_path):
    run = train(model, data, tmp_path / "folds", share=0.5, folds=2, training={"epochs": 2})
    for member in run.members:
        assert member.metrics["augment"]["epochs"][0]["attacked"] > 0


# what stays as it was


@pytest.fixture
def seeker(model, run, splits, tmp_path):
    """A `Fresh` with a model that has learnt something, in a state that is easy to disturb."""
    from rich.console import Console

    from toughen.huggingface.pretrained import prepare
    from toughen.training import build_trainer

    changes = {"data.augment": "attack", "augment": {"share": 0.5, "max_changed": FREE}}
    recipe = load_recipe("plain", {"model": str(model), "training": TRAINING, **changes})
    prepared = prepare(recipe, splits.label_names, splits.task, pairs=False)
    console = Console(quiet=True)
    tokens = build_trainer.tokenise_splits(recipe, splits, prepared, console)
    trainer = build_trainer.make_trainer(recipe, splits, tokens, prepared, tmp_path / "run", console)
    (tmp_path / "run").mkdir(exist_ok=True)
    trainer.model.load_state_dict(weights(run))
    return trainer


def test_seeking_leaves_model_and_generators_alone(seeker):
    model = seeker.model.train()
    model.classifier.eval()
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    seeker.epoch_hook.before_epoch(1, model, begun=False)
    assert (seeker.epoch_hook.folder / "epoch-2.parquet").is_file()
    assert modes == [module.training for module in model.modules()]
    assert same(before, model.state_dict())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), str(np.random.get_state()))
    loss = model(input_ids=torch.ones(1, 4, dtype=torch.int64)).logits.sum()
    loss.backward()  # nothing that was made without gradients is left in the model


def test_buckets_know_the_lengths_of_what_was_found(seeker):
    seeker.epoch_hook.before_epoch(1, seeker.model, begun=False)
    rows = seeker.epoch_hook.rows
    lengths = [len(ids) for ids in rows.labelled["input_ids"]]
    assert seeker.epoch_hook.batches.lengths.tolist() == lengths
    assert len(lengths) == 72
    pairs = pq.read_table(seeker.epoch_hook.folder / "epoch-2.parquet").to_pylist()
    batch = rows.__getitems__([48 + pair["place"] for pair in pairs])
    names = seeker.epoch_hook.splits.label_names
    assert [names[row["labels"]] for row in batch] == [pair["label"] for pair in pairs]
    tokenizer = seeker.processing_class
    assert batch[0]["input_ids"] == tokenizer(pairs[0]["adversarial"])["input_ids"]


def test_an_example_that_another_split_has_is_left_out(seeker, splits, monkeypatch):
    seeker.epoch_hook.before_epoch(1, seeker.model, begun=False)
    pairs = pq.read_table(seeker.epoch_hook.folder / "epoch-2.parquet").to_pylist()
    made = as_dataset(pa.table({"text": [pairs[0]["adversarial"]]}))
    seeker.epoch_hook._taken = np.append(seeker.epoch_hook._taken, text_hashes(made))
    (seeker.epoch_hook.folder / "epoch-2.parquet").unlink()
    seeker.epoch_hook.before_epoch(1, seeker.model, begun=False)
    again = pq.read_table(seeker.epoch_hook.folder / "epoch-2.parquet").to_pylist()
    assert [pair["adversarial"] for pair in again] == [pair["adversarial"] for pair in pairs[1:]]


def test_an_empty_place_is_left_out_unless_it_is_all_there_is():
    table = {"input_ids": [[1, 2], [3], [4, 5, 6]], "attention_mask": [[1, 1], [1], [1, 1, 1]], "labels": [0, 1, 0]}
    rows = fresh.FreshRows(as_dataset(pa.table(table)), None, np.array([1, 2]))
    assert len(rows) == 5
    rows.fill(np.array([0, 2]), {1: {"input_ids": [9], "attention_mask": [1]}})
    assert [row["input_ids"] for row in rows.__getitems__([0, 3, 4])] == [[1, 2], [9]]
    (alone,) = rows.__getitems__([3])
    assert (alone["input_ids"], alone["weight"]) == ([1, 2], 0.0)
    (example,) = rows.__getitems__([4])
    assert (example["labels"], example["weight"]) == (0, 1.0)


# what is refused, and what is said beforehand


def settings(**changes):
    return load_recipe("plain", {"data.augment": "attack", "training": TRAINING, **changes})


@pytest.mark.parametrize(
    ("changes", "task", "says"),
    [
        ({}, "regression", "--augment attack is for single texts with one class each, but the data are regression"),
        ({}, "tokens", "but the data are tokens"),
        ({}, "multi-label", "but the data are multi-label"),
        ({"training.truncation": "windows"}, None, "does not work with training.truncation: windows"),
        ({"augment.clean_epochs": 4}, None, "nothing would be sought"),
        ({"data.augment": "none", "augment.share": 0.3}, None, "add --augment attack"),
        ({"augment.attack": "textfooler"}, None, "among the model's own neighbours are opposites"),
        ({"augment.neighbours": "list.json"}, None, "for attacks that exchange words, not for deepwordbug"),
    ],
)
def test_refusals(splits, changes, task, says):
    with pytest.raises(InputError, match=says):
        fresh.check(settings(**changes), replace(splits, task=task or splits.task), 9, 36)
    fresh.check(settings(), splits, 9, 36)


def test_pairs_of_texts_are_refused(splits):
    frame = pd.DataFrame(reviews(24, seed=0), columns=["text", "label"]).assign(second="and")
    pairs = load_splits(Data(text_pair="second"), seed=0, data=frame)
    with pytest.raises(InputError, match="the data are pairs of texts"):
        fresh.check(settings(), pairs, 9, 36)


def test_several_processes_are_refused_by_name(splits, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="works in one process, and this training has several"):
        fresh.check(settings(), splits, 9, 36)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"augment.share": 1.5}, "augment.share"),
        ({"augment.queries": 0}, "augment.queries"),
        ({"augment.attack": "hotflip"}, "augment.attack"),
    ],
)
def test_settings_out_of_range_are_refused(changes, says):
    with pytest.raises(InputError, match=says):
        settings(**changes)


def test_the_plan_says_what_seeking_costs():
    recipe = settings(**{"augment.queries": 20, "augment.every": 2})
    assert len(plan_lines(recipe, 36)) == 1
    assert plan_lines(recipe, 36, 24)[1] == (
        "plan: from epoch 2 on, before every 2 epochs, deepwordbug attacks 24 training texts with at most 20 queries "
        "each: up to 480 texts forward"
    )
