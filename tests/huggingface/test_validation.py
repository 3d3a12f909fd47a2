"""What chooses the best weights is defined in every evaluation, whatever validation lacks and the model says."""

from types import SimpleNamespace

import numpy as np
import pytest

from toughen.assess.selection import SELECTING
from toughen.huggingface.validation import Choice, Validation, choice

NAMES = ("a", "b", "c")
RNG = np.random.default_rng(0)


def validate(metric, task, logits, labels, names=NAMES):
    """Return what the Trainer is told of one evaluation."""
    chosen = choice(metric, task, labels, names)
    scores = Validation(task, names, chosen.metric, present=chosen.present)
    return chosen, scores(SimpleNamespace(predictions=np.asarray(logits, float), label_ids=np.asarray(labels)))


def test_a_class_that_validation_lacks_does_not_blind_the_choice():
    """By hand: of a, 3 of 4 right and none wrongly so, F1 6/7; of b, 3 of 4 right, one a taken for it: F1 6/8."""
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    logits = np.eye(3)[[0, 0, 0, 1, 1, 1, 1, 2]] * 5
    chosen, found = validate("f1", "single-label", logits, labels)
    assert chosen.present == (0, 1)
    assert "no text of 'c'" in chosen.said
    assert found["f1"] == pytest.approx((6 / 7 + 2 * 3 / (4 + 4)) / 2)
    better = validate("f1", "single-label", np.eye(3)[labels] * 5, labels)[1]["f1"]
    assert better == 1.0 > found["f1"]


@pytest.mark.parametrize("metric", [m for m in SELECTING["single-label"] if m != "loss"])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]])
@pytest.mark.parametrize("said", [[0] * 6, [0, 1, 2, 0, 1, 2], [2] * 6])
def test_every_metric_is_a_number_in_every_evaluation(metric, labels, said):
    _, found = validate(metric, "single-label", np.eye(3)[said] * 3, labels)
    assert np.isfinite(found[metric])


@pytest.mark.parametrize("metric", [m for m in SELECTING["multi-label"] if m != "loss"])
@pytest.mark.parametrize("bare", [False, True])
def test_every_metric_of_several_labels_is_a_number(metric, bare):
    labels = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]]) * (not bare)
    chosen, found = validate(metric, "multi-label", -np.ones((4, 3)), labels.astype(float))
    assert chosen.metric == "loss" or np.isfinite(found[chosen.metric])


def test_one_class_alone_leaves_the_loss():
    for metric in ("roc_auc", "mcc"):
        chosen, _ = validate(metric, "single-label", np.eye(3)[[0, 1, 2]], [1, 1, 1])
        assert chosen.metric == "loss"
        assert "chosen by the loss" in chosen.said
    assert choice("pearson", "regression", [2.0, 2.0], ("score",)).metric == "loss"
    assert choice("f1", "tokens", [[0, 0], [0]], ("O", "B-X")).metric == "loss"


def test_where_nothing_lacks_the_metric_is_the_reported_one():
    labels = [0, 1, 2, 0, 1, 2]
    logits = RNG.normal(size=(6, 3))
    assert choice("f1", "single-label", labels, NAMES) == Choice("f1")
    from sklearn.metrics import f1_score

    found = validate("f1", "single-label", logits, labels)[1]
    assert found["f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"))


def test_a_constant_answer_scores_nothing_and_is_no_infinity():
    values = validate("pearson", "regression", np.ones((4, 1)), [0.0, 1.0, 2.0, 3.0], ("score",))[1]
    assert values["pearson"] == 0.0
    assert validate("precision", "single-label", np.eye(2)[[0, 0]], [0, 1], ("n", "p"))[1]["precision"] == 0.0
