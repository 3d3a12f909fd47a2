"""Files of texts, answered for every task: columns, formats, pairs and words, and what can be read back."""

import json
from types import SimpleNamespace

import pytest

from read_back import read_back
from toughen.bulk.predict import predict_file
from toughen.errors import InputError

PROBABILITIES = {"calm": 0.7, "glad": 0.6, "sad": 0.1}
FORMATS = [".csv", ".tsv", ".jsonl", ".json", ".parquet"]
LISTS = FORMATS[2:]


class Model:
    """Answers every text alike and notes what it was asked; its classifier tells what it is."""

    def __init__(self, answer, **classifier):
        self.answer, self.asked = answer, None
        if classifier:
            self.classifier = SimpleNamespace(**classifier)

    def predict(self, texts):
        self.asked = list(texts)
        return [self.answer(text) for text in texts]


def single(_):
    return {"label": "calm", "score": 0.7, "probabilities": PROBABILITIES}


def multi(text):
    return {"labels": [] if "nothing" in text else ["calm", "glad"], "probabilities": PROBABILITIES}


def tagged(words):
    words = words.split() if isinstance(words, str) else list(words)
    return {"words": words, "tags": ["B-PER", *["O"] * (len(words) - 1)], "entities": []}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_multi_label_names_its_labels(suffix, tmp_path):
    source, output = write(tmp_path / "in.jsonl", [{"text": "one"}, {"text": "nothing"}]), tmp_path / f"out{suffix}"
    assert predict_file(Model(multi, task="multi-label", pairs=False), source, output) == 2
    rows = read_back(output)
    assert list(rows[0]) == ["text", "labels", "probability_calm", "probability_glad", "probability_sad"]
    several, none = (["calm", "glad"], []) if suffix in LISTS else ("calm|glad", "")
    assert [row["labels"] for row in rows] == [several, none]
    assert float(rows[1]["probability_glad"]) == 0.6


@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_that_are_all_empty_are_written_too(suffix, tmp_path):
    source, output = write(tmp_path / "in.jsonl", [{"text": "nothing"}]), tmp_path / f"out{suffix}"
    predict_file(Model(multi), source, output)
    assert read_back(output)[0]["labels"] == ([] if suffix in LISTS else "")


def test_regression_writes_a_score(tmp_path):
    source, output = write(tmp_path / "in.jsonl", [{"text": "one"}, {"text": "two"}]), tmp_path / "out.csv"
    predict_file(Model(lambda text: {"score": len(text) / 4}, task="regression"), source, output)
    assert read_back(output) == [{"text": "one", "score": "0.75"}, {"text": "two", "score": "0.75"}]


@pytest.mark.parametrize("suffix", FORMATS)
def test_words_keep_their_tags(suffix, tmp_path):
    rows = [{"tokens": ["Ann", "left"]}, {"tokens": ["Bo"]}]
    source, output = write(tmp_path / "in.jsonl", rows), tmp_path / f"out{suffix}"
    model = Model(tagged, task="tokens")
    predict_file(model, source, output)
    assert [list(words) for words in model.asked] == [["Ann", "left"], ["Bo"]]
    expected = [
        {"tokens": ["Ann", "left"], "tags": ["B-PER", "O"]},
        {"tokens": ["Bo"], "tags": ["B-PER"]},
    ]
    if suffix not in LISTS:
        expected = [{name: " ".join(value) for name, value in row.items()} for row in expected]
    assert read_back(output) == expected


def test_texts_to_be_tagged_are_divided_at_white_space(tmp_path):
    (tmp_path / "in.csv").write_text("id,text\n1,Ann  left\n2,Bo\n")
    predict_file(Model(tagged, task="tokens"), tmp_path / "in.csv", tmp_path / "out.csv")
    assert [row["text"] for row in read_back(tmp_path / "out.csv")] == ["Ann left", "Bo"]


