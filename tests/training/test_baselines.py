"""Simple models answer in the form of the task's classifier, and their penalty is chosen on rows they did not see."""

import datasets
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from toughen.training.baselines import GRID, fit_linear, majority, row_losses, word_features


def blobs(rows=120, width=6, classes=3, seed=0):
    """Features [rows, width] whose first coordinates say the class, and the classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    x = rng.normal(size=(rows, width))
    x[np.arange(rows), y] += 3.0
    return x, y


def test_logistic_regression_is_scikit_learns_on_standardised_features():
    x, y = blobs()
    fitted = fit_linear("single-label", x, y, 3, (0.1,), seed=0)
    z = (x - x.mean(0)) / x.std(0)
    want = LogisticRegression(C=0.1, max_iter=200, tol=1e-3).fit(z, y).predict_proba(z)
    np.testing.assert_allclose(fitted.outputs(x), want, atol=1e-12)


def test_the_losses_are_of_rows_that_the_model_did_not_see():
    """Features that are noise are learnt by heart: loss on them falls below chance, and on unseen rows it does not."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 200)), np.arange(40) % 2
    fitted = fit_linear("single-label", x, y, 2, (1.0,), seed=0)
    assert row_losses("single-label", fitted.outputs(x), y).mean() < 0.1
    assert fitted.losses.shape == (40,)
    assert fitted.losses.mean() > np.log(2)


def test_the_penalty_is_the_best_of_the_grid_on_unseen_rows():
    x, y = blobs(rows=60, width=60)
    fitted = fit_linear("single-label", x, y, 3, GRID, seed=0)
    each = {c: fit_linear("single-label", x, y, 3, (c,), seed=0).losses.mean() for c in GRID}
    assert fitted.strength == min(each, key=each.get)
    assert len(set(each.values())) > 1


def test_a_number_is_ridge_regression():
    x, _ = blobs()
    y = x[:, 0] * 2 + 1
    fitted = fit_linear("regression", x, y, 1, (0.01,), seed=0)
    z = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(fitted.outputs(x), Ridge(alpha=100).fit(z, y).predict(z))


def test_several_labels_are_one_model_each_and_one_that_is_always_there_has_probability_one():
    x, y = blobs()
    labels = np.stack([y == 0, y == 1, np.ones(len(y))], axis=1).astype(float)
    outputs = fit_linear("multi-label", x, labels, 3, GRID, seed=0).outputs(x)
    assert outputs.shape == labels.shape
    assert (outputs[:, 2] == 1).all()
    assert ((outputs[:, :2] > 0.5) == (labels[:, :2] > 0.5)).mean() > 0.9


@pytest.mark.parametrize("y", [np.zeros(5, np.int64), np.array([0, 0, 0, 1])], ids=["one class", "one row of a class"])
def test_too_few_rows_to_divide_still_give_an_answer(y):
    fitted = fit_linear("single-label", np.random.default_rng(0).normal(size=(len(y), 3)), y, 3, GRID, seed=0)
    assert fitted.losses.size == 0
    outputs = fitted.outputs(np.zeros((2, 3)))
    assert outputs.shape == (2, 3)
    assert (outputs[:, 2] == 0).all()  # a class without a row
    np.testing.assert_allclose(outputs.sum(1), 1)


def test_the_majority_answers_with_the_rates():
    np.testing.assert_allclose(majority("single-label", np.array([0, 0, 1]), 2, 3), [[2 / 3, 1 / 3, 0]] * 2)
    np.testing.assert_allclose(majority("multi-label", np.array([[1.0, 0], [1, 1]]), 1, 2), [[1, 0.5]])
    np.testing.assert_allclose(majority("regression", np.array([1.0, 3]), 2, 1), [2, 2])


def rows(**columns):
    return datasets.Dataset.from_dict(columns)


def test_words_of_a_script_without_spaces_are_characters():
    """Each text is one "word" to a tokenizer by spaces, and no word recurs; characters do."""
    train = rows(text=["这部电影很好看", "那本书真难看", "饭菜好吃极了", "房间又脏又小"])
    x, (unseen,) = word_features(train, [rows(text=["电影好看"])])
    assert (x @ unseen.T).toarray()[0, 0] > (x @ unseen.T).toarray()[3, 0] == 0


def test_a_pair_knows_which_words_both_texts_have():
    """Labels are whether both texts are about the same word: no sum over the two texts' words could tell."""
    words = ["red", "blue", "green", "black"]
    pairs = [(a, b) for a in words for b in words]
    train = rows(text=[a for a, _ in pairs], text_pair=[b for _, b in pairs])
    same = np.array([int(a == b) for a, b in pairs])
    x, _ = word_features(train, [])
    fitted = fit_linear("single-label", x, same, 2, (1000.0,), seed=0)
    assert (fitted.outputs(x).argmax(1) == same).all()
