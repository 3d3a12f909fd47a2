"""Noise while training: other texts in each epoch, with their labels; steps, passes and the rest as without it."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import toughen
from tiny import save_tiny_model, write_splits
from toughen import InputError, load_recipe
from toughen.data.batches import Rows
from toughen.data.read.chunks import as_dataset
from toughen.huggingface.trainer import ToughTrainer
from toughen.training import noisy

TRAINING = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3, "max_length": 32, "early_stopping": None}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=48, validation=16, test=16)


def train(model, data, output, *, training=None, resume=False, **augment):
    given = {"data.augment": "noise", "augment": augment} if augment else {}
    settings = {"training": TRAINING | (training or {}), **given}
    return toughen.train(data, model=model, recipe="plain", output=output, quiet=True, resume=resume, **settings)


def recipe(**augment):
    return load_recipe("plain", {"data.augment": "noise", **{f"augment.{name}": v for name, v in augment.items()}})


def weights(run):
    return load_file(run.path / "model" / "model.safetensors")


def test_each_epoch_mistypes_other_texts_in_another_way():
    asked = recipe(share=0.25)
    draws = [noisy.draw_noisy_rows(asked, 200, epoch) for epoch in (0, 1)]
    assert [len(set(draw.tolist())) for draw in draws] == [50, 50]
    assert not np.array_equal(*draws)
    assert np.array_equal(draws[0], noisy.draw_noisy_rows(asked, 200, 0)), "a function of seed and epoch"
    rows = as_dataset_of(["the acting was wonderful and the ending surprising"] * 3)
    first, again, other = (noisy.noisy(rows, asked, epoch) for epoch in (0, 0, 1))
    assert first == again
    assert first != other
    assert rows["text"][0] not in {*first, *other}


@pytest.mark.parametrize("text", ["这部电影的演员非常出色，结局令人惊讶。", "an unexpectedly wonderful performance"])
def test_noise_speaks_the_language_of_the_text(text):
    found = {noisy.noisy(as_dataset_of([text]), recipe(severity=5), epoch)[0] for epoch in range(20)}
    assert len(found) > 5
    assert text not in found


def test_a_text_that_nothing_can_change_stays():
    assert noisy.noisy(as_dataset_of(["42"]), recipe(), 0) == ["42"]


def test_both_sides_of_a_pair_are_mistyped():
    rows = as_dataset_of(["wonderful performance"], text_pair=["surprising ending"])
    ((one, other),) = noisy.noisy(rows, recipe(severity=5), 0)
    assert one != "wonderful performance"
    assert other != "surprising ending"


def as_dataset_of(texts, **more):
    import pyarrow as pa

    return as_dataset(pa.table({"text": texts, **more}))


def test_rows_show_other_tokens_and_keep_label_weight_and_number():
    columns = {"input_ids": [[1, 2], [3], [4, 5]], "attention_mask": [[1, 1], [1], [1, 1]], "labels": [0, 1, 0]}
    other = {"input_ids": [[9, 9, 9]], "attention_mask": [[1, 1, 1]], "length": [3]}
    rows, texts = as_dataset(pa_table(columns)), as_dataset(pa_table({k: columns[k] for k in columns if k != "labels"}))
    shown, plain = noisy.NoisyRows(rows, texts), Rows(rows, texts)
    indices = [2, ~1, 0, 4]
    assert shown.__getitems__(indices) == plain.__getitems__(indices)
    shown.show({1: 0}, as_dataset(pa_table(other)))
    found, before = shown.__getitems__(indices), plain.__getitems__(indices)
    assert found[1] == before[1] | {"input_ids": [9, 9, 9], "attention_mask": [1, 1, 1]}
    assert [found[i] for i in (0, 2, 3)] == [before[i] for i in (0, 2, 3)]
    assert len(shown) == len(plain)


def pa_table(columns):
    import pyarrow as pa

    return pa.table(columns)


def test_it_is_learnt_from_and_costs_no_step(model, data, tmp_path):
    """Other weights than without noise, as many steps and passes; the same weights again."""
    plain = train(model, data, tmp_path / "plain")
    runs = [train(model, data, tmp_path / name, share=0.5, severity=3) for name in ("one", "two")]
    for name in ("steps", "passes_per_step", "units_per_step"):
        assert runs[0].metrics["train"][name] == plain.metrics["train"][name]
    one, two, without = (weights(run) for run in (*runs, plain))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], without[name]) for name in one)


def test_a_run_that_is_killed_ends_where_it_would_have_ended(model, data, tmp_path, monkeypatch):
    """In the middle of the second epoch, whose texts are drawn anew."""
    settings = {"share": 0.5, "training": {"save_steps": 2}}
    whole = train(model, data, tmp_path / "whole", **settings)
    step, calls = ToughTrainer.training_step, []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 10:  # 6 steps an epoch
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ToughTrainer, "training_step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(model, data, tmp_path / "killed", **settings)
    one, other = weights(whole), weights(train(model, data, tmp_path / "killed", resume=True, **settings))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_none_of_the_texts_is_plain_training(model, data, tmp_path):
    """Share 0 is bitwise training without it."""
    one, other = (weights(train(model, data, tmp_path / n, **a)) for n, a in (("a", {"share": 0.0}), ("b", {})))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"augment.queries": 5}, "augment.share and augment.severity"),
        ({"training.truncation": "windows"}, "windows"),
        ({"augment.severity": 6}, "augment.severity"),
        ({"data.augment": "attack", "augment.severity": 2}, "augment.severity is for --augment noise"),
    ],
)
def test_what_does_not_go_together_is_refused(model, data, tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        toughen.train(
            data,
            model=model,
            recipe="plain",
            output=tmp_path / "run",
            quiet=True,
            **{"data.augment": "noise"} | settings,
        )
    assert not (tmp_path / "run").exists()


def test_the_draw_is_of_the_rows_that_train():
    """Every number is one of a training row."""
    assert set(noisy.draw_noisy_rows(recipe(share=1.0), 7, 3).tolist()) == set(range(7))
