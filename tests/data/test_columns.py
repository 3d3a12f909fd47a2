"""Columns are found by name first and by content second, and with them the task; what is named goes before both."""

from __future__ import annotations

import pyarrow as pa
import pytest

from toughen.data.columns.roles import choose
from toughen.data.config import Data
from toughen.data.read.raw import Raw
from toughen.errors import InputError

TEXTS = ["one film", "two films", "three films", "four films"]
CLASSES = ["a", "b", "a", "b"]


def split(typed=True, **columns):
    return Raw(pa.table(columns), "data", typed=typed)


def find_columns(raw, text, label):
    """Return the names of the text and the label column."""
    columns, _ = choose(raw, Data(text=text, label=label))
    return columns.text, *columns.label


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"text": TEXTS, "label": CLASSES}, ("text", "label")),
        ({"Review": TEXTS, "Sentiment": CLASSES}, ("Review", "Sentiment")),
        ({"text": TEXTS, "label": [0, 1, 0, 1], "id": TEXTS, "rating": [1, 9, 1, 9]}, ("text", "label")),
        ({"text": TEXTS, "comment": TEXTS, "stars": [1, 2, 1, 2]}, ("text", "stars")),
        ({"remark": TEXTS, "mood": CLASSES}, ("remark", "mood")),
        ({"remark": TEXTS, "mood": [1, 0, 1, 0], "id": [1, 2, 3, 4]}, ("remark", "mood")),
        ({"remark": TEXTS, "mood": [True, False, True, False]}, ("remark", "mood")),
        ({"": [0, 1, 2, 3], "body": TEXTS, "target": CLASSES}, ("body", "target")),
    ],
)
def test_found(columns, found):
    assert find_columns(split(**columns), None, None) == found


def test_found_where_numbers_are_written_as_text():
    untyped = split(False, id=["1", "2", "3", "4"], remark=TEXTS, mood=["0", "1", "0", "1"])
    assert find_columns(untyped, None, None) == ("remark", "mood")


def test_a_named_column_goes_before_a_usual_name():
    columns = split(text=TEXTS, title=TEXTS, label=CLASSES, fine=CLASSES)
    assert find_columns(columns, "title", "fine") == ("title", "fine")
    assert find_columns(columns, "title", None) == ("title", "label")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"text_a": TEXTS, "comment_b": TEXTS, "label": CLASSES}, "the text .'text_a', 'comment_b'"),
        ({"sentence": TEXTS, "review": TEXTS, "label": CLASSES}, "the text .'sentence', 'review'"),
        ({"text": TEXTS, "mood": CLASSES, "tone": CLASSES}, "the label .'mood', 'tone'"),
        ({"text": TEXTS, "id": [1, 2, 3, 4]}, "no label column"),
        ({"value": [0.1, 0.2, 0.3, 0.4], "label": CLASSES}, "no text column"),
    ],
)
def test_none_or_several_are_refused_with_the_columns_listed(columns, says):
    with pytest.raises(InputError, match=says):
        find_columns(split(**columns), None, None)


WORDS = [["a", "film"], ["two"], ["three", "good", "films"], ["four"]]
TAGS = [["O", "B"], ["O"], ["O", "O", "B"], ["B"]]
FLAGS = {"toxic": [0, 1, 0, 1], "rude": [1, 0, 0, 0]}


