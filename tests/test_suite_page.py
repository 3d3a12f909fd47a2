"""What docs/suite.md says is true: its suite is read, its commands run, and the keys are those that it names."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

import toughen
from test_audit_page import names
from test_tutorials import save_bert
from tiny import write_splits
from toughen.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/suite.md"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    save_bert(folder / "model")
    data = write_splits(folder, train=160, validation=40, test=40)
    settings = {"max_steps": 80, "batch_size": 16, "learning_rate": 3e-3, "max_length": 32}
    toughen.train(
        data,
        model=folder / "model",
        recipe="plain",
        output=folder / "runs/reviews",
        training=settings,
        probe=False,
        quiet=True,
    )
    (mine,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
    (folder / "mine.yaml").write_text(mine)
    (block,) = re.findall(r"<!-- runnable -->\n```bash\n(.*?)```", PAGE.read_text(), re.S)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in block.splitlines():
            assert main(shlex.split(line)[1:]) == 0, line
    return folder


def result(folder):
    return json.loads((folder / "suite.json").read_text())


def test_files_and_keys_are_those_of_the_page(desk):
    quoted = set(re.findall(r"\w+", PAGE.read_text()))
    folder = desk / "runs/reviews/evaluations/suite-mine"
    assert {path.name for path in folder.iterdir()} == {"suite.json", "report.html", "manifest.json"}
    found = result(folder)
    assert names({**found, "answers": None, "sources": None, "labels": None}) <= quoted
    assert {test["name"]: test["cases"] for test in found["tests"]} == {
        "negated praise": 12,
        "names of people": 1,
        "capitals": 1,
        "blame added": 1,
    }
    assert found["tests"][0]["failures"] == 12  # the model knows opinion words, and never read "not"
    report = (folder / "report.html").read_text()
    assert "negated praise" in report
    assert "The film was not good." in report


def test_an_export_answers_as_its_run_and_is_not_written_into(desk):
    run, exported = result(desk / "runs/reviews/evaluations/suite-mine"), result(desk / "exported-suite")
    assert [test["failures"] for test in exported["tests"]] == [test["failures"] for test in run["tests"]]
    assert not (desk / "exported/evaluations").exists()


def test_a_combination_answers_too(desk):
    shutil.copytree(desk / "runs/reviews", desk / "runs/copy")
    toughen.combine([desk / "runs/reviews", desk / "runs/copy"], output=desk / "runs/both", quiet=True)
    found = toughen.Run.open(desk / "runs/both").evaluate_suite(desk / "mine.yaml")
    run = result(desk / "runs/reviews/evaluations/suite-mine")
    assert [test["failures"] for test in found["tests"]] == [test["failures"] for test in run["tests"]]
    assert not (desk / "runs/both/evaluations").exists()


def test_json_holds_what_the_shipped_suite_found(desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    assert main(["evaluate", "runs/reviews", "--suite", "sentiment-en", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["tests"]) == 22
    assert found["labels"] == {"positive": "positive", "negative": "negative"}
    assert sum(found["answers"].values()) == found["n"]


REFUSED = {
    "neither": (["evaluate", "runs/reviews"], "needs --data SOURCE, labelled texts, or --suite FILE|NAME"),
    "both": (
        ["evaluate", "runs/reviews", "--suite", "sentiment-en", "--data", "test.csv"],
        "--data does not go with it",
    ),
    "a question": (
        ["evaluate", "runs/reviews", "--suite", "sentiment-en", "--mistakes", "3"],
        "--mistakes does not go",
    ),
    "label alone": (["evaluate", "runs/reviews", "--data", "test.csv", "--suite-label", "a=b"], "belongs to --suite"),
    "no pair": (
        ["evaluate", "runs/reviews", "--suite", "sentiment-en", "--suite-label", "positive"],
        "--suite-label positive: must be NAME=LABEL",
    ),
    "no run": (["evaluate", "model", "--suite", "sentiment-en"], "model is not a run folder"),
    "export with data": (["evaluate", "exported", "--data", "test.csv"], "exported is not a run folder"),
}


@pytest.mark.parametrize(("command", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_refused(desk, monkeypatch, capsys, command, sentence):
    monkeypatch.chdir(desk)
    assert main(command) == 2
    assert sentence in capsys.readouterr().err
