"""Soft labels and weights of rows end to end: trained on, scored, in folds, evaluated, and told."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import toughen
from tiny import reviews, save_tiny_model
from toughen import InputError, load_recipe
from toughen.assess.metrics import classification_metrics, soft_log_loss
from toughen.cli import main
from toughen.combining.distil import Distilled, Lesson
from toughen.data import load_splits
from toughen.data.augment import augment_train
from toughen.data.read.chunks import as_dataset
from toughen.engine.likelihood import LIKELIHOODS, kl
from toughen.engine.objectives import CrossEntropy
from toughen.training.build_trainer import resolved_weights
from toughen.training.pseudo_labels import Chosen, add_pseudo_labels

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

TRAINING = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32", "log_steps": 50}
COLUMNS = "negative,positive"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def soft(count, seed):
    """Return reviews whose label has a probability of 0.6 to 1, by row, and a weight."""
    sure = [0.6 + 0.1 * (i // 2 % 5) for i in range(count)]
    rows = zip(reviews(count, seed), sure, strict=True)
    return pd.DataFrame(
        [
            {
                "text": text,
                "negative": round(p if label == "negative" else 1 - p, 2),
                "positive": round(p if label == "positive" else 1 - p, 2),
                "trust": 1 + i % 3,
                "label": label,
            }
            for i, ((text, label), p) in enumerate(rows)
        ]
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for seed, (name, count) in enumerate({"train": 96, "validation": 32, "test": 32}.items()):
        soft(count, seed).to_csv(folder / f"{name}.csv", index=False)
    return folder


def start(data, model, output, recipe="plain", **changes):
    training = TRAINING | changes.pop("training", {})
    return toughen.train(data, model=model, recipe=recipe, output=output, quiet=True, training=training, **changes)


def options(data, **more):
    return {f"data.{name}": value for name, value in more.items()} | {"data.text": "text"}


@pytest.fixture(scope="module")
def run(data, model, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "run"
    return start(data, model, output, **options(data, label_columns=COLUMNS, weight="trust"), training={"epochs": 6})


def answers(run, frame):
    told = run.predict(frame["text"].tolist())
    return np.array([[one["probabilities"][name] for name in ("negative", "positive")] for one in told])


def test_a_run_is_scored_by_its_most_probable_class_and_by_its_soft_labels(run, data):
    frame = pd.read_csv(data / "test.csv")
    given, found = frame[["negative", "positive"]].to_numpy(), answers(run, frame)
    weights = frame["trust"].to_numpy(float)
    hard = classification_metrics(found, given.argmax(1), ("negative", "positive"), weights=weights)
    metrics = run.metrics["test"]
    for name in ("accuracy", "f1", "log_loss", "roc_auc"):
        assert metrics[name] == pytest.approx(hard[name], abs=1e-4), name
    by_hand = -(weights * (given * np.log(found)).sum(1)).sum() / weights.sum()
    assert metrics["soft_log_loss"] == pytest.approx(by_hand, abs=1e-4)
    assert metrics["soft_log_loss"] != pytest.approx(metrics["log_loss"], abs=1e-3)
    assert metrics["f1"] > 0.9, "the tiny task is learnable"
    assert 0.7 < found.max(1).mean() < 0.9, "as sure as the labels, 0.8 on average; trained on classes it is above 0.95"


def test_evaluate_finds_the_columns_again_and_takes_other_labels(run, data):
    again = run.evaluate(data)
    assert again["soft_log_loss"] > 0
    assert "soft_log_loss" not in run.evaluate(data, label="label")
    assert again["accuracy"] == run.evaluate(data, label="label")["accuracy"]
    assert run.evaluate(data, details=True, samples=50)["soft_log_loss"] == pytest.approx(again["soft_log_loss"])


def test_a_soft_log_loss_is_a_log_loss_where_labels_are_certain():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 20)
    labels = rng.integers(0, 3, 20)
    expected = classification_metrics(p, labels)["log_loss"]
    assert soft_log_loss(p, np.eye(3)[labels]) == pytest.approx(expected, abs=1e-12)


def test_folds_score_every_row_by_its_soft_label_and_weight(data, model, tmp_path):
    run = start(
        data / "train.csv",
        model,
        tmp_path / "run",
        folds=2,
        **options(data, label_columns=COLUMNS, weight="trust"),
        training={"epochs": 1},
    )
    frame, oof = pd.read_csv(data / "train.csv"), pd.read_parquet(run.path / "oof.parquet")
    frame = frame.iloc[oof["row"]]
    p = oof[["probability_negative", "probability_positive"]].to_numpy()
    weights = frame["trust"].to_numpy(float)
    soft = frame[["negative", "positive"]].to_numpy()
    pooled = run.metrics["out_of_fold"]
    assert pooled["soft_log_loss"] == pytest.approx(soft_log_loss(p, soft, weights), abs=1e-6)
    hard = classification_metrics(p, soft.argmax(1), weights=weights)
    assert pooled["log_loss"] == pytest.approx(hard["log_loss"], abs=1e-6)
    assert pooled["accuracy"] == pytest.approx(hard["accuracy"], abs=1e-6)
    assert run.metrics["mean_sd"]["soft_log_loss"]["mean"] == pytest.approx(
        np.mean([fold["soft_log_loss"] for fold in run.metrics["folds"]])
    )


def test_votes_train_from_the_command_and_are_told(model, tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = ["text,ann,ben,cy"]
    for text, label in reviews(64, 5):
        other = "negative" if label == "positive" else "positive"
        lines.append(",".join([text, *(rng.choice([label, label, label, other, ""], 2)), label]))
    path = tmp_path / "votes.csv"
    path.write_text("\n".join(lines) + "\n")
    flags = ["--model", model, "--data", path, "--data.vote_columns", "ann,ben,cy", "--output", tmp_path / "run"]
    flags += [part for name, value in (TRAINING | {"epochs": 1}).items() for part in (f"--training.{name}", value)]
    assert main(["train", "--recipe", "tough-stack", *map(str, flags)]) == 0
    told = capsys.readouterr().err
    assert "soft labels: votes in 'ann', 'ben', 'cy'" in told
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]["soft_log_loss"] > 0
    assert main(["check", str(path), "--data.vote_columns", "ann,ben,cy"]) == 0
    assert "soft labels" in capsys.readouterr().out
    assert (
        main(["train", "--data", str(path), "--data.label_columns", "ann,ben", "--output", str(tmp_path / "no")]) == 2
    )
    assert "column 'ann' is no number (and 63 more rows that are no probabilities)" in capsys.readouterr().err


def test_a_validation_split_of_gold_labels_is_scored_by_them(data, model, tmp_path):
    gold = pd.read_csv(data / "validation.csv")[["text", "label"]]
    given = {"train": pd.read_csv(data / "train.csv").drop(columns="label"), "validation": gold}
    run = start(given, model, tmp_path / "run", **options(data, label_columns=COLUMNS), training={"epochs": 1})
    assert "soft_log_loss" not in run.metrics["validation"]
    assert run.metrics["validation"]["n"] == len(gold)


def test_balanced_classes_count_probabilities(data):
    splits = load_splits(
        load_recipe("plain", {"data.label_columns": COLUMNS, "data.text": "text"}).data, seed=0, data=data
    )
    weights = resolved_weights(CrossEntropy(class_weights="balanced"), splits).class_weights
    counts = np.sum(splits.train["soft_label"][:], axis=0)
    assert np.ravel(weights)[1] / np.ravel(weights)[0] == pytest.approx(counts[0] / counts[1])


def test_labels_and_soft_labels_together_are_refused(data, model, tmp_path):
    with pytest.raises(InputError, match=r"data.label_columns.*must be null where data.label is named"):
        start(data, model, tmp_path / "run", **options(data, label_columns=COLUMNS, label="label"))


@pytest.fixture
def splits(data):
    recipe = load_recipe("plain", {"data.label_columns": COLUMNS, "data.text": "text"})
    return load_splits(recipe.data, seed=0, data=data)


def test_an_adversarial_text_has_the_soft_label_of_its_original(splits, tmp_path):
    name = splits.label_names[splits.train["label"][5]]
    pair = {"text": splits.train["text"][5], "adversarial": "an altogether other text", "label": name}
    pd.DataFrame([pair]).to_parquet(tmp_path / "pairs.parquet")
    train = augment_train(splits, tmp_path / "pairs.parquet")[0].train
    assert train["text"][-1] == pair["adversarial"]
    assert train["soft_label"][-1] == splits.train["soft_label"][5]


def test_a_pseudo_label_is_certain(splits):
    unlabelled = as_dataset(pa.table({"text": ["one", "two", "three"], "row": [0, 1, 2]}))
    chosen = Chosen(np.array([0, 2]), np.array([1, 0]), np.array([0.9, 0.9]), {})
    train = add_pseudo_labels(replace(splits, unlabelled=unlabelled), chosen).train
    assert train["soft_label"][-2:] == [[0.0, 1.0], [1.0, 0.0]]
    assert train["soft_label"][:-2] == splits.train["soft_label"][:]


def test_a_student_learns_soft_labels_beside_its_teacher():
    base, lesson = LIKELIHOODS["single-label"], Lesson(temperature=2.0, alpha=0.4)
    logits, taught = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    own = torch.tensor([[0.8, 0.2], [0.3, 0.7], [-100.0, -100.0]], dtype=torch.float64)
    found = Distilled(base, 2, lesson).loss(logits, torch.cat([own, taught], 1), CrossEntropy())
    soft = 4 * kl(taught / 2, logits / 2)
    told = -(own * logits.log_softmax(-1)).sum(-1)
    assert torch.allclose(found[:2], (0.6 * told + 0.4 * soft)[:2], atol=1e-12)
    assert torch.allclose(found[2], soft[2], atol=1e-12)
