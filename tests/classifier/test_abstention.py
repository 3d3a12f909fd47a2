"""What joins an answer where abstention was fitted: a threshold holds from its own value on, sets are by likelihood."""

import numpy as np
import pytest

from toughen.classifier.abstention import Abstention
from toughen.classifier.answers import answers

NAMES = ("a", "b", "c")
ROWS = np.array([[0.2, 0.5, 0.3], [0.8, 0.15, 0.05], [0.34, 0.33, 0.33]])


def test_answers_keep_their_label_and_say_that_they_are_not_given():
    fitted = Abstention(threshold=0.5, set_threshold=0.3)
    plain = answers("single-label", {}, ROWS, NAMES, None)
    told = answers("single-label", {}, ROWS, NAMES, None, fitted)
    assert [one["abstained"] for one in told] == [False, False, True]
    assert [one["label_set"] for one in told] == [["b", "c"], ["a"], ["a", "b", "c"]]
    assert [{name: one[name] for name in plain[0]} for one in told] == plain


@pytest.mark.parametrize(
    ("fitted", "keys"),
    [(Abstention(threshold=0.4), {"abstained"}), (Abstention(set_threshold=0.9), {"label_set"})],
)
def test_only_what_was_fitted_is_told(fitted, keys):
    (told,) = answers("single-label", {}, ROWS[:1], NAMES, None, fitted)
    assert set(told) == {"label", "score", "probabilities"} | keys
    assert told.get("label_set", []) == []


def test_of_two_classes_the_tuned_answer_is_compared():
    (told,) = answers("single-label", {}, np.array([[0.6, 0.4]]), NAMES[:2], [0.3], Abstention(threshold=0.5))
    assert (told["label"], told["abstained"]) == ("b", True)


def test_a_note_is_read_back():
    fitted = Abstention(0.7, 0.05, 0.9, 0.1 + 0.2, 0.95)
    assert Abstention.noted({"abstention": fitted.note()}) == fitted
    assert Abstention.noted({}) is None
