"""What docs/folds.md says is true: its commands run and leave what it promises, its refusals are the real ones."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv
from toughen import InputError, Run
from toughen.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

PAGE = Path(__file__).parents[1] / "docs/folds.md"


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Run every command of the page, in its order, in a folder where all that it names is there on a small scale."""
    desk = tmp_path_factory.mktemp("desk")
    save_tiny_model(desk / "roberta-base")
    write_csv(desk / "reviews.csv", reviews(50, 0))
    write_csv(desk / "shop.csv", reviews(10, 1))
    pd.DataFrame({"text": [text for text, _ in reviews(20, 2)]}).to_csv(desk / "texts.csv", index=False)
    rows = pd.DataFrame(reviews(40, 3), columns=["text", "label"])
    rows.assign(author=[f"author {i // 4}" for i in range(40)]).to_csv(desk / "threads.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        for block in re.findall(r"<!-- runnable -->\n```bash\n(.*?)```", PAGE.read_text(), re.S):
            for line in block.splitlines():
                # Fewer folds for speed; and a random model of width 32 is never sure of anything after a few steps.
                shorter = line.replace("--folds 5", "--folds 2").replace("0.9", "0.5001")
                assert main(shlex.split(shorter)[1:]) == 0, line
    return desk


def test_the_commands_of_the_page_run_and_leave_what_it_says(tried):
    table = PAGE.read_text()
    for name in ("folds", "competition", "grouped", "teacher", "student"):
        run = Run.open(tried / "runs" / name)
        for path in run.path.iterdir():
            assert f"`{path.name}`" in table or path.name.startswith("fold-")
        assert {f"`{key}`" for key in run.metrics} <= set(re.findall(r"`\w+`", table))
    assert len(pd.read_csv(tried / "runs/competition/submission.csv")) == 20
    assert not (tried / "runs/folds/submission.csv").exists(), "without a test split there is nothing to submit"
    assert Run.open(tried / "runs/student").metrics["pseudo_labels"]["folds"][1]["kept"] > 0


def test_refusals_are_quoted_word_for_word(tried, monkeypatch):
    monkeypatch.chdir(tried)
    common = {
        "model": "roberta-base",
        "recipe": "plain",
        "quiet": True,
        "output": "runs/new",
        "unlabelled": "texts.csv",
    }
    alone = toughen.train(
        "reviews.csv", **common | {"output": "runs/alone", "unlabelled": None}, training={"max_steps": 1}
    )
    taught = {"pseudo_label": "runs/teacher"}
    calls = {
        "one fold": {"folds": 1},
        "submission without folds": {"submit": "texts.csv"},
        "confidence without teacher": {"min_confidence": 0.8},
        "teacher without texts": {**taught, "unlabelled": None},
        "confidence too low": {**taught, "min_confidence": 0.5},
        "another number of folds": {**taught, "folds": 3},
        "teacher has seen the rows": {"pseudo_label": alone.path},
    }
    quoted = dict(re.findall(r"^\| (.+?) \| (.+) \|$", PAGE.read_text().partition("## What is refused")[2], re.M))
    assert set(quoted) == {*calls, "what is wrong"}
    for case, given in calls.items():
        with pytest.raises(InputError) as caught:
            toughen.train("reviews.csv", **common | given)
        assert str(caught.value) == quoted[case]
