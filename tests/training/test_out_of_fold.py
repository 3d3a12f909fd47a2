"""How the answers of several folds become one: metrics of pooled rows, spread, thresholds, means; no model needed."""

import datasets
import numpy as np
import pytest

from toughen.assess.metrics import task_metrics
from toughen.runs.ensemble import Ensemble
from toughen.training.out_of_fold import Answers, mean_and_sd, pooled_metrics


def test_an_undefined_metric_has_no_mean():
    folds = [{"f1": 0.5, "mcc": None, "n": 3, "undefined": {}}, {"f1": 1.0, "mcc": 0.2, "n": 3, "undefined": {}}]

    spread = mean_and_sd(folds)

    assert spread == {"f1": {"mean": 0.75, "sd": pytest.approx(0.125**0.5)}, "mcc": {"mean": None, "sd": None}}


class Pooled:
    """Stands in for a plan: three folds of rows, some texts, and their labels."""

    def __init__(self, task, labels, names, **columns):
        self.fold = np.arange(len(labels)) % 3
        self.pool = datasets.Dataset.from_dict({"label": labels} | columns).with_format("numpy")
        self.splits = type("Splits", (), {"task": task, "label_names": names})


def in_folds(plan, outputs):
    return [outputs[plan.fold == fold] for fold in range(3)]


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_pooled_rows_are_decided_by_their_own_models_threshold(task):
    """With one threshold in all folds the pooled metrics are those of that threshold; with three, each row's own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 2)).astype(float) if task == "multi-label" else rng.integers(0, 2, 60)
    outputs = rng.random((60, 2))
    outputs = outputs if task == "multi-label" else outputs / outputs.sum(1, keepdims=True)
    plan = Pooled(task, labels, ("a", "b"))

    def scored(thresholds):
        return pooled_metrics(plan, Answers(in_folds(plan, outputs), {}, thresholds))

    same = (0.3, 0.3) if task == "multi-label" else (0.3,)
    assert scored([same] * 3) == task_metrics(task, outputs, labels, ("a", "b"), same)
    assert scored([None] * 3) == task_metrics(task, outputs, labels, ("a", "b"))
    none, every = (tuple(t for _ in same) for t in (1.0, 0.0))
    mixed = scored([none, every, every])
    if task == "single-label":
        by_hand = np.where(plan.fold == 0, 0, 1)
        assert mixed["accuracy"] == pytest.approx((by_hand == labels).mean())
    assert mixed["f1"] not in (scored([every] * 3)["f1"], scored([same] * 3)["f1"])
    assert mixed["roc_auc"] == scored([None] * 3)["roc_auc"], "a threshold moves no ranking"


def test_pooled_rows_count_by_their_weights():
    rng = np.random.default_rng(1)
    labels, outputs, weights = rng.integers(0, 2, 60), rng.random((60, 1)), rng.integers(1, 9, 60).astype(float)
    outputs = np.concatenate([1 - outputs, outputs], axis=1)
    plan = Pooled("single-label", labels, ("a", "b"), weight=weights)

    found = pooled_metrics(plan, Answers(in_folds(plan, outputs), {}, [None] * 3))

    assert found == task_metrics("single-label", outputs, labels, ("a", "b"), weights=weights)
    assert found["accuracy"] != task_metrics("single-label", outputs, labels, ("a", "b"))["accuracy"], "canary"


class Member:
    """Stands in for a classifier."""

    model = tokenizer = None
    label_names, max_length, truncation, overlap, pairs = ("a", "b"), 8, "head", 0, None
    temperature = abstention = columns = None

    def __init__(self, task, answer, thresholds=None):
        self.task, self.answer, self.thresholds = task, answer, thresholds

    def outputs(self, dataset, *, batch_size, progress=None):
        return self.answer


def test_an_ensemble_answers_with_the_mean_of_any_task():
    multi = Ensemble.of(
        [
            Member("multi-label", np.full((1, 2), 0.2), (0.4, 0.5)),
            Member("multi-label", np.full((1, 2), 0.8), (0.6, 0.7)),
        ]
    )
    assert multi.thresholds == pytest.approx((0.5, 0.6))
    assert multi.predict(["x"]) == [{"labels": ["a"], "probabilities": {"a": 0.5, "b": 0.5}}]
    numbers = Ensemble.of([Member("regression", np.array([1.0, 2.0])), Member("regression", np.array([3.0, 2.0]))])
    assert numbers.predict(["x", "y"]) == [{"score": 2.0}, {"score": 2.0}]
    tags = [Member("tokens", [np.array([[0.9, 0.1], [p, 1 - p]])]) for p in (0.9, 0.0)]
    assert Ensemble.of(tags).predict([["x", "y"]])[0]["tags"] == ["a", "b"]
