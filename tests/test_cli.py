"""The command: what scripts rely on. ``main()`` is called in this process; a few cases start the real one."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

import toughen
from read_back import read_back
from toughen.cli import main
from toughen.errors import InputError
from toughen.recipe import shipped
from toughen.recipe.recipe import dump, load_recipe
from toughen.recipe.shipped import GOALS

METRICS = {"accuracy": 0.75, "f1": 0.8, "roc_auc": None, "n": 4, "undefined": {"roc_auc": "there is one class only"}}


class FakeRun:
    """Stands in for `toughen.Run` and notes how it was called."""

    calls: ClassVar[list[tuple]] = []
    fails: ClassVar[BaseException | None] = None

    def __init__(self, path):
        self.path, self.metrics = Path(path), {"validation": METRICS, "test": METRICS, "train": {"seconds": 1.5}}

    @classmethod
    def open(cls, path):
        cls.calls.append(("open", path))
        return cls(path)

    def evaluate(self, source, **more):
        self.calls.append(("evaluate", source, more))
        print("noise on stdout")
        return dict.fromkeys(("data", *more["also"]), METRICS) if more["also"] else METRICS

    def predict(self, texts):
        self.calls.append(("predict", list(texts)))
        return [
            {"label": "good", "score": 0.1 + 0.2, "probabilities": {"bad": 1 - (0.1 + 0.2), "good": 0.1 + 0.2}}
            for _ in texts
        ]


def asked(**given) -> dict:
    """Return the arguments of `toughen.train` in a call with nothing but these."""
    options = ("folds", "submit", "id_column", "pseudo_label", "min_confidence")
    return dict.fromkeys(options) | {"resume": False, "overwrite": False} | given


def fake_train(**arguments):
    FakeRun.calls.append(("train", arguments))
    print("noise on stdout")
    if FakeRun.fails is not None:
        raise FakeRun.fails
    return FakeRun(arguments["output"])


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.setitem(vars(toughen), "Run", FakeRun)
    monkeypatch.setitem(vars(toughen), "train", fake_train)
    monkeypatch.setattr("toughen.runs.finished.FinishedRun", FakeRun)
    monkeypatch.setattr(FakeRun, "calls", [])
    monkeypatch.setattr(FakeRun, "fails", None)
    return FakeRun.calls


def trained(calls) -> dict:
    assert [name for name, *_ in calls] == ["train"]
    return calls[0][1]


def refused(capsys, *argv: str) -> str:
    """Return the one sentence of a call that must fail with status 2 and print nothing else."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


# ---------------------------------------------------------------- train


def test_train_passes_the_recipe_and_its_changes_on(calls, tmp_path, capsys):
    flags = ["--model", "m", "--data", "d.csv", "--adversary.steps", "5", "--adversary.radius=0.5", "--average", "none"]
    assert main(["train", "full-stack", *flags, "--seed", "7", "--unlabelled", "u.txt", "--output", str(tmp_path)]) == 0
    overrides = {"model": "m", "data": "d.csv", "adversary.steps": 5, "adversary.radius": 0.5, "average": None}
    expected = load_recipe("full-stack", {**overrides, "training.seed": 7, "data.unlabelled": "u.txt"})
    assert trained(calls) == asked(recipe=expected, output=tmp_path)
    out = capsys.readouterr().out
    assert "0.8000" in out
    assert "roc_auc is undefined: there is one class only" in out


def test_the_recipe_is_the_default_unless_named(calls, tmp_path):
    common = ["--data", "d.csv", "--output", str(tmp_path)]
    for named in ([], ["plain"], ["--recipe", "plain"], ["plain", "--recipe=plain"]):
        calls.clear()
        assert main(["train", *named, *common]) == 0
        assert trained(calls)["recipe"] == load_recipe("plain" if named else "accuracy", {"data": "d.csv"})


@pytest.mark.parametrize("goal", GOALS)
def test_a_goal_is_the_recipe_of_that_name(calls, goal, tmp_path):
    assert main(["train", "--goal", goal, "--data", "d.csv", "--output", str(tmp_path)]) == 0
    assert trained(calls)["recipe"] == load_recipe(goal, {"data": "d.csv"})


