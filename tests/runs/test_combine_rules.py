"""Combining outputs: every rule equals its closed form on hand-made probabilities."""

import numpy as np
import pytest

from toughen.combining.fitting import fit_stack, fit_weights
from toughen.runs.rules import Rule, Stacker, features, mean_logits, softmax, vote

A = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
B = np.array([[0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
C = np.array([[0.2, 0.8], [0.45, 0.55], [0.1, 0.9]])


def test_the_mean_of_probabilities():
    found = Rule("mean-probabilities").apply("single-label", [A, B])
    np.testing.assert_allclose(found, [[0.75, 0.25], [0.55, 0.45], [0.25, 0.75]])


def test_the_mean_of_logits_is_the_softmax_of_the_mean_logit_and_not_the_mean_of_probabilities():
    logits = np.random.default_rng(0).normal(size=(3, 5, 4))
    found = Rule("mean-logits").apply("single-label", [softmax(one) for one in logits])
    np.testing.assert_allclose(found, softmax(logits.mean(axis=0)))
    assert not np.allclose(found, np.mean([softmax(one) for one in logits], axis=0), atol=1e-3)


def test_the_mean_of_logits_of_several_labels_and_of_numbers():
    logits = np.random.default_rng(1).normal(size=(2, 6, 3))
    found = mean_logits("multi-label", 1 / (1 + np.exp(-logits)))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits.mean(axis=0))))
    np.testing.assert_allclose(mean_logits("regression", np.array([[1.0, 2.0], [3.0, 6.0]])), [2.0, 4.0])


def test_a_certain_member_leaves_the_mean_of_logits_finite():
    found = mean_logits("single-label", np.array([[[1.0, 0.0]], [[0.5, 0.5]]]))
    assert np.isfinite(found).all()
    assert found[0, 0] > 0.999


def test_a_vote_is_won_by_the_majority_whatever_the_probabilities():
    """Two weak votes for class 1 beat one certain vote for class 0, which the mean would follow."""
    sure, weak = np.array([[0.99, 0.01]]), np.array([[0.45, 0.55]])
    found = vote("single-label", np.stack([sure, weak, weak]), [None] * 3)
    assert found.argmax() == 1
    assert np.mean([sure, weak, weak], axis=0).argmax() == 0
    np.testing.assert_allclose(found, [[(1 + 0.63) / 4, (2 + 0.37) / 4]])


@pytest.mark.parametrize(("p", "winner"), [(0.9, 0), (0.6, 1)])
def test_a_tie_is_decided_by_the_mean_probability(p, winner):
    found = vote("single-label", np.array([[[p, 1 - p]], [[0.3, 0.7]]]), [None] * 2)
    assert found.argmax() == winner
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_member_votes_by_its_own_threshold():
    outputs = np.array([[[0.4, 0.6]], [[0.3, 0.7]], [[0.9, 0.1]]])
    assert vote("single-label", outputs, [None] * 3).argmax() == 1
    assert vote("single-label", outputs, [(0.65,), None, None]).argmax() == 0


def test_votes_on_several_labels_are_counted_label_by_label():
    outputs = np.array([[[0.9, 0.6, 0.2]], [[0.8, 0.4, 0.1]], [[0.1, 0.7, 0.9]], [[0.2, 0.1, 0.4]]])
    found = vote("multi-label", outputs, [None] * 4) >= 0.5
    # 2 of 4 with mean 0.5; 2 of 4 with mean 0.45; 1 of 4.
    assert found.tolist() == [[True, False, False]]


def test_every_rule_takes_tokens_text_by_text():
    words = [[A, B[:1]], [B, C[:1]]]
    for rule in (Rule("mean-probabilities"), Rule("mean-logits"), Rule("vote"), Rule("weights", weights=(0.25, 0.75))):
        found = rule.apply("tokens", words)
        assert [len(one) for one in found] == [3, 1], rule.how
    np.testing.assert_allclose(found[1], 0.25 * B[:1] + 0.75 * C[:1])


def test_weights_reach_the_minimum_of_the_log_loss_that_a_grid_finds():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 300)
    clean = np.eye(2)[labels]
    members = [softmax(clean * scale + rng.normal(size=(300, 2))) for scale in (2.0, 1.0, 0.0)]
    weights = np.array(fit_weights("single-label", members, labels))
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)

    def loss(w):
        return -np.log(sum(share * one[np.arange(300), labels] for share, one in zip(w, members, strict=True))).mean()

    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 41) for b in np.linspace(0, 1 - a, 41)]
    assert loss(weights) <= min(map(loss, grid)) + 1e-7
    assert loss(weights) < loss([1 / 3] * 3) - 1e-3, "canary: equal weights are worse here"


def test_a_member_that_knows_nothing_gets_no_weight_and_equal_members_share():
    labels = np.array([0, 1] * 50)
    good = np.where(np.eye(2)[labels] == 1, 0.9, 0.1)
    weights = fit_weights("single-label", [good, np.full((100, 2), 0.5)], labels)
    np.testing.assert_allclose(weights, [1, 0], atol=1e-6)
    np.testing.assert_allclose(fit_weights("single-label", [good, good], labels), [0.5, 0.5])


def test_weights_of_numbers_minimise_the_squared_error():
    truth = np.linspace(0, 5, 50)
    found = fit_weights("regression", [truth + 1, truth - 3], truth)
    np.testing.assert_allclose(found, [0.75, 0.25], atol=1e-6)


def test_a_stacker_answers_as_the_regression_that_was_fitted():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    for classes in (2, 3):
        labels = rng.integers(0, classes, 200)
        members = [softmax(np.eye(classes)[labels] * s + rng.normal(size=(200, classes))) for s in (2.0, 0.5)]
        stacker = fit_stack(members, labels)
        inner = LogisticRegression(C=1.0, max_iter=2000).fit(features(members), labels)
        np.testing.assert_allclose(stacker.apply(members), inner.predict_proba(features(members)), atol=1e-9)


def test_a_stacker_of_identity_repeats_a_member():
    """Coefficients 1 on the first member's features and 0 on the second's give back the first member."""
    stacker = Stacker(((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)), (0.0, 0.0))
    np.testing.assert_allclose(stacker.apply([A, B]), A)


def test_a_class_without_rows_cannot_be_stacked():
    with pytest.raises(ValueError, match="every class"):
        fit_stack([A, B], [0, 0, 0])
