"""What docs/combine.md says is true: its commands run, its table of files and its refusals are the real ones."""

import json
import re
import shlex
from pathlib import Path

import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv
from toughen import InputError, Run
from toughen.cli import main
from toughen.runs.members import HOWS

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

PAGE = Path(__file__).parents[2] / "docs/combine.md"


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Run every command of the page, in its order, in a folder where all that it names is there on a small scale."""
    desk = tmp_path_factory.mktemp("desk")
    save_tiny_model(desk / "roberta-base")
    rows = reviews(150, 0)
    (desk / "reviews").mkdir()
    for name, part in {"train": rows[:30], "validation": rows[30:50], "test": rows[50:70]}.items():
        write_csv(desk / "reviews" / f"{name}.csv", part)
    write_csv(desk / "shop.csv", rows[70:90])
    write_csv(desk / "more.csv", rows[90:120])
    (desk / "texts.csv").write_text("text\n" + "\n".join(text for text, _ in rows[120:]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        for block in re.findall(r"<!-- runnable -->\n```bash\n(.*?)```", PAGE.read_text(), re.S):
            for line in block.splitlines():
                quick = " --training.epochs 1" if " train " in line else ""
                assert main(shlex.split(line + quick)[1:]) == 0, line
    return desk


def test_the_commands_of_the_page_run_and_leave_what_it_says(tried):
    table = PAGE.read_text()
    for name in ("mean", "weighted", "soup", "drawn-back", "stacked", "stacked-too", "student", "second-student"):
        run = Run.open(tried / "runs" / name)
        content = json.loads((run.path / "combination.json").read_text())
        several = content["how"] in ("mean-probabilities", "weights", "stack")
        assert (run.path / "model").exists() != several
        assert (run.path / "member-1").exists() == several
        files = {path.name for path in run.path.iterdir()} - {"checkpoints", "tensorboard", "evaluations"}
        own = {file for file in files if not file.startswith("member-")}
        assert {file for file in own if f"`{file}`" not in table and f"`{file}/`" not in table} == set()
        assert "test" in run.metrics
    assert Run.open(tried / "runs/second-student").recipe.training.epochs == 2


def test_every_way_has_a_row():
    assert re.findall(r"^\| `([a-z][a-z-]*)` \|", PAGE.read_text(), re.M)[: len(HOWS)] == list(HOWS)


def test_refusals_are_quoted_word_for_word(tried, monkeypatch):
    monkeypatch.chdir(tried)
    one, two, new = "runs/one", "runs/two", {"output": "runs/new", "quiet": True}
    cases = {
        "one run": lambda: toughen.combine([one], how="vote", **new),
        "a run twice": lambda: toughen.combine([one, one], **new),
        "stack on validation": lambda: toughen.combine([one, two], how="stack", **new),
        "setting of a student": lambda: toughen.combine([one, two], how="vote", model="x", **new),
        "soup of folds": lambda: toughen.combine(["runs/folds-a", "runs/folds-b"], how="uniform-soup", **new),
        "output taken": lambda: toughen.combine([one, two], output="runs/mean", quiet=True),
    }
    text = PAGE.read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text[text.index("| what is wrong") :], re.M)
    told = dict(rows[2:] if rows[1][0].startswith("-") else rows[1:])
    assert set(told) == set(cases)
    for name, call in cases.items():
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == told[name]
