"""The probe settles what the recipe leaves open, once, and says what is to be beaten."""

import json

import numpy as np
import pytest

from tiny import reviews, save_tiny_model
from toughen.data import load_splits
from toughen.data.config import Data
from toughen.model.learning_rate import HIGHEST
from toughen.recipe.recipe import load_recipe
from toughen.run import train
from toughen.training import probe as room
from toughen.training.baselines import Fitted
from toughen.training.probe import better, probe

SHORT = {"training.max_steps": 2, "training.batch_size": 4, "training.max_length": 32}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


def splits():
    parts = {name: reviews(count, seed) for seed, (name, count) in enumerate(SIZES.items())}
    return load_splits(Data(), seed=0, data=parts)


SIZES = {"train": 40, "validation": 12, "test": 10}


def fitted(*losses):
    return Fitted("single-label", 2, [], None, np.asarray(losses, float), 1.0)


def probed(model, changes=None, data=None):
    said = []
    recipe, account = probe(load_recipe("plain", {"model": model, **(changes or {})}), data or splits(), said.append)
    return recipe, account, said


def test_another_pooling_is_taken_only_if_it_is_better_by_more_than_its_standard_error():
    own = fitted(1.0, 1.0, 1.0, 1.0)
    sure, unsure = fitted(0.5, 0.6, 0.5, 0.6), fitted(0.0, 0.0, 1.9, 1.9)
    assert better({"model": own, "mean": sure}) == "mean"
    assert better({"model": own, "mean": unsure}) == "model"
    assert unsure.losses.mean() < own.losses.mean()
    assert better({"model": own, "mean": sure, "cls": fitted(0.4, 0.4, 0.4, 0.4)}) == "cls"
    assert better({"model": own, "mean": fitted(1.5, 1.5, 1.4, 1.5)}) == "model"
    assert better({"model": fitted(), "mean": fitted()}) == "model"
    assert better({}) is None


def test_it_settles_everything_and_scores_every_simple_model_on_both_splits(model):
    recipe, account, said = probed(model)
    assert recipe.head.pooling in ("model", "mean", "cls")
    assert recipe.training.learning_rate == HIGHEST
    assert account["probe"]["rows"] == SIZES
    assert account["probe"]["losses"].keys() == {"model", "mean", "cls"}
    for split, found in account["baselines"].items():
        assert found.keys() == {"majority", "words", "frozen"}
        assert all(metrics["n"] == SIZES[split] for metrics in found.values())
    # Opinion words alone decide, and a linear model of words finds them.
    assert account["baselines"]["test"]["words"]["accuracy"] > account["baselines"]["test"]["majority"]["accuracy"]
    assert any(line.startswith("plan: the probe passes 40 train + 12 validation + 10 test") for line in said)
    assert any(line.startswith("to beat: validation accuracy: ") for line in said)
    assert not any("test accuracy" in line for line in said)


def test_it_finds_the_same_twice_and_the_test_rows_decide_nothing(model):
    data = splits()
    first, second = (probed(model, data=data)[1] for _ in range(2))
    assert first.pop("probe")["losses"] == second.pop("probe")["losses"]
    assert first == second
    shuffled = data.test.remove_columns("label").add_column("label", list(data.test["label"])[::-1])
    from dataclasses import replace

    other = probed(model, data=replace(data, test=shuffled))
    assert other[0] == probed(model, data=data)[0]


def test_what_the_recipe_says_stays(model):
    recipe, account, said = probed(model, {"head.pooling": "attention", "training.learning_rate": 1e-3})
    assert (recipe.head.pooling, recipe.training.learning_rate) == ("attention", 1e-3)
    assert account["probe"]["because"] == "recipe"
    assert account["baselines"]["test"]["frozen"]["n"] == SIZES["test"]
    assert not any(line.startswith(("head.pooling", "training.learning_rate")) for line in said)


def test_what_the_models_files_say_is_not_measured(model, monkeypatch):
    monkeypatch.setattr("toughen.huggingface.pretrained.stated_pooling", lambda *_, **__: "cls")
    recipe, account, said = probed(model)
    assert recipe.head.pooling == "cls"
    assert account["probe"]["because"] == "files"
    assert account["probe"]["losses"].keys() == {"model"}  # what enters the last layer, behind that pooling
    assert "head.pooling: cls (as the model's files say)" in said


def test_off_it_passes_nothing_through_the_model(model, monkeypatch):
    monkeypatch.setattr(room, "load_frozen", lambda *_, **__: pytest.fail("the model was loaded"))
    recipe, account, said = probed(model, {"probe": False})
    assert (recipe.head.pooling, account) == ("model", {})
    assert "head.pooling: model (the model's own head)" in said


PAIRS = [
    (f"{a} film", f"{b} book", "same" if a == b else "other") for a in ("good", "bad") for b in ("good", "bad")
] * 6
MANY = [{"text": text, "good": int("good" in text), "fine": int("fine" in text)} for text, _ in reviews(40, 0)]
NUMBERS = [{"text": text, "stars": float(len(text))} for text, _ in reviews(40, 0)]


@pytest.mark.parametrize(
    ("data", "config", "metric"),
    [
        (PAIRS, Data(drop_shared=False), "accuracy"),
        (MANY, Data(label="good,fine", task="multi-label"), "f1"),
        (NUMBERS, Data(task="regression"), "mae"),
    ],
    ids=["pairs", "multi-label", "regression"],
)
def test_every_task_has_its_simple_models(model, data, config, metric):
    found = load_splits(config, seed=0, data=data)
    _, account, _ = probed(model, data=found)
    assert {kind: values["n"] for kind, values in account["baselines"]["validation"].items()} == dict.fromkeys(
        ("majority", "words", "frozen"), len(found.validation)
    )
    assert all(metric in values for values in account["baselines"]["validation"].values())


def test_tokens_have_a_vector_each_and_no_probe(model):
    data = [(["good", "film"], ["B-x", "O"]), (["a", "bad", "book"], ["O", "O", "B-x"])] * 6
    found = load_splits(Data(task="tokens", drop_shared=False), seed=0, data=data)
    recipe, account, _ = probed(model, data=found)
    assert (recipe.head.pooling, account) == ("model", {})


def test_a_run_writes_what_it_used_and_goes_on_with_it(model, tmp_path, monkeypatch):
    data = {name: reviews(count, seed) for seed, (name, count) in enumerate(SIZES.items())}
    run = train(data, model=model, recipe="plain", output=tmp_path / "run", quiet=True, **SHORT)
    assert run.recipe.training.learning_rate == HIGHEST
    assert run.recipe.head.pooling != "auto"
    assert run.metrics["baselines"].keys() == {"validation", "test"}
    metrics = (run.path / "metrics.json").read_text()
    (run.path / "metrics.json").unlink()
    monkeypatch.setattr("toughen.training.probe.load_frozen", lambda *_, **__: pytest.fail("probed again"))
    again = train(data, model=model, recipe="plain", output=tmp_path / "run", resume=True, quiet=True, **SHORT)
    assert again.recipe == run.recipe
    for part in ("baselines", "probe"):
        assert again.metrics[part] == json.loads(metrics)[part]
