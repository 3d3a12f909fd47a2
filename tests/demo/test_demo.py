"""The demo's report: both runs scored on the shipped test split, with intervals, cost and places."""

import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from tiny import save_tiny_model
from toughen import demo, load_recipe
from toughen.assess.intervals import resampled_metrics
from toughen.assess.metrics import classification_metrics
from toughen.assess.typos import typos


class FakeRun:
    """A run that is right about every text without a typo and wrong about all others."""

    def __init__(self, path):
        texts, labels = demo._test_split()
        self.truth = dict(zip(texts, labels, strict=True))
        self.path = path
        self.classifier = SimpleNamespace(label_names=("negative", "positive"))
        rows = [list(row["probabilities"].values()) for row in self.predict(texts)]
        test = classification_metrics(rows, [int(label == "positive") for label in labels])
        self.metrics = {"test": test, "train": {"seconds": 61.5, "passes_per_step": 6.0, "units_per_step": 16.0}}

    def predict(self, texts):
        positive = [self.truth.get(text, "negative") == "positive" for text in texts]
        return [{"probabilities": {"negative": 1 - 0.9 * p, "positive": 0.9 * p}} for p in positive]


@pytest.fixture
def result(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "find_minilm", lambda: tmp_path)
    monkeypatch.setattr(demo, "_trained", lambda recipe, model, output, console: FakeRun(output))
    return demo.main(tmp_path / "demo-run")


def test_reports_both_recipes_with_intervals_and_under_typos(result):
    assert list(result["runs"]) == ["plain", "accuracy"]
    texts, labels = demo._test_split()
    noisy = typos(texts, rate=demo.TYPO_RATE, seed=0)
    for run in result["runs"].values():
        assert run["accuracy"] == run["f1"] == run["roc_auc"] == 1
        assert run["intervals"]["accuracy"] == (1, 1)
        # The fake run calls every mistyped text negative.
        right = sum(a == b or label == "negative" for a, b, label in zip(texts, noisy, labels, strict=True))
        assert run["accuracy_under_typos"] == pytest.approx(right / len(texts))
        low, high = run["accuracy_under_typos_interval"]
        assert low < run["accuracy_under_typos"] < high


def test_every_metric_of_evaluate_has_its_interval(result):
    for run in result["runs"].values():
        assert set(run["intervals"]) == set(resampled_metrics("single-label", ("negative", "positive")))
        assert run["mcc"] == 1
        assert run["log_loss"] == pytest.approx(run["intervals"]["log_loss"][0], abs=0.02)


@pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
def test_each_run_is_trained_by_the_recipe_whose_name_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "TRAINING", {**demo.TRAINING, "max_steps": 1, "epochs": 1})
    model, console = save_tiny_model(tmp_path / "model"), Console(quiet=True)
    for name in demo.RECIPES:
        run, wanted = demo._trained(name, model, tmp_path / name, console), load_recipe(name)
        assert (run.recipe.adversary, run.recipe.average) == (wanted.adversary, wanted.average), name
    assert load_recipe("plain").adversary != wanted.adversary, "canary"


def test_the_result_is_json(result):
    assert json.loads(json.dumps(result))["runs"]["plain"]["intervals"]["f1"] == [1, 1]


def test_prints_one_table_with_its_title_and_where_the_files_lie(result, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    from rich.console import Console

    demo._show(result["runs"], Console(width=120, highlight=False))
    printed = capsys.readouterr().out
    assert "shows that it runs" in printed
    assert "all-MiniLM-L6-v2" in result["model"]
    for row in ("accuracy", "F1", "AUC", "accuracy under typos (10%)", "passes per step", "1.000 [1.000, 1.000]"):
        assert row in printed
    for place in ("model", "metrics.json", "tensorboard"):
        assert result["runs"]["accuracy"]["model"].replace("model", place) in printed
