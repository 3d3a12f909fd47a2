"""A check tells every kind of thing at once, with rows and the flag that mends it; clean data pass."""

from __future__ import annotations

import json

import pytest

from toughen.cli import main
from toughen.data import Data
from toughen.data.check import check
from toughen.data.divide.overlap import word_counts


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
    "1 rows without a text": True,
    "1 rows without a label": True,
    "one label in 2 spellings: 'pos'": False,
    "looks like a missing value": False,
    "fewer than 10 rows: 'N/A' 2": False,
    "differ from an earlier one in case, punctuation or space": False,
    "stand in test but for case": False,
    "texts in several scripts: Latin": False,
    "1 texts stand in both train and test": False,
    "repeat an earlier text": False,
    "1 texts of train carry more than one label": False,
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
    assert rows["1 rows without a text"] == (6,)
    assert rows["1 rows without a label"] == (10,)


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


def test_chinese_characters_count_as_words():
    import pyarrow as pa

    texts = ["这部电影，很好看。", "a good film - really", "BERT 模型", "tout est bien"]
    assert word_counts(pa.table({"text": texts})).tolist() == [7, 5, 3, 3]
