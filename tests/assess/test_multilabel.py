"""Multi-label scores: hand-computed values, scikit-learn's values, and the sentence where there is no value."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk

from toughen.assess.metrics import DEFAULT_METRIC, task_metrics
from toughen.assess.multilabel import multilabel_metrics

NAMES = ("calm", "glad", "sad")
# Predictions 110, 010, 001, 000 against labels 100, 010, 011, 100.
P = np.array([[0.9, 0.6, 0.1], [0.2, 0.5, 0.3], [0.1, 0.4, 0.8], [0.4, 0.1, 0.2]])
Y = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]])


def test_scores_by_hand():
    scores = task_metrics("multi-label", P, Y.astype(float).tolist(), NAMES)
    of_truth = [0.9, 0.4, 0.9, 0.8, 0.5, 0.7, 0.9, 0.4, 0.8, 0.4, 0.9, 0.8]
    expected = {
        "precision": (1 / 1 + 1 / 2 + 1 / 1) / 3,
        "recall": (1 / 2 + 1 / 2 + 1 / 1) / 3,
        "f1": (2 / 3 + 2 / 4 + 2 / 2) / 3,
        "f1_micro": 2 * 3 / (5 + 4),
        "f1_weighted": (2 * 2 / 3 + 2 * 2 / 4 + 1 * 1) / 5,
        # calm: .9 .4 against .2 .1: 4 of 4; glad: .5 .4 against .6 .1: 2 of 4; sad: .8 alone above: 3 of 3.
        "roc_auc": (1 + 1 / 2 + 1) / 3,
        # glad: ranks 2 and 3 of .6 .5 .4 .1: (1/2 + 2/3) / 2.
        "average_precision": (1 + 7 / 12 + 1) / 3,
        "accuracy": 1 / 4,
        "hamming_loss": 3 / 12,
        "log_loss": -sum(map(math.log, of_truth)) / 12,
        "n": 4,
    }
    assert scores.pop("undefined") == {}
    assert scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("thresholds", [None, [0.3, 0.6, 0.45, 0.7]])
def test_scores_are_scikit_learns(thresholds):
    rng = np.random.default_rng(1)
    p, y = rng.random((200, 4)).round(2), rng.integers(2, size=(200, 4))
    scores = multilabel_metrics(p, y, thresholds=thresholds)
    hard = (p >= (thresholds or 0.5)).astype(int)
    assert scores["f1"] == pytest.approx(sk.f1_score(y, hard, average="macro"))
    assert scores["f1_micro"] == pytest.approx(sk.f1_score(y, hard, average="micro"))
    assert scores["f1_weighted"] == pytest.approx(sk.f1_score(y, hard, average="weighted"))
    assert scores["precision"] == pytest.approx(sk.precision_score(y, hard, average="macro"))
    assert scores["recall"] == pytest.approx(sk.recall_score(y, hard, average="macro"))
    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p, average="macro"))
    assert scores["average_precision"] == pytest.approx(sk.average_precision_score(y, p, average="macro"))
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(y, hard))
    assert scores["hamming_loss"] == pytest.approx(sk.hamming_loss(y, hard))
    per_label = [sk.log_loss(y[:, k], p[:, k], labels=[0, 1]) for k in range(4)]
    assert scores["log_loss"] == pytest.approx(np.mean(per_label))


def test_thresholds_decide_and_are_inclusive():
    """Canary: at the default 0.5 the same probabilities score otherwise."""
    exact = multilabel_metrics(P, Y, thresholds=[0.4, 0.4, 0.8])
    assert exact["recall"] == 1
    assert multilabel_metrics(P, Y)["recall"] < 1


def test_a_single_label_is_a_column_of_its_own():
    """scikit-learn would take one column for two classes and average over both."""
    scores = multilabel_metrics([[0.9], [0.8], [0.1]], [[1], [0], [0]])
    assert scores["f1"] == scores["f1_micro"] == pytest.approx(2 / 3)
    assert scores["roc_auc"] == 1


BOTH = [[0.9, 0.1], [0.1, 0.9]]
UNDEFINED = [
    # (probabilities, labels, the metrics that are undefined, a piece of one reason)
    ([[0.9, 0.1], [0.1, 0.1]], [[1, 0], [0, 1]], {"precision"}, "no example was predicted as 'glad'"),
    (BOTH, [[1, 0], [0, 0]], {"recall", "roc_auc", "average_precision"}, "no example has the label 'glad'"),
    (BOTH, [[1, 1], [0, 1]], {"roc_auc"}, "every example has the label 'glad'"),
    (
        [[0.9, 0.1], [0.1, 0.1]],
        [[1, 0], [0, 0]],
        {"f1", "precision", "recall", "roc_auc", "average_precision"},
        "no example has the label 'glad' and none was predicted so",
    ),
    (
        [[0.1, 0.1]] * 2,
        [[0, 0]] * 2,
        {"f1", "f1_micro", "f1_weighted", "precision", "recall", "roc_auc", "average_precision"},
        "no example has any label and none was predicted",
    ),
    (
        np.empty((0, 2)),
        [],
        {
            *("f1", "f1_micro", "f1_weighted", "precision", "recall", "roc_auc", "average_precision"),
            *("accuracy", "hamming_loss", "log_loss"),
        },
        "there are no examples",
    ),
]


@pytest.mark.parametrize(("p", "y", "names", "reason"), UNDEFINED)
def test_undefined_is_none_with_a_sentence_and_the_rest_is_a_number(p, y, names, reason):
    scores = multilabel_metrics(p, y, NAMES[:2])
    undefined = scores.pop("undefined")
    assert set(undefined) == names
    assert {name for name, value in scores.items() if value is None} == names
    assert any(reason in sentence for sentence in undefined.values())


def test_a_bad_score_stays_a_score():
    """Canary of the rule above: everything missed is 0."""
    scores = multilabel_metrics(BOTH, [[0, 1], [1, 0]])
    assert scores["f1"] == scores["f1_micro"] == scores["f1_weighted"] == scores["roc_auc"] == 0
    assert scores["undefined"] == {}


@pytest.mark.parametrize(
    ("p", "y", "more", "message"),
    [
        ([0.5], [1], {}, "shape"),
        ([[0.5, 0.5]], [[1]], {}, "labels must be 0 or 1"),
        ([[0.5]], [[0.5]], {}, "labels must be 0 or 1"),
        ([[1.5]], [[1]], {}, "logits"),
        ([[0.5]], [[1]], {"label_names": ["a", "b"]}, "label names"),
        ([[0.5]], [[1]], {"thresholds": [0.5, 0.5]}, "thresholds must be 1"),
        ([[0.5]], [[1]], {"thresholds": [1.5]}, "thresholds must be 1"),
    ],
)
def test_misuse_is_refused(p, y, more, message):
    with pytest.raises(ValueError, match=message):
        multilabel_metrics(p, y, **more)


def test_non_finite_probabilities_blame_the_model():
    with pytest.raises(RuntimeError, match="non-finite outputs for 1 of 2 examples"):
        multilabel_metrics([[0.5, 0.5], [0.5, math.nan]], [[0, 1], [1, 0]])


def test_every_task_has_its_default_metric():
    outputs = {
        "single-label": (np.array([[0.2, 0.8], [0.6, 0.4]]), [1, 0]),
        "multi-label": (P, Y),
        "regression": ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0]),
        "tokens": ([np.eye(2)], [[0, 1]]),
    }
    for task, name in DEFAULT_METRIC.items():
        names = ("O", "B-PER") if task == "tokens" else None
        assert 0 < task_metrics(task, *outputs[task], names)[name] <= 1, task