def test_a_goal_is_known_and_named_instead_of_a_recipe(calls, capsys):
    assert main(["train", "--goal", "best"]) == 2
    assert "--goal must be one of accuracy, robust, fast, got 'best'." in capsys.readouterr().err
    assert main(["train", "plain", "--goal", "fast"]) == 2
    assert "Two recipes are named, plain and fast; name one." in capsys.readouterr().err


def test_a_recipe_file_and_flags_after_it(calls, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: rdrop\ndata: a.csv\n")
    assert main(["train", "--objective.alpha", "2", str(path), "--output", "out", "--data.text", "body"]) == 0
    recipe = trained(calls)["recipe"]
    assert (recipe.objective.alpha, recipe.data.source, recipe.data.text) == (2.0, "a.csv", "body")


def test_resume_goes_on_with_the_runs_own_recipe(calls, tmp_path):
    own = load_recipe("plain", {"data": "a.csv", "training.epochs": 9})
    (tmp_path / "recipe.yaml").write_text(dump(own))
    assert main(["train", "--resume", "--output", str(tmp_path)]) == 0
    assert trained(calls) == asked(recipe=own, output=tmp_path, resume=True)


def test_folds_and_a_teacher_are_passed_on(calls, tmp_path):
    flags = [
        "--folds",
        "5",
        "--group",
        "author",
        "--submit",
        "new.csv",
        "--id-column",
        "key",
        "--pseudo-label",
        "r",
        "--min-confidence=0.8",
    ]
    assert main(["train", "plain", "--data", "d", "--output", str(tmp_path), *flags]) == 0
    given = {
        "folds": 5,
        "submit": "new.csv",
        "id_column": "key",
        "pseudo_label": "r",
        "min_confidence": 0.8,
        "output": tmp_path,
    }
    assert trained(calls) == asked(recipe=load_recipe("plain", {"data": "d", "data.group": "author"}), **given)


def test_json_is_the_only_thing_on_stdout(calls, tmp_path, capsys):
    assert main(["train", "--data", "d", "--output", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["test"]["roc_auc"] is None
    assert json.loads(out)["run"] == str(tmp_path)
    assert out.count("\n") == 1
    assert "noise" in err


@pytest.mark.parametrize("name", shipped.NAMES)
def test_print_config_is_the_recipe_itself(name, capsys, tmp_path, calls):
    assert main(["train", name, "--print-config", "--training.epochs", "1"]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "printed.yaml"
    path.write_text(text)
    assert load_recipe(path) == load_recipe(name, {"training.epochs": 1})
    assert calls == []


def test_print_config_as_json(capsys):
    assert main(["train", "plain", "--print-config", "--json"]) == 0
    assert load_recipe(json.loads(capsys.readouterr().out)) == load_recipe("plain")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "toughen train needs --data and --output; see 'toughen train --help'."),
        (["--data", "d"], "toughen train needs --output; see 'toughen train --help'."),
        (["full-stack"], "toughen train needs --output; see 'toughen train --help'."),
        (["plain", "--output", "r"], "toughen train needs --data; see 'toughen train --help'."),
        (["full-stack", "--adversary.step", "5"], "adversary.step: unknown key for pgd; did you mean adversary.steps?"),
        (["--training.epochs", "abc"], "training.epochs must be a number, got 'abc'."),
        (["tough-stack", "--objective.alpha=-1"], "objective.alpha must not be negative, got -1.0."),
        (["tough-stack", "--objective.alpha", "-1"], "objective.alpha must not be negative, got -1.0."),
        (["--modle", "x"], "--modle: unknown option; did you mean --model?"),
        (["--overwrit"], "--overwrit: unknown option; did you mean --overwrite?"),
        (["--adversary.steps"], "--adversary.steps needs a value."),
        (["--adversary.steps", "--json"], "--adversary.steps needs a value."),
        (["plain", "--recipe", "pgd"], "Two recipes are named, plain and pgd; name one."),
        (["plian"], "'plian' is neither a recipe file nor a shipped recipe; did you mean plain?"),
        (["--resume", "--overwrite"], "--resume and --overwrite contradict each other; choose one."),
        (["plain", "pgd"], "toughen train: Got unexpected extra argument"),
        (["--resume=3"], "toughen"),
        (["--folds", "many"], "toughen train: Invalid value for '--folds'"),
    ],
    ids=str,
)
def test_a_wrong_call_of_train_is_one_sentence(argv, expected, capsys, calls):
    assert refused(capsys, "train", *argv).startswith(expected)
    assert calls == []


# ---------------------------------------------------------------- the other verbs


def test_evaluate_scores_every_source(calls, capsys):
    assert main(["evaluate", "run", "--data", "a.csv", "--also", "b=c=d.csv", "--also", "e=f", "--json"]) == 0
    assert calls[0] == ("open", Path("run"))
    assert calls[1][:2] == ("evaluate", "a.csv")
    assert calls[1][2]["also"] == {"b": "c=d.csv", "e": "f"}
    assert json.loads(capsys.readouterr().out) == {"data": METRICS, "b": METRICS, "e": METRICS}


def test_evaluate_prints_a_column_per_source(capsys):
    assert main(["evaluate", "run", "--data", "a.csv"]) == 0
    assert main(["evaluate", "run", "--data", "a.csv", "--also", "typos=b.csv"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"metric data", "f1 0.8000", "metric data typos", "f1 0.8000 0.8000", "roc_auc - -"} <= set(lines)


def test_one_process_of_several_speaks(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert main(["train", "--data", "d", "--output", str(tmp_path), "--json"]) == 0
    assert capsys.readouterr().out == ""


def test_evaluate_passes_columns_on(calls):
    assert (
        main(
            ["evaluate", "run", "--data", "a.csv", "--data.text", "body", "--data.label=stars", "--data.text_pair", "b"]
        )
        == 0
    )
    given = {"also": {}, "text": "body", "label": "stars", "text_pair": "b"}
    assert calls[1][:2] == ("evaluate", "a.csv")
    assert given.items() <= calls[1][2].items()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["evaluate"], "toughen evaluate: Missing argument 'RUN'. See 'toughen evaluate --help'."),
        (["evaluate", "run"], "toughen evaluate needs --data SOURCE, labelled texts, or --suite FILE|NAME"),
        (["attack", "run"], "toughen attack: Missing option '--data'. See 'toughen attack --help'."),
        (["evaluate", "r", "--data", "d", "--also", "x"], "--also x: must be NAME=SOURCE"),
        (["evaluate", "r", "--data", "d", "--also", "x=1", "--also", "x=2"], "--also x=2: the name x is taken"),
        (["trian"], "toughen: No such command 'trian'."),
        (["--vresion"], "toughen: No such option"),
    ],
    ids=str,
)
def test_a_wrong_call_is_one_sentence(argv, expected, capsys):
    assert refused(capsys, *argv).startswith(expected)


