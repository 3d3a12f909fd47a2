"""`toughen compare` of runs that name several labels, a number, or a tag per word: from training to the report."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from test_run import of_task
from toughen import InputError, Run
from toughen.cli import main
from toughen.compare.comparison import compare
from toughen.files.manifest import seal
from toughen.report.write import write_report

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
TASKS = ("multi-label", "regression", "tokens")
METRICS = {
    "multi-label": ["f1", "f1_micro", "accuracy"],
    "regression": ["pearson", "spearman", "rmse"],
    "tokens": ["f1", "precision", "recall", "accuracy"],
}
CHECKED = {"multi-label": "accuracy", "regression": "rmse", "tokens": "accuracy"}
"""The score that is computed here anew: of whole label sets, of numbers, of words."""
SIZES = {"train": (64, 3), "validation": (16, 6), "test": (48, 8)}
COMMON = "--training.batch_size 8 --training.learning_rate 3e-3 --training.max_length 32 --training.precision fp32"
RUNS = {"learnt": "plain --training.max_steps 24", "begun": "fgm --training.max_steps 2"}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory):
    """{task: folder with data/ and the runs learnt and begun}, trained by the command when first asked for."""
    made = {}

    def of(task):
        if task not in made:
            folder = made[task] = tmp_path_factory.mktemp(task)
            (folder / "data").mkdir()
            for split, (count, seed) in SIZES.items():
                write_lines(folder / "data" / f"{split}.jsonl", of_task(task, count, seed))
            for name, flags in RUNS.items():
                where = ["--model", str(model), "--data", str(folder / "data"), "--output", str(folder / name)]
                assert main(["train", *flags.split(), *COMMON.split(), *where, "--json"]) == 0
        return made[task]

    return of


@pytest.fixture(scope="module", params=TASKS)
def compared(request, trained, tmp_path_factory):
    """(task, folder of the runs, folder of the comparison, its JSON), made by the command on a folder's test split."""
    folder, output = trained(request.param), tmp_path_factory.mktemp("comparison") / "result"
    command = ["compare", str(folder / "begun"), str(folder / "learnt"), "--data", str(folder / "data")]
    asked = ["--metric", CHECKED[request.param], "--samples", "1000", "--output", str(output)]
    assert main([*command, *asked]) == 0
    return request.param, folder, output, json.loads((output / "comparison.json").read_text())


def entry_of(result, metric):
    (entry,) = (entry for entry in result["differences"] if entry["metric"] == metric)
    return entry


def test_each_task_has_its_scores_and_no_test_of_another(compared):
    task, _, output, result = compared
    assert (result["task"], result["n"], result["metric"]) == (task, 48, CHECKED[task])
    assert result["metrics"] == [entry["metric"] for entry in result["differences"]]
    assert (result["metrics"][0], set(result["metrics"])) == (CHECKED[task], set(METRICS[task]))
    assert result["mcnemar"] == [], "McNemar's test is of answers that are right or wrong"
    assert "McNemar" not in (output / "table.md").read_text()
    assert [run["seen_in_training"] for group in result["groups"] for run in group["runs"]] == [0, 0]


def test_the_run_that_learnt_is_the_better_one(compared):
    task, _, _, result = compared
    entry = entry_of(result, CHECKED[task])
    low, high = (-entry["high"], -entry["low"]) if CHECKED[task] == "rmse" else (entry["low"], entry["high"])
    assert 0 < low < high
    assert 2 / 1001 <= entry["p"] == entry["p_holm"] < 0.05
    assert ("lower is better" in entry["sentence"]) == (CHECKED[task] == "rmse")
    assert entry["relative_cost"] == 0.5, "a plain step costs half of one with FGM"


def losses(task, run):
    """Score each text from the answers alone: (points, of how many), or for numbers (squared error, 1)."""
    rows = of_task(task, *SIZES["test"])
    if task == "tokens":
        answers = [answer["tags"] for answer in run.predict([row["words"] for row in rows])]
        return [(sum(map(str.__eq__, row["tags"], tags)), len(tags)) for row, tags in zip(rows, answers, strict=True)]
    answers = run.predict([row["text"] for row in rows])
    if task == "regression":
        return [((row["label"] - answer["score"]) ** 2, 1) for row, answer in zip(rows, answers, strict=True)]
    return [(set(row["label"]) == set(answer["labels"]), 1) for row, answer in zip(rows, answers, strict=True)]


