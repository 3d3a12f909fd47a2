"""The text and the label column are found by name first and by content second."""

from __future__ import annotations

import pyarrow as pa
import pytest

from toughen.data.columns import find_columns
from toughen.data.raw import Raw
from toughen.errors import InputError

TEXTS = ["one film", "two films", "three films", "four films"]
CLASSES = ["a", "b", "a", "b"]


def split(typed=True, **columns):
    return Raw(pa.table(columns), "data", typed=typed)


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
        ({"text_a": TEXTS, "text_b": TEXTS, "label": CLASSES}, "the text .'text_a', 'text_b'"),
        ({"sentence": TEXTS, "review": TEXTS, "label": CLASSES}, "the text .'sentence', 'review'"),
        ({"text": TEXTS, "mood": CLASSES, "tone": CLASSES}, "the label .'mood', 'tone'"),
        ({"text": TEXTS, "id": [1, 2, 3, 4]}, "no label column"),
        ({"value": [0.1, 0.2, 0.3, 0.4], "label": CLASSES}, "no text column"),
    ],
)
def test_none_or_several_are_refused_with_the_columns_listed(columns, says):
    with pytest.raises(InputError, match=says):
        find_columns(split(**columns), None, None)
