"""A behavioural suite is read, refused with its place, and its failures are those that the definitions say."""

import pytest

from toughen.assess.suite.evaluate_suite import evaluate_suite
from toughen.assess.suite.suite_file import SHIPPED, load_suite
from toughen.errors import InputError

HEAD = "tests:\n"
MFT = "  - {name: praise, kind: minimum-functionality, expect: positive, cases: [good film]}\n"


class Lexicon:
    """Answers by the share of good words among good and bad ones, so that every failure is known."""

    task, pairs = "single-label", None

    def __init__(self, names=("negative", "positive")):
        self.label_names = names
        self.asked = []

    @property
    def classifier(self):
        return self

    def predict(self, texts):
        self.asked += texts
        return [self._answer(" ".join(text) if isinstance(text, tuple) else text) for text in texts]

    def _answer(self, text):
        good, bad = text.count("good"), text.count("bad")
        p = (good + 1) / (good + bad + 2)
        probabilities = dict(zip(self.label_names, (1 - p, p), strict=True))
        return {"label": self.label_names[int(p > 0.5)], "probabilities": probabilities}


def suite(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def results(tmp_path, text, **given):
    found = evaluate_suite(Lexicon(), suite(tmp_path, HEAD + text), run=tmp_path, **given)
    return {test["name"]: test for test in found["tests"]}


def test_minimum_functionality_fails_where_the_answer_is_not_expected(tmp_path):
    cases = "[good film, bad film, not good]"
    found = results(tmp_path, f"  - {{name: a, kind: minimum-functionality, expect: negative, cases: {cases}}}\n")["a"]
    assert (found["cases"], found["failures"]) == (3, 2)
    assert found["failure_rate"] == pytest.approx(2 / 3)
    assert found["interval"] == pytest.approx((0.09430, 0.99160), abs=1e-4)  # R: binom.test(2, 3)
    assert [case["texts"] for case in found["failing"]] == [["good film"], ["not good"]]
    assert found["failing"][0]["probabilities"] == [pytest.approx(2 / 3)]


def test_invariance_fails_once_per_case_by_the_change_that_moves_most(tmp_path):
    cases = "[[good, GOOD, bad bad], [good, good x], [bad, good bad bad]]"
    found = results(tmp_path, f"  - {{name: a, kind: invariance, cases: {cases}}}\n")["a"]
    assert (found["cases"], found["failures"]) == (3, 1)
    (case,) = found["failing"]
    assert case["texts"] == ["good", "bad bad"]
    assert case["label"] == "positive"
    assert case["probabilities"] == pytest.approx([2 / 3, 1 / 4])


def test_an_invariance_with_tolerance_forgives_an_answer_that_hardly_moves(tmp_path):
    cases = "[[good good bad, good bad], [good, bad]]"  # .6 to .5, and 2/3 to 1/3
    text = "  - {{name: a, kind: invariance, tolerance: {}, cases: {}}}\n"
    assert results(tmp_path, text.format(0, cases))["a"]["failures"] == 2
    assert results(tmp_path, text.format(0.2, cases))["a"]["failures"] == 1


@pytest.mark.parametrize(("direction", "failing"), [("up", ["good", "bad"]), ("down", ["bad", "good"])])
def test_a_direction_fails_where_the_probability_moves_the_wrong_way(tmp_path, direction, failing):
    cases = "[[good, bad], [bad, good], [good good good bad, good good good bad bad]]"  # the last by 2/3 - 4/7 < .1
    rest = f"label: positive, direction: {direction}, cases: {cases}"
    found = results(tmp_path, f"  - {{name: a, kind: direction, {rest}}}\n")["a"]
    assert [case["texts"] for case in found["failing"]] == [failing]
    strict = results(tmp_path, f"  - {{name: a, kind: direction, tolerance: 0, {rest}}}\n")["a"]
    assert strict["failures"] == (2 if direction == "up" else 1)


def test_templates_are_filled_in_and_every_text_is_asked_once(tmp_path):
    model = Lexicon()
    text = """
  - name: a
    kind: minimum-functionality
    expect: positive
    fill: {thing: [film, book], how: [good, very good], unused: [x, y]}
    cases: ["{how} {thing}", "a {thing} with {thing}"]
  - name: b
    kind: invariance
    vary: who
    fill: {who: [Anna, Wei], how: [good, bad]}
    cases: ["{who}: {how}"]
  - name: c
    kind: invariance
    cases: [["good film", "a {literal} brace"]]
"""
    found = evaluate_suite(model, suite(tmp_path, HEAD + text), run=tmp_path)
    by_name = {test.name: test.cases for test in load_suite(tmp_path / "mine.yaml").tests}
    assert len(by_name["a"]) == 6
    assert ("a book with book",) in by_name["a"]
    assert by_name["b"] == (("Anna: good", "Wei: good"), ("Anna: bad", "Wei: bad"))
    assert sorted(model.asked) == sorted(set(model.asked))
    assert found["n"] == len(model.asked) == 6 + 4 + 1


def test_pairs_of_texts_are_asked_as_pairs(tmp_path):
    model = Lexicon()
    case = "{text: 'good {x}', text_pair: 'bad {x}'}"
    text = f"  - {{name: a, kind: minimum-functionality, expect: negative, fill: {{x: [film]}}, cases: [{case}]}}\n"
    found = evaluate_suite(model, suite(tmp_path, HEAD + text), run=tmp_path)
    assert model.asked == [("good film", "bad film")]
    assert found["tests"][0]["failures"] == 0


REFUSED = {
    "no mapping": ("- a\n", "must be a mapping with the key tests, got a list"),
    "not YAML": ("tests: [\n", "line 2: not valid YAML"),
    "unknown key": (HEAD + MFT + "test: []\n", "test is not known here; there are description, labels, tests"),
    "no tests": ("tests: []\n", "tests must be a list of at least one test"),
    "test no mapping": (HEAD + "  - praise\n", "test 1: must be a mapping with name, kind and cases, got a text"),
    "unknown key of a test": (HEAD + "  - {name: a, texts: []}\n", "test 1: texts is not known here"),
    "no name": (HEAD + "  - {kind: invariance}\n", "test 1: name must be a text, and is missing"),
    "same name": (HEAD + MFT + MFT, "test 2: the name 'praise' is that of an earlier test"),
    "unknown kind": (HEAD + "  - {name: a, kind: mft}\n", "test 1 (a): kind must be minimum-functionality, invariance"),
    "key of another kind": (
        HEAD + "  - {name: a, kind: invariance, expect: x, cases: [[b, c]]}\n",
        "test 1 (a): expect belongs to minimum-functionality, and this test is of invariance",
    ),
    "no expectation": (
        HEAD + "  - {name: a, kind: minimum-functionality, cases: [b]}\n",
        "(a): expect must be a label",
    ),
    "number as label": (
        HEAD + "  - {name: a, kind: minimum-functionality, expect: 1, cases: [b]}\n",
        "expect must be a label or a list of labels, one of which is right (a number in quotes)",
    ),
    "no cases": (HEAD + "  - {name: a, kind: invariance}\n", "test 1 (a): cases must be a list of at least one case"),
    "single text": (
        HEAD + "  - {name: a, kind: invariance, cases: [b]}\n",
        "(a), case 1: must be a list of a text and",
    ),
    "number as text": (
        HEAD + "  - {name: a, kind: invariance, cases: [[b, c], [b, 5]]}\n",
        "test 1 (a), case 2, text 2: must be a text",
    ),
    "blank text": (HEAD + "  - {name: a, kind: invariance, cases: [[b, ' ']]}\n", "case 1, text 2: the text is blank"),
    "slot without values": (
        HEAD + "  - {name: a, kind: invariance, fill: {x: [y]}, cases: [['{x}', '{z}']]}\n",
        "test 1 (a), case 1: {z} is not in fill, which has x",
    ),
    "values that are no list": (
        HEAD + "  - {name: a, kind: invariance, fill: {x: y}, cases: [[b, c]]}\n",
        "fill.x must",
    ),
    "vary without fill": (
        HEAD + "  - {name: a, kind: invariance, vary: x, cases: [b]}\n",
        "vary must name an entry of",
    ),
    "vary not in the text": (
        HEAD + "  - {name: a, kind: invariance, vary: x, fill: {x: [y, z]}, cases: [b]}\n",
        "case 1: {x} is not in the text, and vary names it",
    ),
    "no direction": (
        HEAD + "  - {name: a, kind: direction, label: b, cases: [[b, c]]}\n",
        "direction must be up or down",
    ),
    "tolerance": (
        HEAD + "  - {name: a, kind: invariance, tolerance: 2, cases: [[b, c]]}\n",
        "tolerance must be a probability from 0 to below 1, got 2",
    ),
    "mixed": (
        HEAD + MFT + "  - {name: b, kind: invariance, cases: [[{text: a, text_pair: b}, {text: a, text_pair: c}]]}\n",
        "some texts are pairs and some are not",
    ),
    "labels": (HEAD + MFT + "labels: {positive: pos}\n", "labels.positive must be a list of names"),
    "too many": (
        HEAD
        + "  - {name: a, kind: minimum-functionality, expect: b, cases: ['{a}{b}{c}{d}{e}{f}{g}{h}{i}'], fill: {"
        + ", ".join(f"{slot}: [x, xx, xxx, xxxx]" for slot in "abcdefghi")
        + "}}\n",
        "test 1 (a), case 1: more than 100,000 texts in the suite",
    ),
    "bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcde", "bcdef", strict=True)),
        "more than 100,000 values, too many for a suite",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_wrong_is_refused_with_its_place(tmp_path, text, sentence):
    with pytest.raises(InputError, match=r"^--suite .*mine\.yaml") as caught:
        load_suite(suite(tmp_path, text))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused_with_the_names_that_are(tmp_path):
    with pytest.raises(InputError, match="no such file, and the suites that come with toughen are sentiment-en"):
        load_suite(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="no such file"):
        load_suite(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("tests: é".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 at byte 7"):
        load_suite(tmp_path / "latin.yaml")


def test_labels_are_found_by_their_other_names_or_by_what_is_told(tmp_path):
    path = suite(tmp_path, HEAD + MFT + 'labels: {positive: [Pos, "1"]}\n')
    for names in (("NEGATIVE", "POSITIVE"), ("neg", "pos"), ("0", "1")):
        assert evaluate_suite(Lexicon(names), path, run=tmp_path)["labels"] == {"positive": names[1]}
    with pytest.raises(InputError, match="the model has no label positive; it has a, b: say which with --suite-label"):
        evaluate_suite(Lexicon(("a", "b")), path, run=tmp_path)
    with pytest.raises(InputError, match="the labels 1 and pos, either of which could be positive"):
        evaluate_suite(Lexicon(("1", "pos")), path, run=tmp_path)
    told = evaluate_suite(Lexicon(("a", "b")), path, names={"positive": "b"}, run=tmp_path)
    assert told["tests"][0]["failures"] == 0
    for names, why in (({"x": "b"}, "speaks of positive"), ({"positive": "x"}, "the model has the labels a, b")):
        with pytest.raises(InputError, match=why):
            evaluate_suite(Lexicon(("a", "b")), path, names=names, run=tmp_path)


def test_one_label_of_the_model_is_not_two_of_the_suite(tmp_path):
    other = MFT.replace("praise", "blame").replace("positive", "negative")
    path = suite(tmp_path, HEAD + MFT + other)
    with pytest.raises(InputError, match="positive and negative are both the model's negative"):
        evaluate_suite(Lexicon(), path, names={"positive": "negative"}, run=tmp_path)


def test_another_task_is_refused(tmp_path):
    model = Lexicon()
    model.task = "regression"
    with pytest.raises(InputError, match="one class per text, and the model's task is regression"):
        evaluate_suite(model, "sentiment-en", run=tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_suites_cover_every_kind_and_both_labels(name):
    read = load_suite(name)
    assert {test.kind for test in read.tests} == {"minimum-functionality", "invariance", "direction"}
    assert {label for test in read.tests for label in test.expect} == {"positive", "negative"} == set(read.labels)
    assert all(test.capability for test in read.tests)
    assert all("{" not in text for test in read.tests for case in test.cases for text in case)
    assert all(len(set(case)) == len(case) for test in read.tests for case in test.cases)
    assert min(len(test.cases) for test in read.tests) >= 4