def write_texts(path: Path, texts: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "review"], *enumerate(texts)])


TEXTS = ['a "quoted", one', "two\nlines\tand a tab", "été 😀", "  spaces  ", "NA", "returns\rin\r\nit"]


@pytest.fixture
def predict(tmp_path):
    """Return the beginning of a call that has the fake run answer, in this process."""
    (tmp_path / "runs/fake").mkdir(parents=True)
    (tmp_path / "runs/fake/recipe.yaml").touch()
    return ["predict", str(tmp_path / "runs/fake"), "--workers", "1"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_predict_writes_what_toughen_reads(suffix, tmp_path, calls, predict, capsys):
    """Texts survive exactly, row by row, and so do the probabilities."""
    from toughen.data import load_texts

    source, output = tmp_path / "in.csv", tmp_path / f"out{suffix}"
    write_texts(source, TEXTS)
    assert main([*predict, "--input", str(source), "--output", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"output": str(output), "rows": len(TEXTS)}
    asked = calls[-1][1]
    assert [text.strip() for text in asked] == [text.strip() for text in TEXTS]
    assert list(load_texts(str(output), text="review")["text"]) == asked
    rows = read_back(output)
    assert list(rows[0]) == ["id", "review", "label", "score", "probability_bad", "probability_good"]
    assert [row["id"] for row in rows] == [str(number) for number in range(len(TEXTS))]
    assert {(row["label"], float(row["score"]), float(row["probability_bad"])) for row in rows} == {
        ("good", 0.1 + 0.2, 1 - (0.1 + 0.2))
    }
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "in.csv", f"out{suffix}"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("out.xlsx", "cannot write .xlsx; use .csv, .tsv, .jsonl, .json, .parquet."),
        ("out", "cannot write a file without a suffix; use "),
        ("no/out.csv", "does not exist; make it first."),
        ("in.csv", "is the input itself; write the predictions to another file."),
        ("folder.csv", "is a folder; --output must be a file."),
    ],
)
def test_predict_refuses_an_output_before_any_work(name, expected, tmp_path, calls, predict, capsys):
    write_texts(tmp_path / "in.csv", TEXTS)
    (tmp_path / "folder.csv").mkdir()
    argv = [*predict, "--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / name)]
    assert expected in refused(capsys, *argv)
    assert calls == []


def test_a_failed_write_leaves_the_old_file_and_what_is_finished(tmp_path, calls, predict, monkeypatch):
    from toughen.bulk import formats

    def broken(self, parts, target):
        target.write_text("half")
        raise OSError("disk full")

    output = tmp_path / "out.csv"
    output.write_text("old")
    write_texts(tmp_path / "in.csv", TEXTS)
    command = [*predict, "--input", str(tmp_path / "in.csv"), "--output", str(output)]
    with monkeypatch.context() as patch:
        patch.setattr(formats._Text, "join", broken)
        assert main(command) == 3
    assert output.read_text() == "old"
    assert main(command) == 0
    assert len(output.read_text().splitlines()) > len(TEXTS)
    assert [name for name, *_ in calls] == ["open", "predict", "open"], "the model was asked again"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "in.csv", "out.csv"}


