"""Scores of numbers: hand-computed values, scikit-learn's and scipy's, and the sentence where there is no value."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk

from toughen.assess.metrics import task_metrics
from toughen.assess.regression import regression_metrics


def test_scores_by_hand():
    """Values 1 2 4 against 1 3 3: errors 0 -1 1; deviations -4/3 -1/3 5/3 and -4/3 2/3 2/3."""
    scores = task_metrics("regression", [1.0, 2.0, 4.0], [1, 3, 3], ("score",))
    expected = {
        "pearson": (16 - 2 + 10) / 9 / math.sqrt(42 / 9 * 24 / 9),
        "spearman": (1 + 0 + 0.5) / math.sqrt(2 * 1.5),  # ranks 1 2 3 and 1 2.5 2.5
        "mse": 2 / 3,
        "rmse": math.sqrt(2 / 3),
        "mae": 2 / 3,
        "r2": 1 - 2 / (24 / 9),
        "n": 3,
    }
    assert scores.pop("undefined") == {}
    assert scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 6])
def test_scores_are_the_libraries(decimals):
    rng = np.random.default_rng(0)
    y = rng.normal(3, 1, 200).round(decimals)
    x = (y + rng.normal(size=200)).round(decimals)
    scores = regression_metrics(x, y)
    assert scores["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert scores["spearman"] == pytest.approx(np.corrcoef(scipy.stats.rankdata(x), scipy.stats.rankdata(y))[0, 1])
    assert scores["mse"] == pytest.approx(sk.mean_squared_error(y, x))
    assert scores["rmse"] == pytest.approx(sk.root_mean_squared_error(y, x))
    assert scores["mae"] == pytest.approx(sk.mean_absolute_error(y, x))
    assert scores["r2"] == pytest.approx(sk.r2_score(y, x))


ALL = {"pearson", "spearman", "mse", "rmse", "mae", "r2"}
UNDEFINED = [
    ([2.0, 2.0, 2.0], [1, 2, 3], {"pearson", "spearman"}, "every prediction is 2, and a constant correlates"),
    ([0.1 + 0.2, 0.3, 0.3], [1, 2, 3], {"pearson", "spearman"}, "every prediction is 0.3"),
    ([1.0, 2.0], [3, 3], {"pearson", "spearman", "r2"}, "every label is 3"),
    ([1.0], [3], {"pearson", "spearman", "r2"}, "there is one example"),
    ([], [], ALL, "there are no examples"),
]


@pytest.mark.parametrize(("x", "y", "names", "reason"), UNDEFINED)
def test_undefined_is_none_with_a_sentence_and_the_rest_is_a_number(x, y, names, reason):
    scores = regression_metrics(x, y)
    undefined = scores.pop("undefined")
    assert set(undefined) == names
    assert {name for name, value in scores.items() if value is None} == names
    assert any(reason in sentence for sentence in undefined.values())


def test_almost_constant_predictions_still_correlate():
    """Canary of the rule above: float32's smallest differences are an order, however bad the model."""
    x = np.float32(3) + np.arange(3, dtype=np.float32) * np.float32(1e-6)
    assert regression_metrics(x, [3, 1, 2])["spearman"] == pytest.approx(-0.5)


@pytest.mark.parametrize(("x", "y"), [([[1.0]], [1.0]), ([1.0, 2.0], [1.0]), ([1.0], [math.nan])])
def test_misuse_is_refused(x, y):
    with pytest.raises(ValueError, match=r"shape|finite number"):
        regression_metrics(x, y)


def test_non_finite_values_blame_the_model():
    with pytest.raises(RuntimeError, match="non-finite outputs for 1 of 2 examples"):
        regression_metrics([1.0, math.inf], [1.0, 2.0])
