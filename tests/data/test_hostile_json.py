"""JSON that Python's parser gives up on is refused in a sentence, in every place that reads some."""

import json

import pytest

from toughen.attack.word_lists import read_word_lists
from toughen.data import Data, load_splits
from toughen.data.read.printed import parse_list
from toughen.data.stream import open_stream
from toughen.errors import InputError
from toughen.files import load_json

DEEP = "[" * 100_000 + "]" * 100_000
LONG = "9" * 5000
GOOD = '{"text": "a", "label": 1}\n'


@pytest.mark.parametrize(
    ("before", "value", "says"),
    [
        ("", DEEP, r"data.jsonl, line 1: malformed JSON \(too many brackets in each other"),
        (GOOD, DEEP, r"data.jsonl, line 2: malformed JSON \(too many brackets in each other"),
        ("", LONG, r"data.jsonl, line 1: malformed JSON \(a number of thousands of digits"),
        (GOOD, LONG, r"data.jsonl, row 2: label inf in column 'label' is too large to be told"),  # Arrow reads it
        (GOOD, "9007199254740993.0", r"data.jsonl, row 2: label 9.0072e\+15 in column 'label' is too large to be told"),
    ],
)
def test_lines_are_refused_with_their_place(before, value, says, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(f'{before}{{"text": "b", "label": {value}}}\n{GOOD}')
    with pytest.raises(InputError, match=says):
        load_splits(Data(source=str(path)), seed=0)


def test_a_prediction_refuses_them_too(tmp_path):
    path = tmp_path / "data.jsonl"
    for value in (DEEP, LONG):
        path.write_text(f'{GOOD}{{"text": {value}}}\n')
        with pytest.raises(InputError, match="malformed JSON"):
            list(open_stream(path).pieces(["text"]))


@pytest.mark.parametrize(("value", "says"), [(DEEP, "too many brackets in each other"), (LONG, "thousands of digits")])
def test_a_whole_file_is_refused(value, says, tmp_path):
    path = tmp_path / "data.json"
    path.write_text(f'[{{"text": "b", "label": {value}}}]')
    with pytest.raises(InputError, match=says):
        load_splits(Data(source=str(path)), seed=0)
    path.write_text(f'{{"good": {value}}}')
    with pytest.raises(InputError, match=says):
        read_word_lists(path)


def test_a_printed_list_so_deep_is_a_text():
    assert parse_list(DEEP) is None
    assert parse_list("[1, 2]") == [1, 2]


def test_what_a_hook_refuses_and_what_is_malformed_stay_what_they_are():
    def refuse(pairs):
        raise InputError("twice")

    with pytest.raises(InputError, match="twice"):
        load_json("{}", object_pairs_hook=refuse)
    with pytest.raises(json.JSONDecodeError, match="Expecting value"):
        load_json("[,]")
