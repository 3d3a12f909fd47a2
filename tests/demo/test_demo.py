"""The demo's report: both recipes over the seeds beside a simple model, their differences paired, all of it JSON."""

import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from toughen import demo
from toughen.assess.metrics import classification_metrics
from toughen.attack.noise.typos import typos

ASKED = []


class FakeRun:
    """A run that is right about every text without a typo, wrong about all others; plain is less sure of it."""

    def __init__(self, recipe, seed, path):
        texts, labels = demo._test_split()
        self.truth = dict(zip(texts, labels, strict=True))
        self.path, self.sure = path, 0.9 if recipe == "accuracy" else 0.6 + 0.01 * seed
        self.classifier = SimpleNamespace(label_names=("negative", "positive"))
        rows = [list(row["probabilities"].values()) for row in self.predict(texts)]
        test = classification_metrics(rows, [int(label == "positive") for label in labels])
        self.metrics = {
            "test": test,
            "train": {"seconds": 60.0, "units_per_step": 6.0},
            "probe": {"seconds": 2.0},
            "baselines": {"test": {"words": dict.fromkeys(demo.METRICS, 0.75)}},
            "verdict": f"{recipe}, seed {seed}: learnt.",
            "next": "toughen evaluate",
            "collapsed": (recipe, seed) == ("plain", 2),
        }

    def predict(self, texts):
        positive = [self.truth.get(text, "negative") == "positive" for text in texts]
        return [
            {"probabilities": {"negative": p, "positive": 1 - p}}
            for p in (1 - self.sure if is_positive else self.sure for is_positive in positive)
        ]


@pytest.fixture
def result(tmp_path, monkeypatch):
    ASKED.clear()
    monkeypatch.setattr(demo, "find_minilm", lambda: tmp_path)

    def train(recipe, seed, model, output):
        ASKED.append((recipe, seed))
        return FakeRun(recipe, seed, output)

    monkeypatch.setattr(demo, "_train", train)
    return demo.main(tmp_path / "demo-run")


def test_it_ends_in_the_verdict_of_the_default_and_tells_a_run_that_learnt_nothing(result):
    assert (result["verdict"], result["next"]) == ("accuracy, seed 0: learnt.", "toughen evaluate")
    assert result["collapsed"]


def test_both_recipes_train_on_every_seed(result):
    """Neither recipe stands in for the other."""
    assert [(recipe, seed) for seed in demo.SEEDS for recipe in ("plain", "accuracy")] == ASKED
    assert [len(rows) for rows in result["runs"].values()] == [len(demo.SEEDS)] * 2


def test_differences_are_the_defaults_minus_plains_paired_by_seed(result):
    """The fake default is surer, so its log loss is lower and nothing else differs."""
    found = result["differences"]
    assert found["accuracy"] == {"mean": 0.0, "low": None, "high": None}, "equal scores say nothing about other seeds"
    pairs = zip(result["runs"]["accuracy"], result["runs"]["plain"], strict=True)
    assert found["log_loss"]["mean"] == pytest.approx(sum(a["log_loss"] - b["log_loss"] for a, b in pairs) / 3)
    assert found["log_loss"]["low"] < found["log_loss"]["mean"] < found["log_loss"]["high"] < 0


def test_accuracy_under_typos_is_that_of_the_mistyped_texts(result):
    texts, labels = demo._test_split()
    noisy = typos(texts, rate=demo.TYPO_RATE, seed=0)
    # The fake run calls every mistyped text negative.
    right = sum(a == b or label == "negative" for a, b, label in zip(texts, noisy, labels, strict=True))
    for row in result["runs"]["plain"]:
        assert row["accuracy_under_typos"] == pytest.approx(right / len(texts))
        assert row["seconds"] == 62.0, "the probe is part of the price"


def test_the_result_is_json(result):
    assert json.loads(json.dumps(result))["baseline"]["f1"] == 0.75


def test_prints_one_table_with_all_three_models(result, capsys, monkeypatch):

    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "140")
    demo._show(result["baseline"], result["runs"], result["differences"], Console(width=140, highlight=False))
    printed, loss = capsys.readouterr().out, result["differences"]["log_loss"]
    for part in (
        "mean of 3 seeds",
        "TF-IDF",
        "plain",
        "accuracy, 10% typos",
        "log loss",
        "0.750",
        " +0.000 ",
        f"{loss['mean']:+.3f} [{loss['low']:+.3f}, ",
    ):
        assert part in printed