@pytest.mark.parametrize(
    ("columns", "named", "task"),
    [
        ({"text": TEXTS, "label": CLASSES}, {}, "single-label"),
        ({"text": TEXTS, "label": [0, 1, 0, 1]}, {}, "single-label"),
        ({"text": TEXTS, "label": [0.0, 1.0, 0.0, 1.0]}, {}, "single-label"),
        ({"text": TEXTS, "label": [0.0, 1.5, 0.0, None]}, {}, "regression"),
        ({"text": TEXTS, "label": ["joy,awe", "joy", "awe", "joy|awe"]}, {}, "single-label"),
        ({"text": TEXTS, "label": ["0.5", "1.5", "0.5", "1.5"]}, {}, "single-label"),
        ({"text": TEXTS, "labels": [["joy"], [], ["joy", "awe"], ["awe"]]}, {}, "multi-label"),
        ({"text": TEXTS, "labels": [[0], [], [0, 2], [1]]}, {}, "multi-label"),
        ({"text": TEXTS, "labels": [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]}, {}, "multi-label"),
        ({"text": TEXTS, "marks": [[0], [], [0, 2], [1]]}, {}, "multi-label"),
        ({"text": TEXTS, **FLAGS}, {"label": "toxic,rude"}, "multi-label"),
        ({"text": TEXTS, **FLAGS}, {"label": "toxic"}, "single-label"),
        ({"text": TEXTS, **FLAGS}, {"task": "multi-label"}, "multi-label"),
        ({"text": TEXTS, "label": [1, 2, 3, 1]}, {"task": "regression"}, "regression"),
        ({"text": TEXTS, "measure": [1.5, 2.0, 3.0, 1.0]}, {"task": "regression"}, "regression"),
        ({"tokens": WORDS, "tags": TAGS}, {}, "tokens"),
        ({"text": WORDS, "labels": TAGS}, {}, "tokens"),
        ({"id": ["1", "2", "3", "4"], "tokens": WORDS, "pos_tags": TAGS, "ner_tags": TAGS}, {}, "tokens"),
        ({"w": WORDS, "t": TAGS}, {"text": "w"}, "tokens"),
        ({"w": WORDS, "tags": TAGS}, {"task": "tokens"}, "tokens"),
        ({"sentence": TEXTS, "tokens": WORDS, "labels": [["x"], [], ["y"], ["x"]]}, {}, "multi-label"),
    ],
)
def test_the_task_is_told_from_the_columns_or_named(columns, named, task):
    assert choose(split(**columns), Data(**named))[1] == task


def test_decimals_are_told_where_numbers_are_written_as_text():
    rated = split(False, text=TEXTS, label=["1", "2.5", "", "nan"])
    whole = split(False, text=TEXTS, label=["1", "2.0", "", "nan"])
    assert [choose(raw, Data())[1] for raw in (rated, whole)] == ["regression", "single-label"]


@pytest.mark.parametrize(
    ("columns", "named", "found"),
    [
        ({"text_a": TEXTS, "text_b": TEXTS, "label": CLASSES}, {}, ("text_a", "text_b")),
        ({"Sentence1": TEXTS, "Sentence2": TEXTS, "label": CLASSES}, {}, ("Sentence1", "Sentence2")),
        ({"premise": ["a", "a", "b", "b"], "hypothesis": TEXTS, "label": CLASSES}, {}, ("premise", "hypothesis")),
        ({"question": TEXTS, "sentence": TEXTS, "label": CLASSES}, {}, ("question", "sentence")),
        ({"text": TEXTS, "text_pair": TEXTS, "label": CLASSES}, {}, ("text", "text_pair")),
        ({"hypothesis": TEXTS, "label": CLASSES}, {}, ("hypothesis", None)),
        ({"text": TEXTS, "text_b": TEXTS, "label": CLASSES}, {}, ("text", None)),
        ({"text": TEXTS, "text_a": TEXTS, "text_b": TEXTS, "label": CLASSES}, {}, ("text", None)),
        ({"question1": TEXTS, "question2": TEXTS, "label": CLASSES}, {"text": "question1"}, ("question1", None)),
        ({"title": TEXTS, "body": TEXTS, "label": CLASSES}, {"text_pair": "title"}, ("body", "title")),
        ({"s1": TEXTS, "s2": TEXTS, "label": CLASSES}, {"text_pair": "s2"}, ("s1", "s2")),
        ({"a": TEXTS, "b": TEXTS, "label": CLASSES}, {"text": "b", "text_pair": "a"}, ("b", "a")),
        ({"text1": TEXTS, "text2": [1.5, 2.0, 1.0, 0.0], "label": CLASSES}, {}, ("text1", None)),
    ],
)
def test_a_second_text_is_found_beside_its_partner_only(columns, named, found):
    chosen, _ = choose(split(**columns), Data(**named))
    assert (chosen.text, chosen.pair) == found


def test_a_group_is_neither_text_nor_label():
    raw = split(remark=TEXTS, mood=CLASSES, user=["u", "u", "v", "v"])
    with pytest.raises(InputError, match="'mood', 'user'"):
        choose(raw, Data())
    chosen, _ = choose(raw, Data(group="user"))
    assert (chosen.text, chosen.label, chosen.group) == ("remark", ("mood",), "user")
