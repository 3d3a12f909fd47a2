"""The filters of slices: a tiny grammar, read without running anything."""

import pytest

from toughen.assess.filters import Filter, Term, parse
from toughen.errors import InputError


@pytest.mark.parametrize(
    ("asked", "name", "terms"),
    [
        ("long: length > 200", "long", [("length", ">", "200")]),
        ("mentions: text contains not", "mentions", [("text", "contains", "not")]),
        ("a: text not  contains x and label = b c", "a", [("text", "not contains", "x"), ("label", "=", "b c")]),
        ('b: "my column" == "x and y" and length<=3', "b", [("my column", "=", "x and y"), ("length", "<=", "3")]),
        ("stars != 3", "stars != 3", [("stars", "!=", "3")]),
    ],
)  # fmt: skip
def test_filters_are_read(asked, name, terms):
    assert parse(asked) == Filter(name, tuple(Term(*term) for term in terms))


def test_what_is_no_filter_is_a_column():
    assert parse("source") == "source"
    assert parse("a > b", ["a > b"]) == "a > b"


@pytest.mark.parametrize("asked", ["long: length", ": length > 3", "x: __import__('os')", "x: length > 3 and", "x:"])
def test_what_cannot_be_read_is_refused(asked):
    with pytest.raises(InputError, match="is no filter; write NAME: FIELD"):
        parse(asked)
    with pytest.raises(InputError, match="given nothing"):
        parse(" ")


@pytest.mark.parametrize(
    ("term", "values", "holds"),
    [
        (Term("length", ">", "2"), [1, 2, 3, None], [False, False, True, False]),
        (Term("length", "<=", "2"), [1, 2, "3"], [True, True, False]),
        (Term("stars", "=", "3"), [3, 3.0, "3", 4, None], [True, True, True, False, False]),
        (Term("label", "!=", "Good"), ["good", "bad"], [False, True]),
        (Term("label", "=", "calm"), [["glad", "calm"], []], [True, False]),
        (Term("flag", "=", "true"), [True, False], [True, False]),
        (Term("text", "contains", "not"), ["Not bad", "nothing", "it is not"], [True, False, True]),
        (Term("text", "not contains", "not"), ["Not bad", "nothing"], [False, True]),
        (Term("text", "contains", "不"), ["我不知道", "好"], [True, False]),
        (Term("text", "contains", "(a+"), ["x (a+ y", "aa"], [True, False]),
        (Term("text", "contains", "film room"), [["the", "film", "room"], ["film"]], [True, False]),
    ],
)
def test_comparisons(term, values, holds):
    assert term.mask(values).tolist() == holds


def test_words_are_not_compared_by_size():
    with pytest.raises(InputError, match="label > 3 compares numbers, but the data have 'good'"):
        Term("label", ">", "3").mask(["good"])
    with pytest.raises(InputError, match="but it is compared with 'x'"):
        Term("length", ">", "x").mask([3])