def test_recipes_lists_every_recipe_with_its_description(capsys):
    assert main(["recipes"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(name in text and description in text for name, description in shipped.shipped_recipes())
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["recipes"]
    assert [(entry["name"], entry["description"]) for entry in listed] == shipped.shipped_recipes()


# ---------------------------------------------------------------- exit status


@pytest.mark.parametrize(
    ("failure", "status", "sentence"),
    [(InputError("no\nsuch file."), 2, "no such file.\n"), (KeyboardInterrupt(), 130, "interrupted\n")],
)
def test_status_of_a_failure(failure, status, sentence, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(FakeRun, "fails", failure)
    assert main(["train", "--data", "d", "--output", str(tmp_path), "--json"]) == status
    assert capsys.readouterr().err.endswith(sentence)


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), EOFError("a bug"), ValueError("a bug")])
def test_a_bug_keeps_its_traceback(failure, monkeypatch, tmp_path):
    monkeypatch.setattr(FakeRun, "fails", failure)
    with pytest.raises(BaseException, match=r"a bug|^$") as caught:
        main(["train", "--data", "d", "--output", str(tmp_path)])
    assert caught.value is failure or caught.value.__cause__ is failure


def run_command(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "toughen", *argv], capture_output=True, text=True, check=False)


def test_the_real_command_refuses_with_status_2_and_no_traceback():
    done = run_command("train", "full-stack", "--adversary.step", "5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "adversary.step: unknown key for pgd; did you mean adversary.steps?\n"


@pytest.mark.parametrize("argv", [["--help"], ["recipes"], ["--version"], ["evaluate", "--help"]], ids=str)
def test_cheap_commands_import_nothing_heavy(argv):
    heavy = ["torch", "transformers", "datasets", "sklearn", "pandas"]
    call = f"import sys; from toughen.cli import main; status = main({argv})"
    code = f"{call}; print(status, [m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0 []"
