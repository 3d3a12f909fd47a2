"""A row of weight 2 is that row twice, in every metric of every task, in thresholds, and in what chooses the epoch."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from toughen.assess.metrics import task_metrics
from toughen.assess.thresholds import tune_thresholds
from toughen.huggingface.validation import Validation

RNG = np.random.default_rng(3)
N = 30
WEIGHTS = RNG.integers(1, 4, N)
SIMPLEX = RNG.dirichlet(np.ones(3), N)
TAGS = ("O", "B-PER", "I-PER")
WORDS = [RNG.dirichlet(np.ones(3), 4) for _ in range(N)]
CASES = {
    "single-label": (SIMPLEX, RNG.integers(0, 3, N), ("a", "b", "c")),
    "multi-label": (RNG.random((N, 3)), RNG.integers(0, 2, (N, 3)), ("a", "b", "c")),
    "regression": (RNG.normal(size=N).round(1), RNG.normal(size=N).round(1), None),
    "tokens": (WORDS, [row.tolist() for row in RNG.integers(0, 3, (N, 4))], TAGS),
}


def repeated(values):
    """Return each row as often as its weight says."""
    rows = [value for value, times in zip(values, WEIGHTS, strict=True) for _ in range(times)]
    return np.asarray(rows) if isinstance(values, np.ndarray) else rows


def numbers(metrics):
    return {k: v for k, v in metrics.items() if isinstance(v, float)}


@pytest.mark.parametrize("task", CASES)
def test_a_weight_is_how_often_a_row_counts(task):
    outputs, labels, names = CASES[task]
    found = numbers(task_metrics(task, outputs, labels, names, weights=WEIGHTS))
    expected = numbers(task_metrics(task, repeated(outputs), repeated(labels), names))
    assert found == pytest.approx(expected, abs=1e-12)
    plain = numbers(task_metrics(task, outputs, labels, names))
    felt = [name for name in found if found[name] != pytest.approx(plain[name], abs=1e-6)]
    assert len(felt) >= len(found) - 1, "the weights matter, where two shares are not equal by chance"


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_thresholds_are_those_of_the_repeated_rows(task):
    outputs, labels, _ = CASES[task]
    if task == "single-label":
        outputs, labels = np.stack([1 - SIMPLEX[:, 0], SIMPLEX[:, 0]], 1), (labels == 0).astype(int)
    found = tune_thresholds(task, outputs, labels, WEIGHTS)
    assert found == pytest.approx(tune_thresholds(task, repeated(outputs), repeated(labels)), abs=1e-12)


def test_the_weights_choose_the_epoch_and_windows_carry_their_share():
    """Two windows of half a text's weight each are one text; the loss is the weighted mean over the windows."""
    logits = RNG.normal(size=(6, 2))
    labels, owners = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 3])
    weights = np.array([1.5, 1.5, 0.25, 0.25, 1.0, 2.0])
    scores = Validation("single-label", ("a", "b"), "accuracy", owners, weights=weights)
    found = scores(SimpleNamespace(predictions=logits, label_ids=labels))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    texts = np.array([p[owners == owner].mean(0) for owner in range(4)])
    right = texts.argmax(1) == [0, 1, 0, 1]
    assert found["accuracy"] == pytest.approx(np.average(right, weights=[3.0, 0.5, 1.0, 2.0]), abs=1e-12)
    assert found["loss"] == pytest.approx(log_loss(labels, p, sample_weight=weights), abs=1e-9)


@pytest.mark.parametrize("weights", [[1.0], [0.0] * N, [np.inf] * N])
def test_weights_that_do_not_fit_are_a_mistake_of_the_caller(weights):
    with pytest.raises(ValueError, match="30 finite numbers above 0"):
        task_metrics("regression", *CASES["regression"][:2], weights=weights)
