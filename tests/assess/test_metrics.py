"""Scores: hand-computed values, scikit-learn's values, and the sentence where there is no value."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk

from toughen.assess.metrics import classification_metrics

NAMES = ("negative", "positive")
# Labels 1 1 0 0 1, predictions 1 0 0 1 1: TP 2, FP 1, FN 1, TN 1.
BINARY_P = np.array([[0.1, 0.9], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.25, 0.75]])
BINARY_Y = np.array([1, 1, 0, 0, 1])
# Three classes. Labels 0 0 1 1 2 2, predictions 0 1 1 1 2 0.
TERNARY_P = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.1, 0.5, 0.4], [0.1, 0.1, 0.8], [0.6, 0.1, 0.3]]
)
TERNARY_Y = np.array([0, 0, 1, 1, 2, 2])


def test_binary_scores_by_hand():
    scores = classification_metrics(BINARY_P, BINARY_Y, NAMES)
    # 6 pairs (positive, negative): .9 beats .3 and .8, .4 beats .3, .75 beats .3: 4 of 6.
    loss = -(math.log(0.9) + math.log(0.4) + math.log(0.7) + math.log(0.2) + math.log(0.75)) / 5
    expected = {
        "accuracy": 3 / 5,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "roc_auc": 4 / 6,
        "mcc": (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2),
        "log_loss": loss,
        "n": 5,
    }
    assert scores.pop("undefined") == {}
    assert scores.pop("positive_class") == "positive"
    assert scores == pytest.approx(expected, abs=1e-12)


def test_macro_and_weighted_scores_by_hand():
    scores = classification_metrics(TERNARY_P, TERNARY_Y)
    # precision 1/2 2/3 1, recall 1/2 1 1/2, F1 1/2 4/5 2/3; the supports are equal, so weighted = macro.
    assert scores["precision"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["f1"] == scores["f1_weighted"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    # Pairs won by each class against the rest, of 8, a tie counting half: 4 + 3, 3 + 3, 4 + 2.5.
    assert scores["roc_auc"] == pytest.approx((7 / 8 + 6 / 8 + 6.5 / 8) / 3)
    assert scores["undefined"] == {}


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_scikit_learns(classes):
    rng = np.random.default_rng(classes)
    p, y = rng.dirichlet(np.ones(classes), size=200), rng.integers(classes, size=200)
    scores = classification_metrics(p, y)
    average = "binary" if classes == 2 else "macro"
    hard = p.argmax(1)
    assert scores["f1"] == pytest.approx(sk.f1_score(y, hard, average=average))
    assert scores["precision"] == pytest.approx(sk.precision_score(y, hard, average=average))
    assert scores["recall"] == pytest.approx(sk.recall_score(y, hard, average=average))
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(y, hard))
    assert scores["log_loss"] == pytest.approx(sk.log_loss(y, p))
    ranking = p[:, 1] if classes == 2 else p
    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(y, ranking, multi_class="ovr"))
    assert ("f1_weighted" in scores) == (classes > 2)
    if classes > 2:
        assert scores["f1_weighted"] == pytest.approx(sk.f1_score(y, hard, average="weighted"))
        assert scores["precision_weighted"] == pytest.approx(sk.precision_score(y, hard, average="weighted"))
        assert scores["recall_weighted"] == pytest.approx(scores["accuracy"])


def always(positive: bool, n: int = 3) -> np.ndarray:
    return np.tile([[0.1, 0.9]] if positive else [[0.9, 0.1]], (n, 1))


UNDEFINED = [
    # (probabilities, labels, the metrics that are undefined, a piece of the reason of the first)
    (always(False), [0, 1, 0], {"precision", "mcc"}, "no example was predicted as 'positive'"),
    (always(True), [0, 1, 0], {"mcc"}, "every prediction is 'positive'"),
    (BINARY_P[:3], [0, 0, 0], {"recall", "roc_auc", "mcc"}, "no example has the label 'positive'"),
    (BINARY_P[:3], [1, 1, 1], {"roc_auc", "mcc"}, "no example has the label 'negative'"),
    (always(False), [0, 0, 0], {"f1", "precision", "recall", "roc_auc", "mcc"}, "none was predicted so"),
    (
        np.empty((0, 2)),
        np.empty(0),
        {"accuracy", "precision", "recall", "f1", "roc_auc", "mcc", "log_loss"},
        "there are no examples",
    ),
]


@pytest.mark.parametrize(("p", "y", "names", "reason"), UNDEFINED)
def test_undefined_is_none_with_a_sentence_and_the_rest_is_a_number(p, y, names, reason):
    scores = classification_metrics(p, y, NAMES)
    undefined = scores.pop("undefined")
    assert set(undefined) == names
    assert {name for name, value in scores.items() if value is None} == names
    assert any(reason in sentence for sentence in undefined.values())


def test_f1_is_zero_not_undefined_when_all_positives_are_missed():
    """Canary of the rule above: a bad score stays a score."""
    scores = classification_metrics(always(False), [0, 1, 0], NAMES)
    assert scores["f1"] == scores["recall"] == 0


def test_macro_average_is_undefined_when_one_class_is():
    """Class 2 has neither labels nor predictions: its weight is 0, so only the weighted averages survive."""
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
    scores = classification_metrics(p, [0, 1, 1], ["a", "b", "c"])
    assert set(scores["undefined"]) == {"precision", "recall", "f1", "roc_auc"}
    assert all("'c'" in sentence for sentence in scores["undefined"].values())
    assert scores["f1_weighted"] == pytest.approx(2 / 3)
    assert scores["precision_weighted"] == pytest.approx((1 * 0.5 + 2 * 1) / 3)


def test_a_sure_miss_costs_what_float_epsilon_costs_and_no_less():
    scores = classification_metrics([[1.0, 0.0], [0.0, 1.0]], [1, 1], NAMES)
    assert scores["log_loss"] == pytest.approx(-math.log(np.finfo(np.float64).eps) / 2)


def test_float32_rows_need_not_sum_to_one_exactly():
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=50)
    y = np.arange(50) % 3
    exact, rounded = classification_metrics(p, y), classification_metrics(p.astype(np.float32), y)
    assert rounded["log_loss"] == pytest.approx(exact["log_loss"], abs=1e-6)


def test_non_finite_probabilities_blame_the_model():
    with pytest.raises(RuntimeError, match="non-finite outputs for 1 of 2 examples"):
        classification_metrics([[0.5, 0.5], [math.nan, math.nan]], [0, 1])


@pytest.mark.parametrize(
    ("p", "y", "names", "message"),
    [
        ([0.5, 0.5], [0, 1], None, "shape"),
        ([[0.5, 0.5]], [0, 1], None, "labels must have shape"),
        ([[0.5, 0.5]], [-100], None, "label ids"),
        ([[0.5, 0.5]], [2], None, "label ids"),
        ([[0.5, 0.5]], [0.0], None, "integer"),
        ([[3.0, -1.0]], [0], None, "logits"),
        ([[0.5, 0.5]], [0], ["only"], "label names"),
    ],
)
def test_misuse_is_refused(p, y, names, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(p, y, names)


@pytest.mark.parametrize("classes", [2, 3])
def test_texts_that_tie_stay_tied_where_rows_do_not_quite_sum_to_one(classes):
    """Rows of float32 miss 1 by some 1e-7: divided by their sums, texts with one score would be told apart."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(classes), size=60).round(1).astype(np.float32)
    p[:, -1] = 1 - p[:, :-1].sum(1)
    p *= (1 + rng.choice([-1e-7, 0, 1e-7], size=(60, 1))).astype(np.float32)
    p[:, 1] = p[:, 1].round(1)
    y = rng.integers(classes, size=60)
    column = p[:, 1].astype(np.float64)
    renormalised = p.astype(np.float64) / p.astype(np.float64).sum(1, keepdims=True)
    assert len(np.unique(renormalised[:, 1])) > len(np.unique(column)), "the case shows nothing"
    wanted = np.mean([sk.roc_auc_score(y == i, p[:, i]) for i in ([1] if classes == 2 else range(classes))])
    assert classification_metrics(p, y)["roc_auc"] == pytest.approx(wanted, abs=1e-12)
