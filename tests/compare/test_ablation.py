"""`toughen ablate`: its table from known scores, and its runs through a SIGKILL."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from toughen import InputError, load_recipe
from toughen.cli import main
from toughen.compare.ablation import Ablation, summarise
from toughen.compare.ablation_plan import make_plan
from toughen.compare.tables import ablation_table, effect_sentence
from toughen.compare.worker import alone
from toughen.runs.writer import sole_writer
from toughen.statistics.wording import power_sentence

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

UNITS = {"plain": 3, "rdrop": 6, "pgd": 10, "rdrop+pgd": 16}


def finished(folder, scores, split="test"):
    """Write what runs leave behind: scores {(arm, seed): f1}."""
    for (arm, seed), score in scores.items():
        run = folder / "runs" / arm / f"seed-{seed}"
        run.mkdir(parents=True)
        metrics = {"n": 40, "accuracy": score / 2, "f1": score, "undefined": {}, "seconds": 1.0}
        content = {"validation": {**metrics, "f1": 0.5}, "train": {"seconds": 10.0, "units_per_step": UNITS[arm]}}
        (run / "metrics.json").write_text(json.dumps(content | {split: metrics}))


def name_positive(folder):
    """Write the positive class into every run."""
    for path in folder.rglob("metrics.json"):
        content = json.loads(path.read_text())
        for split in ("validation", "test"):
            content[split]["positive_class"] = "spam"
        path.write_text(json.dumps(content))


def ablation(folder, seeds=3, **more):
    recipe = load_recipe("tough-stack", {"data": "reviews.csv", "training.seed": 0})
    return Ablation(make_plan(recipe, ("objective", "adversary"), design="full", seeds=seeds), folder, **more)


SCORES = {
    **{("plain", seed): score for seed, score in enumerate((0.80, 0.82, 0.81))},
    **{("rdrop", seed): score for seed, score in enumerate((0.81, 0.84, 0.82))},
    **{("pgd", seed): score for seed, score in enumerate((0.82, 0.84, 0.83))},
    **{("rdrop+pgd", seed): score for seed, score in enumerate((0.87, 0.88, 0.86))},
}


def test_runs_that_collapsed_are_no_evidence_of_equality(tmp_path):
    """Alike scores give no interval of width 0, no p of 1, no claim to find 0; collapsed runs no score."""
    finished(tmp_path, {(arm, seed): 0.3333 for arm in UNITS for seed in range(3)})
    for file in tmp_path.glob("runs/pgd/*/metrics.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"collapsed": True, "verdict": "it has learnt nothing: one answer."}))
    result = summarise(ablation(tmp_path))
    effects = {(e["kind"], e["name"]): e for e in result["effects"]}
    alike = effects["against plain", "rdrop"]
    assert (alike["mean"], alike["low"], alike["p"], alike["p_holm"]) == (0.0, None, None, None)
    for question in (("against plain", "pgd"), ("main effect", "rdrop"), ("interaction", "rdrop x pgd")):
        assert (effects[question]["mean"], effects[question]["n"]) == (None, 0), question
    assert result["power"]["sd_from"] == "assumed"
    lost = next(arm for arm in result["arms"] if arm["name"] == "pgd")
    assert (lost["collapsed"], lost["mean"], lost["n"]) == ([0, 1, 2], None, 0)
    assert [run["test"]["f1"] for run in lost["runs"]] == [0.3333] * 3, "what it scored stays in its row"
    assert result["collapsed"]
    table = ablation_table(result)
    assert "Learnt nothing: pgd, seed 0, 1, 2." in table
    assert "[+0.0000, +0.0000]" not in table
    assert "difference of 0.0000" not in table
    said = effect_sentence(result["effects"][0], "f1")
    assert said.startswith("rdrop: f1 +0.0000 with each of the 3 seeds, which says nothing of others")


def test_the_effects_are_paired_by_seed(tmp_path):
    from scipy import stats

    finished(tmp_path, SCORES)
    result = summarise(ablation(tmp_path))
    effects = {(e["kind"], e["name"]): e for e in result["effects"]}

    def arm(name):
        return [SCORES[name, seed] for seed in range(3)]

    rdrop = effects["against plain", "rdrop"]
    oracle = stats.ttest_rel(arm("rdrop"), arm("plain"))
    assert rdrop["mean"] == pytest.approx(0.04 / 3)
    assert rdrop["p"] == pytest.approx(oracle.pvalue)
    assert (rdrop["low"], rdrop["high"]) == pytest.approx(oracle.confidence_interval(0.95))
    # (.87 - .82) - (.81 - .80) = .04 and so on.
    together = effects["interaction", "rdrop x pgd"]
    assert together["values"] == pytest.approx([0.04, 0.02, 0.02])
    assert effects["main effect", "pgd"]["values"] == pytest.approx([0.04, 0.03, 0.03])
    assert effects["main effect", "pgd"]["relative_cost"] == pytest.approx(26 / 9)
    assert effects["against plain", "rdrop+pgd"]["relative_cost"] == pytest.approx(16 / 3)


def test_the_class_that_f1_speaks_of_is_named(tmp_path):
    finished(tmp_path, SCORES)
    name_positive(tmp_path)
    said = "f1 are those of the positive class 'spam'."
    result = summarise(ablation(tmp_path)) | {"failed": {}}
    assert result["positive_class"] == "spam"
    assert said in ablation_table(result)
    assert said not in ablation_table(summarise(ablation(tmp_path, metric="accuracy")) | {"failed": {}})


def test_holm_counts_each_question_apart(tmp_path):
    from toughen.statistics.seeds import holm

    finished(tmp_path, SCORES)
    effects = summarise(ablation(tmp_path))["effects"]
    for kinds in (("against plain",), ("main effect", "interaction")):
        asked = [e for e in effects if e["kind"] in kinds]
        assert len(asked) == 3
        assert [e["p_holm"] for e in asked] == holm([e["p"] for e in asked])


def test_a_seed_counts_where_all_its_arms_are_done(tmp_path):
    finished(tmp_path, {key: score for key, score in SCORES.items() if key != ("rdrop", 2)})
    effects = {e["name"]: e for e in summarise(ablation(tmp_path))["effects"] if e["kind"] == "against plain"}
    assert (effects["rdrop"]["seeds"], effects["pgd"]["seeds"]) == ([0, 1], [0, 1, 2])


def test_what_has_no_number_yet_is_said_so(tmp_path):
    finished(tmp_path, {key: score for key, score in SCORES.items() if key[0] == "plain"})
    result = summarise(ablation(tmp_path))
    assert [arm["n"] for arm in result["arms"]] == [3, 0, 0, 0]
    assert all(effect["mean"] is None for effect in result["effects"])
    assert "no seed has finished" in effect_sentence(result["effects"][0], "f1")
    assert "| rdrop | 0 | - |" in ablation_table(result)
    assert "No run" in ablation_table(summarise(ablation(tmp_path / "empty")))


def test_no_test_split_means_validation_and_says_so(tmp_path):
    finished(tmp_path, SCORES, split="validation")
    result = summarise(ablation(tmp_path))
    assert result["split"] == "validation"
    assert "rows that chose the weights" in ablation_table(result)


def test_the_assumption_behind_the_power_is_said(tmp_path):
    planned = ablation(tmp_path)
    assert "an assumption" in power_sentence(planned.describe()["power"])
    assert "as given" in power_sentence(ablation(tmp_path, sd=0.02).describe()["power"])
    finished(tmp_path, SCORES)
    power = planned.describe()["power"]
    assert "as measured" in power_sentence(power)
    groups = [[SCORES[arm, seed] for seed in range(3)] for arm in UNITS]
    assert power["sd"] == pytest.approx(np.sqrt(np.mean([np.var(g, ddof=1) for g in groups])))


def test_it_ends_in_a_verdict_beside_the_simple_models_and_the_next_command(tmp_path):
    """Validation chooses the recipe; its mean on test stands beside the best simple model."""
    finished(tmp_path, SCORES)
    for file in tmp_path.glob("runs/*/*/metrics.json"):
        content = json.loads(file.read_text())
        content["validation"]["f1"] = 0.9 if "rdrop+pgd" in str(file) else 0.5
        simple = {"majority": {"f1": 0.4}, "words": {"f1": 0.77}}
        file.write_text(json.dumps(content | {"baselines": {"test": simple}}))
    told = summarise(ablation(tmp_path))
    assert told["winner"]["name"] == "rdrop+pgd"
    assert (
        "its mean test f1 is 0.8700, a simple model on the same rows (TF-IDF + linear model) gets 0.7700."
        in (told["verdict"])
    )
    assert told["next"].startswith(f"toughen evaluate {tmp_path / 'runs/rdrop+pgd/seed-0'} --data")
    assert not told["collapsed"]
    assert f"Next: {told['next']}" in ablation_table(told)


def test_an_unknown_metric_and_a_foreign_folder_are_refused(tmp_path):
    finished(tmp_path, SCORES)
    with pytest.raises(InputError, match="--metric must be one of accuracy, f1"):
        summarise(ablation(tmp_path, metric="bleu"))
    with pytest.raises(InputError, match="holds no ablation"):
        ablation(tmp_path).check_folder()


def test_a_plan_writes_nothing(model, data, tmp_path, capsys):
    command = ["ablate", "tough-stack", "--over", "adversary", "--seeds", "5", "--plan", "--sd", "0.005", "--json"]
    assert main([*command, "--model", str(model), "--data", str(data), "--output", str(tmp_path / "none")]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [arm["units_per_step"] for arm in plan["arms"]] == [6, 16]
    assert plan["power"]["single"] == pytest.approx(1.681997 * 0.005 * 2**0.5, rel=1e-5)
    assert not (tmp_path / "none").exists()


# ---------------------------------------------------------------- the real thing


def command(model, data, output):
    training = {
        "epochs": 8,
        "batch_size": 8,
        "save_steps": 8,
        "learning_rate": 3e-3,
        "max_length": 32,
        "log_steps": 1,
        "precision": "fp32",
        "early_stopping": "none",
    }
    flags = [f"--training.{name}={value}" for name, value in training.items()]
    where = ["--model", str(model), "--data", str(data), "--output", str(output)]
    return ["ablate", "ema", "--over", "average", "--design", "whole", "--seeds", "2", *where, *flags]


def wait_for(condition, seconds=240):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)


def checkpoints(run):
    return sorted(int(p.parent.name.rpartition("-")[2]) for p in run.glob("checkpoints/*/trainer_state.json"))


def test_killed_in_the_middle_and_continued(model, data, tmp_path, capsys):
    """No finished run is repeated, none is lost, and the one that was half done goes on from its checkpoint."""
    output = tmp_path / "ablation"
    plain, ema = (output / "runs" / arm / "seed-42" for arm in ("plain", "ema"))
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen(
            [sys.executable, "-m", "toughen", *command(model, data, output)], stdout=log, stderr=log
        )
        try:
            wait_for(lambda: ((plain / "metrics.json").exists() and checkpoints(ema)) or first.poll() is not None)
            assert first.poll() is None, (tmp_path / "log").read_text()
            os.kill(first.pid, signal.SIGKILL)
        finally:
            first.kill()
            first.wait()
    assert "ablation plan" in (output / "report.html").read_text(), "before the runs are finished"
    reached = checkpoints(ema)[-1]
    assert not (ema / "metrics.json").exists()
    before = (plain / "metrics.json").stat().st_mtime_ns
    with alone(ema.with_name("seed-42.lock")):
        pass  # the training ended with the process that had started it, or this would wait until it is done
    assert not (ema / "metrics.json").exists(), "the orphan went on"

    assert main(command(model, data, output)) == 0

    assert (plain / "metrics.json").stat().st_mtime_ns == before
    result = json.loads((output / "ablation.json").read_text())
    assert [(arm["name"], arm["n"] + len(arm["collapsed"])) for arm in result["arms"]] == [("plain", 2), ("ema", 2)]
    steps = [
        int(step) for step in re.findall(r"^step (\d+)/64  loss", (ema.with_name("seed-42.log")).read_text(), re.M)
    ]
    assert steps.count(1) == 1, "it did not start over"
    assert steps.count(reached) == 1
    assert steps[-1] == 64
    printed = capsys.readouterr().out
    assert "table.md" in printed
    for line in ("verdict", "next"):
        assert f"{line}: {result[line]}" in printed.splitlines()
        assert result[line] in (output / "table.md").read_text()
    assert "ablation plan" not in (output / "report.html").read_text()

    stamps = {path: path.stat().st_mtime_ns for path in output.glob("runs/*/*/metrics.json")}
    assert len(stamps) == 4
    assert main(command(model, data, output)) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "a third call has nothing to do"
    recipe = load_recipe("ema", {"data": str(data), "model": str(model), "training.epochs": 9})
    other = Ablation(make_plan(recipe, ["average"], design="whole", seeds=2), output)
    with pytest.raises(InputError, match="holds an ablation of another recipe"):
        other.check_folder()


def test_two_at_once_in_one_folder_are_refused(tmp_path, capsys, model, data):
    with sole_writer(tmp_path / "busy", "toughen ablate"):
        assert main(command(model, data, tmp_path / "busy")) == 2
    assert "is being written by toughen ablate (process" in capsys.readouterr().err
    assert list(tmp_path.glob("*busy*")) == []


def test_a_training_that_refuses_its_input_says_why(tmp_path, capsys, model):
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"text {i},same\n" for i in range(20)))
    assert main(command(model, tmp_path / "one.csv", tmp_path / "out")) == 2
    assert "plain, seed 42: " in capsys.readouterr().err