def score(task, points):
    value = points[..., 0].sum(-1) / points[..., 1].sum(-1)
    return np.sqrt(value) if task == "regression" else value


def test_difference_and_interval_are_those_of_a_paired_bootstrap_by_hand(compared):
    task, folder, _, result = compared
    ours, theirs = (np.array(losses(task, Run.open(folder / name)), dtype=float) for name in ("learnt", "begun"))
    drawn = np.random.default_rng(5).integers(0, 48, (4000, 48))
    paired = score(task, ours[drawn]) - score(task, theirs[drawn])

    entry = entry_of(result, CHECKED[task])
    assert entry["mean"] == pytest.approx(score(task, ours) - score(task, theirs), abs=1e-5)
    width = entry["high"] - entry["low"]
    np.testing.assert_allclose([entry["low"], entry["high"]], np.quantile(paired, [0.025, 0.975]), atol=0.15 * width)


def test_a_run_differs_from_another_but_not_from_its_copy(compared, tmp_path):
    _, folder, _, result = compared
    shutil.copytree(folder / "learnt", tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    same = compare([folder / "learnt", tmp_path / "copy"], folder / "data", samples=100)
    found = [(entry["mean"], entry["low"], entry["high"], entry["p"]) for entry in same["differences"]]
    assert found == [(0, 0, 0, 1)] * len(same["metrics"])
    assert all(entry["mean"] != 0 for entry in result["differences"]), "canary"


def test_python_says_what_the_command_says(compared):
    task, folder, _, result = compared
    again = compare([folder / "begun", folder / "learnt"], folder / "data" / "test.jsonl", samples=1000)
    assert again["metric"] == METRICS[task][0], "the task's own, unless asked"
    assert list(again["metrics"]) == METRICS[task]
    assert {e["metric"]: e for e in again["differences"]} == {e["metric"]: e for e in result["differences"]}


def test_the_report_is_written_and_names_every_score(compared):
    from toughen.report.sentences import name_metric

    pytest.importorskip("matplotlib", reason="needs the extra report")
    task, _, output, result = compared
    html = (output / "report.html").read_text()
    assert all(name_metric(metric) in html for metric in result["metrics"])
    assert "McNemar" not in html
    assert f"learnt is better than begun in {name_metric(result['metric'])}" in html
    assert ("Of root mean squared error less is better." in html) == (task == "regression")


def test_a_score_that_no_number_defines_is_said_to_be_undefined(trained, tmp_path):
    """A head without weights says the same number of every text: no correlation, but an error."""
    folder = trained("regression")
    shutil.copytree(folder / "learnt", tmp_path / "flat", ignore=shutil.ignore_patterns("checkpoints"))
    weights = tmp_path / "flat/model/model.safetensors"
    tensors = load_file(weights)
    save_file({k: 0 * v if k == "classifier.weight" else v for k, v in tensors.items()}, weights, {"format": "pt"})
    for sealed in (tmp_path / "flat/model", tmp_path / "flat"):
        seal(sealed)
    runs = [folder / "learnt", tmp_path / "flat"]
    result = compare(runs, folder / "data", samples=100, output=tmp_path / "out")

    assert entry_of(result, "pearson")["sentence"] == "flat against learnt: pearson is undefined on these texts"
    assert entry_of(result, "pearson")["mean"] is None
    assert entry_of(result, "rmse")["mean"] > 0
    pytest.importorskip("matplotlib", reason="needs the extra report")
    write_report(tmp_path / "out")
    assert "flat: not measured" in (tmp_path / "out/report.html").read_text()


def test_a_score_of_another_task_is_refused(trained):
    folder = trained("tokens")
    with pytest.raises(InputError, match=r"--metric must be one of f1, precision, recall, accuracy, .* for tokens"):
        compare([folder / "begun", folder / "learnt"], folder / "data", metric="rmse")
