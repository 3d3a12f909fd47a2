"""A check tells every kind of thing at once, with rows and the flag that mends it; clean data pass."""

from __future__ import annotations

import json
import re

import pytest

from toughen.cli import main
from toughen.data import Data, load_splits
from toughen.data.check import check
from toughen.data.columns.spelling import find_alike
from toughen.data.divide.overlap import word_counts
from toughen.data.splits import load_labelled
from toughen.errors import InputError, count


def lines(count=60):
    return [f"{'fine' if i % 2 else 'poor'} film number {i},{'pos' if i % 2 else 'neg'}" for i in range(count)]


def messy(folder):
    """Write a table with one of everything."""
    rows = lines()
    wrong = {3: "a,b,c", 5: ",pos", 9: "no label,", 12: "shouted,POS", 20: "Poor Film, number 0!,x"}
    for place, row in wrong.items():
        rows.insert(place, row)
    rows[24] = '"Poor film, number 0!",neg'
    rows += ["fine film number 1,neg", "fine film number 3,pos", "电影很好看,pos", "odd,N/A", "odder,N/A"]
    (folder / "train.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "test.csv").write_text("text,label\nfine film number 5,pos\nFINE film number 7,pos\nnew one,neg\n")
    return str(folder)


WANTED = {
    "2 rows cannot be read": True,
    "1 row without a text": True,
    "1 row without a label": True,
    "one label in 2 spellings: 'pos'": False,
    "looks like a missing value": False,
    "fewer than 10 rows: 'N/A' 2": False,
    "1 text differs from an earlier one in case, punctuation or space": False,
    "1 text of train stands in test but for case": False,
    "texts in several scripts: Latin": False,
    "1 text stands in both train and test": False,
    "repeat an earlier text": False,
    "1 text of train carries more than one label": False,
}


@pytest.mark.parametrize("what", WANTED)
def test_everything_is_told_at_once(what, tmp_path):
    found = check(Data(source=messy(tmp_path)), seed=0)
    told = [problem for problem in found.problems if what in problem.says]
    assert len(told) == 1, [problem.line() for problem in found.problems]
    assert told[0].stops == WANTED[what]
    assert told[0].remedy
    assert found.stops
    assert any(line.startswith("train: ") for line in found.lines)


def test_rows_are_those_of_the_file(tmp_path):
    found = check(Data(source=messy(tmp_path)), seed=0)
    rows = {problem.says.partition(": ")[2].split(";")[0]: problem.rows for problem in found.problems if problem.stops}
    assert rows["2 rows cannot be read"] == (4, 21)
    assert rows["1 row without a text"] == (6,)
    assert rows["1 row without a label"] == (10,)


def test_what_a_check_says_stops_a_training_and_the_flag_mends_it(tmp_path, capsys):
    source = messy(tmp_path)
    assert main(["check", source]) == 2
    assert "--data.bad_rows drop" in capsys.readouterr().out
    assert main(["check", source, "--data.bad_rows", "drop", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"][0]["rows"]


def test_clean_data_have_no_problem(tmp_path, capsys):
    (tmp_path / "data.csv").write_text("text,label\n" + "\n".join(lines()) + "\n")
    found = check(Data(source=str(tmp_path / "data.csv")), seed=0)
    assert found.problems == ()
    assert main(["check", str(tmp_path / "data.csv")]) == 0


@pytest.mark.parametrize("content", [b"text,label\ncaf\xe9,a\n", b"", b"text,label\nfine,a\npoor,a\n"])
def test_what_cannot_be_read_is_one_problem_and_no_traceback(content, tmp_path):
    (tmp_path / "data.csv").write_bytes(content)
    found = check(Data(source=str(tmp_path / "data.csv")), seed=0)
    assert found.stops
    assert len(found.problems) >= 1


def test_what_was_told_of_a_file_is_said_once(tmp_path):
    """One file is the whole and the training rows at once."""
    lines = ["text;label", *(f"text {n};{'ab'[n % 2]}" for n in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    report = check(Data(source=str(tmp_path / "rows.csv")), seed=0)
    assert [line for line in report.lines if "separator" in line] == [f"{tmp_path / 'rows.csv'}: separator semicolon"]


def test_chinese_characters_count_as_words():
    import pyarrow as pa

    texts = ["这部电影，很好看。", "a good film - really", "BERT 模型", "tout est bien"]
    assert word_counts(pa.table({"text": texts})).tolist() == [7, 5, 3, 3]


def refusal(source, **fields):
    with pytest.raises(InputError) as caught:
        load_splits(Data(source=source, **fields), seed=0)
    return str(caught.value)


def test_a_training_tells_all_that_stops_it_and_the_command_that_shows_it(tmp_path):
    source = messy(tmp_path)
    with (tmp_path / "test.csv").open("a") as file:
        file.write("never heard of,superb\n,neg\n")
    told = refusal(source, label="label")
    assert told.startswith("The data have 5 problems: (1) ")
    for what in ("2 rows cannot be read", "row 4, 21", "1 row without a text (row 6)", "without a label (row 10)"):
        assert what in told
    assert f"{source}/test.csv: 1 row without a text (row 5)" in told
    assert "label 'superb' is never seen in train" in told
    assert told.endswith(f"toughen check {source} --data.label label shows them, and what is only odd.")
    assert told.count("\n") == 0


def test_a_training_and_a_check_agree_on_what_stops(tmp_path):
    source = messy(tmp_path)
    told = refusal(source)
    for problem in check(Data(source=source), seed=0).problems:
        assert (problem.line() in told) == problem.stops


def test_one_problem_is_told_as_ever(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "\n".join([*lines(), ",pos"]) + "\n")
    told = refusal(str(tmp_path / "data.csv"))
    assert told == f"{tmp_path}/data.csv, row 61: the text is empty; fill it in or remove the row."


def test_all_columns_that_are_missing_are_named(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "\n".join(lines()) + "\n")
    told = refusal(str(tmp_path / "data.csv"), text="body", label="stars", weight="w")
    for what in ("no text column 'body'", "no label column 'stars'", "no weight column 'w'"):
        assert what in told


def test_rows_in_memory_are_refused_with_all_that_is_wrong(tmp_path):
    rows = [{"text": f"film {i}", "label": "ab"[i % 2]} for i in range(20)]
    rows += [{"text": "", "label": "a"}, {"text": "good", "label": None}]
    with pytest.raises(InputError, match=r"2 problems: \(1\) .*without a text.*\(2\) .*without a label") as caught:
        load_splits(Data(), seed=0, data=rows)
    assert "toughen check" not in str(caught.value)


def test_a_label_of_rows_that_are_to_be_mended_counts_as_seen(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join([*lines(), ",rare", "b,"]) + "\n")
    (tmp_path / "test.csv").write_text("text,label\none more,rare\n")
    told = refusal(str(tmp_path))
    assert "2 problems" in told
    assert "rare" not in told


def test_left_out_rows_stop_nothing_but_what_else_is_wrong_does(tmp_path, capsys):
    one_class = [line.replace(",neg", ",pos") for line in lines()]
    (tmp_path / "data.csv").write_text("text,label\n" + "\n".join([*one_class, ",pos"]) + "\n")
    assert main(["check", str(tmp_path / "data.csv"), "--data.bad_rows", "drop"]) == 2
    told = capsys.readouterr().out
    assert "stops a training" in told
    assert "worth knowing" in told
    assert "left out" in told


def test_broken_files_of_a_folder_are_all_named(tmp_path):
    (tmp_path / "train.json").write_text("[{")
    (tmp_path / "test.csv").write_bytes(b"text,label\ncaf\xe9,a\n")
    told = refusal(str(tmp_path))
    assert "train.json" in told
    assert "test.csv" in told


def test_columns_that_are_not_read_are_named(tmp_path, capsys):
    """So that a title taken for the text is seen before anything is trained on it."""
    path = tmp_path / "reviews.csv"
    path.write_text("title,body,stars\n" + "".join(f"t{i},a film of number {i} here,{1 + i % 2}\n" for i in range(40)))
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("nothing wrong and nothing odd was found\n")
    assert "columns: text 'body', label 'stars'; not read: 'title'\n" in out
    narrow = load_splits(Data(source=[(f"a film of number {i}", "ab"[i % 2]) for i in range(40)]), seed=0)
    assert not [note for note in narrow.summary.notes if note.startswith("columns:")]


def spelt(folder, rows=88):
    """Write a table with two labels in four spellings, and one that stands for none."""
    names = ["positive", "negative", "positive", "negative", "Positive", "NEGATIVE", "pos", "neg"]
    table = [f"{'fine' if i % 2 == 0 else 'poor'} film number {i},{names[i % 8]}" for i in range(rows)]
    source = folder / "spelt.csv"
    source.write_text("\n".join(["text,label", *table, "odd,N/A", "odder,n/a"]) + "\n")
    return str(source)


RENAMED = "pos=positive,neg=negative,N/A="


def test_spellings_that_differ_in_more_than_case_are_renamed(tmp_path):
    source = spelt(tmp_path)
    told = {problem.says: problem.remedy for problem in check(Data(source=source), seed=0).problems}
    assert told["labels that may be one: 'neg' and 'negative', 'pos' and 'positive'"].endswith(
        "--data.rename_labels neg=negative,pos=positive"
    )
    missing = next(remedy for says, remedy in told.items() if "looks like a missing value" in says)
    assert "--data.rename_labels N/A= --data.bad_rows drop" in missing

    splits = load_splits(Data(source=source, rename_labels=RENAMED, bad_rows="drop"), seed=0)
    assert splits.label_names == ("negative", "positive")
    assert len(splits.train) + len(splits.validation) == 88
    assert check(Data(source=source, rename_labels=RENAMED, bad_rows="drop"), seed=0).stops is False


def test_a_label_renamed_to_nothing_is_a_missing_one(tmp_path):
    found = check(Data(source=spelt(tmp_path), rename_labels=RENAMED), seed=0)
    assert ["2 rows without a label" in problem.says for problem in found.problems if problem.stops] == [True]


def test_what_is_scored_later_is_renamed_as_in_training(tmp_path):
    source = spelt(tmp_path)
    splits = load_splits(Data(source=source, rename_labels=RENAMED, bad_rows="drop"), seed=0)
    (tmp_path / "more.csv").write_text("text,label\nfine,pos\npoor,Neg\n")
    names = splits.label_names
    scored = load_labelled(str(tmp_path / "more.csv"), label_names=names, known=splits.columns)
    assert scored["label"] == [1, 0]
    with pytest.raises(InputError, match="label 'pos' in column 'label' is unknown to the model"):
        load_labelled(str(tmp_path / "more.csv"), label_names=names)


@pytest.mark.parametrize(
    ("renames", "told"),
    [
        ("poz=positive", "renames 'poz', which is no label of"),
        ("pos", "must be OLD=NEW,... with each OLD once, but 'pos' is not OLD=NEW"),
        ("pos=positive,POS=negative", "'POS' is named twice"),
        (" ", "must be null or a name, not empty"),
    ],
)
def test_a_rename_that_does_nothing_is_refused(renames, told, tmp_path):
    with pytest.raises(InputError, match=re.escape(told)):
        load_splits(Data(source=spelt(tmp_path), rename_labels=renames), seed=0)


def test_only_one_class_per_text_is_renamed(tmp_path):
    (tmp_path / "numbers.csv").write_text("text,label\n" + "".join(f"text {i},{i / 7}\n" for i in range(40)))
    with pytest.raises(InputError, match=r"data\.rename_labels 'a=b' is for one class per text"):
        load_splits(Data(source=str(tmp_path / "numbers.csv"), rename_labels="a=b"), seed=0)


def test_numbers_and_unlike_words_are_no_spellings_of_another():
    assert find_alike(["1", "10", "100", "-1", "good", "bad", "no", "not sure"]) == {}
    assert find_alike(["not helpful", "Not-Helpful", "helpful"]) == {"Not-Helpful": "not helpful"}


def test_where_the_label_is_unclear_all_else_is_looked_at(tmp_path):
    rows = [line + f",{i % 5 + 1}" for i, line in enumerate(lines())]
    source = tmp_path / "two.csv"
    source.write_text("\n".join(["text,sentiment,stars", *rows, ",pos,1", "odd,,2"]) + "\n")
    found = check(Data(source=str(source)), seed=0)
    stops = [problem.line() for problem in found.problems if problem.stops]
    assert "('sentiment', 'stars'); choose with --data.label: what else is told takes 'sentiment'" in stops[0]
    assert "1 row without a text (row 61)" in stops[1]
    assert "1 row without a label (row 62)" in stops[2]
    assert any(line.startswith("train: ") for line in found.lines)
    told = refusal(str(source))
    assert "The data have 3 problems" in told
    assert "choose with --data.label" in told


@pytest.mark.parametrize("letter", ["é", "e"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_few_rows_that_are_not_utf8_are_damaged_rows(kind, letter, tmp_path):
    """Another encoding is named where no other row has letters that it would spoil."""

    def row(text, label):
        mark = {"csv": ",", "tsv": "\t"}.get(kind)
        return json.dumps({"text": text, "label": label}, ensure_ascii=False) if mark is None else text + mark + label

    rows = [row(f"{'fine' if i % 2 else 'poor'} film number {i} {letter}", "ba"[i % 2]).encode() for i in range(60)]
    rows.insert(7, row("a caf\udce9", "a").encode("utf-8", "surrogateescape"))
    source = tmp_path / f"data.{kind}"
    source.write_bytes(b"\n".join([*([] if kind == "jsonl" else [row("text", "label").encode()]), *rows, b""]))
    with pytest.raises(InputError, match=r"\(row 8\): invalid UTF-8.*--data\.bad_rows drop"):
        load_splits(Data(source=str(source)), seed=0)
    problem = next(problem for problem in check(Data(source=str(source)), seed=0).problems if problem.stops)
    assert problem.rows == (8,)
    assert problem.remedy == "--data.encoding latin-1, or " * (letter == "e") + "--data.bad_rows drop"
    splits = load_splits(Data(source=str(source), bad_rows="drop"), seed=0)
    assert sorted([*splits.train["row"], *splits.validation["row"]]) == [i for i in range(61) if i != 7]
    assert all("�" not in text for text in [*splits.train["text"], *splits.validation["text"]])


def test_a_file_in_another_encoding_is_not_dropped_row_by_row(tmp_path):
    source = tmp_path / "data.csv"
    source.write_bytes("\n".join(["text,label", *(f"café {i},{'ab'[i % 2]}" for i in range(40))]).encode("latin-1"))
    with pytest.raises(InputError, match=r"--data\.encoding latin-1"):
        load_splits(Data(source=str(source), bad_rows="drop"), seed=0)


def test_one_and_many_agree_with_their_verbs():
    assert count(1, "row") == "1 row"
    assert count(2_000, "row") == "2,000 rows"
    assert [count(n, "class has", "classes have") for n in (1, 2)] == ["1 class has", "2 classes have"]


def test_a_split_in_which_every_row_is_bad_is_not_called_empty(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text,label\n" + "".join(f"film {i},\n" for i in range(6)))
    with pytest.raises(InputError, match="the label in column 'label' is null"):
        load_splits(Data(source=str(path), label="label"), seed=0)
    found = [problem.line() for problem in check(Data(source=str(path), label="label"), seed=0).problems]
    assert len(found) == 1, found
    assert "6 rows without a label" in found[0]