PAIR = {"text": "a question", "text_pair": "an answer"}


@pytest.mark.parametrize(
    ("row", "pairs", "named", "asked"),
    [
        (PAIR, True, {}, ("a question", "an answer")),
        (PAIR, None, {}, ("a question", "an answer")),
        (PAIR, False, {}, "a question"),
        (PAIR, None, {"text": "text"}, "a question"),
        ({"premise": "p q", "hypothesis": "h i"}, True, {}, ("p q", "h i")),
        ({"text": "a b", "other": "c d"}, None, {"text_pair": "other"}, ("a b", "c d")),
    ],
)
def test_pairs_are_told_by_the_model_or_by_name(row, pairs, named, asked, tmp_path):
    model = Model(single, task="single-label", pairs=pairs)
    output = tmp_path / "out.jsonl"
    predict_file(model, write(tmp_path / "in.jsonl", [row]), output, **named)
    assert model.asked == [asked]
    written = read_back(output)[0]
    assert written == {
        **row,
        "label": "calm",
        "score": 0.7,
        **{f"probability_{name}": p for name, p in PROBABILITIES.items()},
    }


MANY = [
    {"id": 7, "review": "fine", "label": "good", "price": 2.5, "parts": ["a b", 1], "none": None},
    {"id": 8, "review": "bad", "label": "bad", "price": None, "parts": [], "none": None},
]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_column_of_the_source_is_kept_and_a_name_of_an_answer_given_way(suffix, tmp_path):
    rows = [row | {"parts": [str(part) for part in row["parts"]]} for row in MANY]
    output = tmp_path / f"out{suffix}"
    predict_file(Model(single), write(tmp_path / "in.jsonl", rows), output)
    found = read_back(output)
    assert list(found[0])[:8] == ["id", "review", "input_label", "price", "parts", "none", "label", "score"]
    assert [str(row["id"]) for row in found] == ["7", "8"]
    assert [row["input_label"] for row in found] == ["good", "bad"]
    if suffix in LISTS:
        assert [(row["price"], row["parts"], row["none"]) for row in found] == [
            (2.5, ["a b", "1"], None),
            (None, [], None),
        ]
    else:
        assert [(row["price"], row["parts"], row["none"]) for row in found] == [
            ("2.5", '["a b", "1"]', ""),
            ("", "[]", ""),
        ]


def test_the_columns_of_training_are_read_without_being_named(tmp_path):
    """Two columns of text: the one that the model was trained on is its text; where it lacks, the names tell."""
    known = {"text": "body", "text_pair": None, "label": ["stars"]}
    model = Model(single, task="single-label", pairs=False, columns=known)
    source = write(tmp_path / "in.jsonl", [{"title": "one title", "body": "one body", "text": "neither"}])
    predict_file(model, source, tmp_path / "out.jsonl")
    assert model.asked == ["one body"]
    predict_file(model, source, tmp_path / "out.jsonl", text="title")
    assert model.asked == ["one title"], "what is named goes first"
    predict_file(model, write(tmp_path / "in.jsonl", [{"text": "another layout"}]), tmp_path / "out.jsonl")
    assert model.asked == ["another layout"]


