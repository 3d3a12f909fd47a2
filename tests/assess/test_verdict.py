"""The verdict of a training: what was learnt beside simple models, and collapse by its name, for every task."""

import json

import numpy as np
import pytest

from tiny import reviews, save_tiny_model, write_csv
from toughen.assess.verdict import CONSTANT, constant_answer, verdict, verdict_of_combination, verdict_of_folds
from toughen.cli import main

SIMPLE = {"majority": {"accuracy": 0.5}, "words": {"accuracy": 0.77}, "frozen": {"accuracy": 0.7}}
ONE = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
TAGS = [np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.8, 0.2]])]

# task, outputs, true labels, thresholds, what is said to everything
CONSTANTS = {
    "classes": ("single-label", ONE, [0, 1, 1], None, "bad"),
    "classes, low threshold": ("single-label", ONE, [0, 1, 1], [0.05], "good"),
    "labels": ("multi-label", ONE, [[0, 1], [1, 0], [1, 1]], [0.5, 0.5], "bad"),
    "no labels": ("multi-label", ONE, [[0, 1], [1, 0], [1, 1]], [0.95, 0.95], "no label"),
    "numbers": ("regression", np.full(3, 2.5), [1.0, 2.0, 4.0], None, "2.5"),
    "tags": ("tokens", TAGS, [[0, 1], [0]], None, "bad"),
}
VARIED = {
    "classes": ("single-label", ONE, [0, 1, 1], [0.15]),
    "truth of one class": ("single-label", ONE, [0, 0, 0], None),
    "labels": ("multi-label", ONE, [[0, 1], [1, 0], [1, 1]], [0.5, 0.15]),
    "numbers": ("regression", np.array([2.5, 2.6, 2.5]), [1.0, 2.0, 4.0], None),
    "tags": ("tokens", [TAGS[0], TAGS[1][:, ::-1]], [[0, 1], [0]], None),
}


@pytest.mark.parametrize("case", CONSTANTS)
def test_one_answer_to_everything_is_found_in_every_task(case):
    task, outputs, labels, thresholds, said = CONSTANTS[case]
    assert constant_answer(task, outputs, labels, ["bad", "good"], thresholds) == said


@pytest.mark.parametrize("case", VARIED)
def test_answers_that_differ_are_no_collapse(case):
    task, outputs, labels, thresholds = VARIED[case]
    assert constant_answer(task, outputs, labels, ["bad", "good"], thresholds) is None


def test_a_good_run_stands_beside_the_best_simple_model(tmp_path):
    scored = {"accuracy": 0.93, "n": 600, "mcc": 0.86}
    found = verdict({"validation": {}, "test": scored, "baselines": {"test": SIMPLE}}, tmp_path / "a run")
    assert found["verdict"] == (
        "test accuracy 0.930 [0.907, 0.949]; a simple model on the same rows (TF-IDF + linear model) gets 0.770."
    )
    assert f"toughen export '{tmp_path}/a run' --to" in found["next"]
    assert not found["collapsed"]
    worse = verdict({"test": scored | {"accuracy": 0.75}, "baselines": {"test": SIMPLE}}, tmp_path)
    assert worse["verdict"].endswith("gets 0.770: fine-tuning has bought nothing over it.")


def test_a_run_at_the_majority_rate_has_collapsed_though_its_answers_differ(tmp_path):
    scored = {"accuracy": 0.48, "n": 100, "mcc": -0.04}
    found = verdict({"test": scored, "baselines": {"test": SIMPLE}}, tmp_path)
    assert found["collapsed"]
    assert found["verdict"].startswith("it has learnt nothing: it is right on 0.480")
    assert "--training.epochs" in found["next"]


def test_folds_that_have_collapsed_are_named(tmp_path):
    content = {"out_of_fold": {"accuracy": 0.8, "n": 100, "mcc": 0.6}, "folds": [{}, {}, {}]}
    assert not verdict_of_folds(content, tmp_path, [])["collapsed"]
    found = verdict_of_folds(content, tmp_path, [2])
    assert found["collapsed"]
    assert found["verdict"].startswith("1 of 3 folds (number 2) have learnt nothing; out of fold accuracy 0.800")


def test_a_combination_stands_beside_its_members(tmp_path):
    scored = {"accuracy": 0.93, "n": 600, "mcc": 0.86}
    members = [{"test": scored | {"accuracy": value}, "collapsed": value < 0.6} for value in (0.91, 0.92, 0.5)]
    metrics = {"test": scored, "baselines": {"test": SIMPLE}}
    found = verdict_of_combination(metrics, tmp_path, members, whole=False)
    assert "gets 0.770. Its members alone get 0.500 to 0.920." in found["verdict"]
    assert found["verdict"].endswith("Number 3 of its 3 members has learnt nothing by itself.")
    assert "toughen predict" in found["next"]
    assert not found["collapsed"]
    whole = verdict_of_combination(metrics, tmp_path, members, whole=True)
    assert "toughen export" in whole["next"]
    other = [member | {"test": member["test"] | {"n": 30}} for member in members]
    assert "alone get" not in verdict_of_combination(metrics, tmp_path, other, whole=True)["verdict"]
    lost = verdict_of_combination({"test": scored | {CONSTANT: "bad"}}, tmp_path, members, whole=False)
    assert lost["collapsed"]
    assert "check the labels" in lost["next"]


@pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
@pytest.mark.parametrize(("rate", "epochs", "status"), [("1e-12", "1", 2), ("3e-3", "4", 0)])
def test_a_training_ends_in_its_verdict_and_fails_on_request(tmp_path, monkeypatch, capsys, rate, epochs, status):
    """An untrained head gives one answer to everything; a trained one does not. Files, screen and status say so."""
    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "model")
    write_csv(tmp_path / "reviews.csv", reviews(120, seed=1))
    settings = {"learning_rate": rate, "epochs": epochs, "batch_size": "8", "precision": "fp32"}
    flags = [word for name, value in settings.items() for word in (f"--training.{name}", value)]
    argv = ["train", "plain", "--model", "model", "--data", "reviews.csv", "--output", "run", *flags]
    assert main([*argv, "--fail-if-collapsed"]) == status
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["collapsed"] is (status == 2), metrics["verdict"]
    assert (CONSTANT in metrics["validation"]) is (status == 2)
    printed = capsys.readouterr().out.splitlines()
    assert f"verdict: {metrics['verdict']}" in printed
    assert f"next: {metrics['next']}" in printed
    words = "it has learnt nothing" if status else "a simple model on the same rows"
    for page in ("report.html", "model/README.md"):
        assert words in (tmp_path / "run" / page).read_text(), page


def test_no_adversary_is_advised_only_to_who_has_one(tmp_path):
    lost = {"validation": {"accuracy": 0.5, "n": 100, "mcc": 0.0, CONSTANT: "bad"}}
    plain, pushed = (verdict(lost, tmp_path, adversary=adversary)["next"] for adversary in (False, True))
    assert plain.endswith("measures one) and more epochs (--training.epochs).")
    assert pushed.endswith("measures one), more epochs (--training.epochs) and no adversary (--adversary none).")
    folds = verdict_of_folds(lost | {"folds": [1, 2]}, tmp_path, [2], adversary=True)
    assert folds["next"] == pushed
