"""`toughen compare`: the same texts for all, seeds grouped, refusals by name."""

import html
import json
import shutil

import numpy as np
import pytest

from tiny import reviews, write_csv
from toughen import InputError, Run
from toughen.assess.intervals import resampled_metrics
from toughen.assess.selection import LESS_IS_BETTER
from toughen.cli import main
from toughen.compare.comparison import compare
from toughen.compare.tables import difference_sentence
from toughen.files.manifest import seal
from toughen.report.write import write_report

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")


@pytest.fixture(scope="module")
def test_file(data):
    return data / "test.csv"


@pytest.fixture(scope="module")
def compared(runs, test_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison") / "result"
    return compare(list(runs.values()), test_file, output=folder, samples=300), folder


def test_seeds_of_one_recipe_are_one_group(compared):
    result, _ = compared
    assert [(g["name"], [run["seed"] for run in g["runs"]]) for g in result["groups"]] == [
        ("plain", [0, 1]),
        ("fgm", [0, 1]),
    ]
    assert result["baseline"] == "plain"
    assert all(d["paired_by_seed"] and d["seeds"] == [2, 2] for d in result["differences"])


def test_scores_are_those_of_evaluate_and_differences_those_of_the_means(compared, runs, test_file):
    result, _ = compared
    scores = {name: Run.open(path).evaluate(test_file) for name, path in runs.items()}
    for metric in ("accuracy", "f1", "roc_auc"):
        means = {r: np.mean([scores[f"{r}-{seed}"][metric] for seed in (0, 1)]) for r in ("plain", "fgm")}
        assert {g["name"]: g["mean"][metric] for g in result["groups"]} == pytest.approx(means)
        (entry,) = (d for d in result["differences"] if d["metric"] == metric)
        assert entry["mean"] == pytest.approx(means["fgm"] - means["plain"])
        assert entry["low"] <= entry["mean"] <= entry["high"]


def test_every_metric_of_evaluate_can_be_compared(runs, test_file):
    """Value by value those of evaluation; each resample is that of the metrics that were there before."""
    evaluated = {
        name: Run.open(runs[name]).evaluate(test_file, details=True, samples=100) for name in ("plain-0", "fgm-0")
    }
    known = {name: one | one["calibration"] for name, one in evaluated.items()}
    metrics = resampled_metrics("single-label", ("negative", "positive"))
    assert {*evaluated["fgm-0"]["intervals"], *evaluated["fgm-0"]["calibration"]["intervals"]} <= set(metrics)
    assert {"mcc", "log_loss", "ece", "aurc"} < set(metrics)
    for metric in metrics:
        result = compare([runs["plain-0"], runs["fgm-0"]], test_file, metric=metric, samples=100)
        entry = result["differences"][0]
        assert (result["metric"], entry["metric"]) == (metric, metric)
        theirs, ours = (known[name][metric] for name in ("plain-0", "fgm-0"))
        assert entry["mean"] == (None if None in (ours, theirs) else pytest.approx(ours - theirs))
        said = entry["mean"] is not None and metric in LESS_IS_BETTER
        assert ("lower is better" in entry["sentence"]) == said


def test_the_class_that_f1_speaks_of_is_printed_and_saved(compared, runs, test_file, capsys):
    result, folder = compared
    said = "Precision, recall and f1 are those of the positive class 'positive'."
    assert result["positive_class"] == "positive"
    assert json.loads((folder / "comparison.json").read_text())["positive_class"] == "positive"
    assert said in (folder / "table.md").read_text()
    write_report(folder)
    assert said in html.unescape((folder / "report.html").read_text())
    two = [str(runs[name]) for name in ("plain-0", "fgm-0")]
    assert main(["compare", *two, "--data", str(test_file), "--samples", "100"]) == 0
    assert said in capsys.readouterr().out


def test_cost_stands_beside_benefit(compared, runs):
    result, _ = compared
    plain, fgm = (group["cost"] for group in result["groups"])
    assert (plain["units_per_step"], fgm["units_per_step"]) == (3, 6)
    seconds = [Run.open(runs[f"fgm-{seed}"]).metrics["train"]["seconds"] for seed in (0, 1)]
    assert fgm["seconds"] == pytest.approx(np.mean(seconds))
    assert "a step costs 2x" in result["differences"][0]["sentence"]


def test_mcnemar_counts_the_answers_of_each_pair_of_seeds(compared, runs):
    result, _ = compared
    rows = reviews(40, 2)

    def right(name):
        answers = Run.open(runs[name]).predict([text for text, _ in rows])
        return np.array([answer["label"] == label for answer, (_, label) in zip(answers, rows, strict=True)])

    assert len(result["mcnemar"]) == 2
    for seed, test in enumerate(result["mcnemar"]):
        plain, fgm = right(f"plain-{seed}"), right(f"fgm-{seed}")
        assert (test["only_first"], test["only_second"]) == ((fgm & ~plain).sum(), (plain & ~fgm).sum())


def test_everything_is_saved(compared):
    result, folder = compared
    assert json.loads((folder / "comparison.json").read_text())["differences"] == result["differences"]
    assert "| fgm | f1 |" in (folder / "table.md").read_text()


def test_one_run_each_resamples_texts_alone(runs, test_file):
    result = compare([runs["fgm-0"], runs["plain-1"]], test_file, samples=200, baseline=runs["plain-1"])
    (entry,) = (d for d in result["differences"] if d["metric"] == "f1")
    assert (entry["name"], entry["against"]) == ("seed-0", "seed-1")
    assert entry["paired_by_seed"] is False
    assert len(result["mcnemar"]) == 1


def test_a_run_and_its_copy_do_not_differ(runs, test_file, tmp_path):
    """Every interval is [0, 0]; the copy has the seed too, so the two are no group."""
    shutil.copytree(runs["plain-0"], tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    result = compare([runs["plain-0"], tmp_path / "copy"], test_file, samples=100)
    assert all((d["mean"], d["low"], d["high"], d["p"]) == (0, 0, 0, 1) for d in result["differences"])


def test_texts_that_a_run_has_seen_are_counted(runs, data, capsys):
    assert main(["compare", str(runs["plain-0"]), str(runs["fgm-0"]), "--data", str(data / "train.csv")]) == 0
    shown = capsys.readouterr()
    assert "has seen 64 of these 64 texts" in shown.err
    assert "f1" in shown.out


@pytest.fixture
def renamed(runs, tmp_path):
    """A run whose labels have other names."""
    folder = tmp_path / "renamed"
    shutil.copytree(runs["plain-0"], folder, ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((folder / "model/config.json").read_text())
    config |= {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    (folder / "model/config.json").write_text(json.dumps(config))
    for sealed in (folder / "model", folder):
        seal(sealed)
    return folder


@pytest.fixture
def number(runs, tmp_path):
    """A run that predicts a number."""
    folder = tmp_path / "number"
    shutil.copytree(runs["plain-0"], folder, ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((folder / "model/config.json").read_text())
    config["toughen"]["task"] = "regression"
    (folder / "model/config.json").write_text(json.dumps(config))
    for sealed in (folder / "model", folder):
        seal(sealed)
    return folder


def test_other_labels_and_tasks_are_refused_by_name(runs, renamed, number, test_file):
    with pytest.raises(InputError, match=r"renamed has the labels bad, good, but .*seed-0 has negative, positive"):
        compare([runs["fgm-0"], renamed], test_file)
    with pytest.raises(InputError, match=r"number is regression, but .*seed-0 is single-label"):
        compare([runs["fgm-0"], number], test_file)


def test_what_makes_no_sense_is_refused_in_a_sentence(runs, test_file, tmp_path):
    plain, other, fgm = runs["plain-0"], runs["plain-1"], runs["fgm-0"]
    for paths, more, says in (
        ([plain], {}, "at least two runs"),
        ([plain, plain], {}, "named twice"),
        ([plain, other], {}, "2 seeds of one recipe"),
        ([plain, fgm], {"metric": "bleu"}, "--metric must be one of accuracy, f1, roc_auc"),
        ([plain, fgm], {"baseline": "elsewhere"}, "none of the runs compared"),
        ([plain, fgm], {"output": plain}, "holds no comparison"),
    ):
        with pytest.raises(InputError, match=says):
            compare(paths, test_file, **more)


def test_two_comparisons_are_corrected_together(runs, test_file):
    """Three groups (one of two seeds): the smaller p doubles."""
    result = compare([runs["plain-0"], runs["plain-1"], runs["fgm-0"]], test_file, samples=200)
    assert [len(g["runs"]) for g in result["groups"]] == [2, 1]
    assert all(d["p"] == d["p_holm"] for d in result["differences"]), "one comparison each needs no correction"


def test_the_sentence_says_direction_and_cost():
    entry = {"name": "a", "against": "b", "metric": "rmse", "mean": -0.012, "low": -0.021, "high": -0.003}
    said = difference_sentence(entry | {"p_holm": 0.01, "relative_cost": 3.3})
    assert said == "a against b: rmse -0.0120 [-0.0210, -0.0030], p = 0.010 after Holm (lower is better); " + (
        "a step costs 3.3x"
    )


def test_json_is_the_only_thing_on_stdout(runs, tmp_path, capsys):
    write_csv(tmp_path / "texts.csv", reviews(30, 7))
    command = ["compare", str(runs["plain-0"]), str(runs["fgm-1"]), "--data", str(tmp_path / "texts.csv"), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 30