def test_a_kept_column_that_changes_its_type_is_refused_before_any_work(tmp_path):
    rows = [{"text": f"text {i}", "size": i} for i in range(10_000)] + [{"text": "last", "size": "large"}]
    model = Model(single)
    with pytest.raises(InputError, match=r"column 'size' of .* holds int64 in its first rows, and string"):
        predict_file(model, write(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet")
    assert model.asked is None


def test_a_model_of_pairs_refuses_a_file_of_single_texts(tmp_path):
    source = write(tmp_path / "in.jsonl", [{"text": "alone"}])
    with pytest.raises(InputError, match="has no second text"):
        predict_file(Model(single, task="single-label", pairs=True), source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_label_that_holds_the_separator_is_refused_where_there_are_no_lists(tmp_path):
    source = write(tmp_path / "in.jsonl", [{"text": "one"}])
    model = Model(lambda _: {"labels": ["a|b"], "probabilities": {"a|b": 0.9}})
    with pytest.raises(InputError, match=r"'a\|b' in column labels holds '\|'"):
        predict_file(model, source, tmp_path / "out.csv")
    predict_file(model, source, tmp_path / "out.jsonl")
    assert read_back(tmp_path / "out.jsonl")[0]["labels"] == ["a|b"]
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


# ---------------------------------------------------------------- rows without a text, numbers, encodings


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("blank", [None, "", " \t"])
def test_a_row_without_a_text_has_null_for_an_answer(suffix, blank, tmp_path):
    source = write(tmp_path / "in.jsonl", [{"text": "one"}, {"text": blank}, {"text": "two"}])
    output, model = tmp_path / f"out{suffix}", Model(single)
    with pytest.warns(UserWarning, match=r"1 row has no text in .*in.jsonl \(the first is row 2\)"):
        assert predict_file(model, source, output) == 3
    assert model.asked == ["one", "two"]
    rows = read_back(output)
    assert [row["label"] for row in rows] == (["calm", None, "calm"] if suffix in LISTS else ["calm", "", "calm"])
    assert [row["score"] in (None, "") for row in rows] == [False, True, False]
    assert list(rows[1]) == list(rows[0])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_blank_texts_has_every_column(suffix, tmp_path):
    source, output = write(tmp_path / "in.jsonl", [{"text": ""}, {"text": None}]), tmp_path / f"out{suffix}"
    with pytest.warns(UserWarning, match="2 rows have no text"):
        assert predict_file(Model(single), source, output) == 2
    assert list(read_back(output)[0])[:2] == ["text", "label"]


@pytest.mark.parametrize("task", ["tokens", "pairs", "multi-label"])
def test_every_task_has_null_answers(task, tmp_path):
    rows = {
        "tokens": [{"tokens": ["a", "b"]}, {"tokens": []}],
        "pairs": [{"text": "a", "text_pair": "b"}, {"text": "a", "text_pair": None}],
        "multi-label": [{"text": "a"}, {"text": " "}],
    }[task]
    answer = {"tokens": tagged, "pairs": single, "multi-label": multi}[task]
    model = Model(answer, task=task if task != "pairs" else "single-label", pairs=task == "pairs")
    with pytest.warns(UserWarning, match="row 2"):
        assert predict_file(model, write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl") == 2
    name = {"tokens": "tags", "pairs": "label", "multi-label": "labels"}[task]
    assert [row[name] is None for row in read_back(tmp_path / "out.jsonl")] == [False, True]


@pytest.mark.parametrize(("kind", "content"), [("csv", "text\n12345\n6.50\n"), ("jsonl", None)])
def test_numbers_are_texts_as_they_are_written(kind, content, tmp_path):
    source = tmp_path / f"in.{kind}"
    source.write_text(content) if content else write(source, [{"text": 12345}, {"text": 7}])
    model = Model(single)
    assert predict_file(model, source, tmp_path / "out.jsonl") == 2
    assert model.asked == (["12345", "6.50"] if content else ["12345", "7"])


def test_separators_and_lines_are_those_of_training(tmp_path):
    (tmp_path / "in.csv").write_text("id;text\n1;fine\n2;bad\n")
    model = Model(single)
    assert predict_file(model, tmp_path / "in.csv", tmp_path / "out.jsonl") == 2
    assert model.asked == ["fine", "bad"]
    (tmp_path / "in.txt").write_bytes("\ufeffa\u2028b\r\nc\x85d\re\x0cf".encode())
    assert predict_file(model, tmp_path / "in.txt", tmp_path / "out.jsonl") == 3
    assert model.asked == ["a\u2028b", "c\x85d", "e\x0cf"]
