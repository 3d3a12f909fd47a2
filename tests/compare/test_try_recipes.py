"""`toughen try`: paired recipes in a given time, chosen on validation, continued after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import toughen
from toughen import InputError, load_recipe
from toughen.cli import main
from toughen.compare.conclusion import _winner
from toughen.compare.paired import Paired, results
from toughen.compare.tables import try_table
from toughen.compare.try_recipes import RECIPES, RecipePlan, _load_recipes, _summary
from toughen.recipe.shipped import DEFAULT

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

NAMES = ("plain", "accuracy", "ema")


def paired(folder, seeds=3):
    recipes = {name: load_recipe(name, {"data": "reviews.csv", "training.seed": 0}) for name in NAMES}
    return Paired(RecipePlan(recipes, tuple(range(seeds))), folder)


def finished(folder, scores, collapsed=()):
    """Write what runs leave behind: scores {(arm, seed): (validation f1, test f1)}."""
    for (arm, seed), (validation, test) in scores.items():
        run = folder / "runs" / arm / f"seed-{seed}"
        run.mkdir(parents=True)
        content = {name: {"n": 40, "f1": f1} for name, f1 in (("validation", validation), ("test", test))}
        cost = {"seconds": 10.0, "units_per_step": 3, "steps": 5}
        simple = {split: {"words": {"f1": 0.6}} for split in ("validation", "test")}
        content |= {"train": cost, "baselines": simple, "collapsed": (arm, seed) in collapsed}
        (run / "metrics.json").write_text(json.dumps(content))


SCORES = {
    **{("plain", seed): (0.90, 0.80 + seed / 100) for seed in range(3)},
    **{("accuracy", seed): (0.80, 0.90 + seed / 100) for seed in range(3)},
    **{("ema", seed): (0.85, 0.81 + seed / 100) for seed in range(3)},
}


def test_validation_chooses_and_test_is_told(tmp_path):
    """The best on test is another recipe than the best on validation."""
    finished(tmp_path, SCORES)
    told = _summary(paired(tmp_path), 20, {})
    assert (told["split"], told["winner"]["name"]) == ("test", "plain")
    assert max(told["arms"], key=lambda arm: arm["mean"])["name"] == "accuracy"
    assert told["winner"]["run"] == "runs/plain/seed-0"
    assert told["baselines"] == {"words": pytest.approx(0.6)}
    effects = {effect["name"]: effect for effect in told["effects"]}
    assert effects["accuracy"]["mean"] == pytest.approx(0.1)
    assert effects["ema"]["mean"] == pytest.approx(0.01)


def test_a_collapsed_run_has_no_score_and_its_recipe_is_not_chosen(tmp_path):
    finished(tmp_path, SCORES, collapsed=[("plain", 1)])
    told = _summary(paired(tmp_path), 20, {})
    plain = next(arm for arm in told["arms"] if arm["name"] == "plain")
    assert (plain["collapsed"], plain["n"]) == ([1], 2)
    assert told["winner"]["name"] == "ema"
    assert next(e for e in told["effects"] if e["name"] == "ema")["seeds"] == [0, 2]
    assert "learnt nothing with seed 1" in try_table(told)


def test_where_all_have_learnt_nothing_more_time_is_not_the_advice(tmp_path):
    finished(tmp_path, SCORES, collapsed=list(SCORES))
    told = _summary(paired(tmp_path), 20, {})
    assert told["winner"] is None
    assert told["verdict"] == "Every run that has finished has learnt nothing, so nothing can be compared."
    assert told["next"].startswith("check the labels")
    assert "--minutes" not in told["next"]
    begun = _summary(paired(tmp_path / "new"), 20, {})
    assert "--minutes" in begun["next"], "canary: where nothing has finished it is"


def test_only_seeds_that_all_recipes_have_choose(tmp_path):
    scores = SCORES | {("accuracy", seed): (value, 0.5) for seed, value in enumerate((0.95, 0.0, 0.0))}
    finished(tmp_path, {key: value for key, value in scores.items() if key[0] == "accuracy" or key[1] == 0})
    here = paired(tmp_path)
    assert _winner(here, results(here))["name"] == "accuracy"
    assert _winner(here, results(here))["seeds"] == [0]


def test_one_seed_promises_nothing(tmp_path):
    finished(tmp_path, {key: value for key, value in SCORES.items() if key[1] == 0})
    told = _summary(paired(tmp_path), 20, {})
    assert told["power"] is None
    assert "says nothing about other seeds" in told["verdict"]
    assert _summary(paired(tmp_path / "empty"), 20, {})["winner"] is None


def test_a_split_that_hides_a_difference_says_what_it_could_show(tmp_path):
    finished(tmp_path, SCORES | {("ema", seed): (0.99, 0.80 + (0.05, -0.02, 0.03)[seed]) for seed in range(3)})
    sentence = _summary(paired(tmp_path), 20, {})["verdict"]
    assert "not shown to be better than plain" in sentence
    assert "is found with a chance of 80%" in sentence


def test_every_recipe_that_is_tried_differs_from_plain_in_one_thing():
    """But for the default, which is tried as it ships: with an epoch more."""
    loaded = _load_recipes(RECIPES, {"data": "reviews.csv"})
    plain = loaded["plain"]
    slots = ("inputs", "objective", "adversary", "average", "head", "training")
    for name, recipe in loaded.items():
        differs = [slot for slot in slots if getattr(recipe, slot) != getattr(plain, slot)]
        wanted = 2 if name == DEFAULT else 1
        assert len(differs) == (0 if name == "plain" else wanted), (name, differs)
    assert loaded["rdrop"].objective.label_smoothing == 0
    assert _load_recipes(RECIPES, {"objective.label_smoothing": 0.2})["rdrop"].objective.label_smoothing == 0.2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"recipes": ["plain"]}, "two recipes or more"),
        ({"recipes": ["plain", "plain"]}, "each once"),
        ({"recipes": ["plain", "fast"]}, "are the same recipe"),
        ({"minutes": 0}, "must be above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(data, tmp_path, asked, says):
    with pytest.raises(InputError, match=says):
        toughen.try_recipes(data, output=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the real thing


def command(model, data, output, minutes="20"):
    training = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
    flags = [f"--training.{name}={value}" for name, value in training.items()]
    more = ["--minutes", minutes, "--seeds", "2", "--recipes", "plain,ema"]
    return ["try", str(data), "--model", str(model), "--output", str(output), *more, *flags]


def test_killed_and_continued(model, data, tmp_path, capsys):
    """A finished run is not repeated; time that is over trains nothing; more of it goes on."""
    output = tmp_path / "tried"
    first_run = output / "runs/plain/seed-42/manifest.json"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "toughen", *command(model, data, output)], stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + 400
            while not first_run.exists():
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until, "it took too long"
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    before = first_run.stat().st_mtime_ns

    assert main(command(model, data, output, minutes="0.0001")) == 0
    assert len(list(output.glob("runs/*/*/metrics.json"))) < 4
    assert main([*command(model, data, output), "--json"]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert first_run.stat().st_mtime_ns == before
    assert [arm["n"] + len(arm["collapsed"]) for arm in told["arms"]] == [2, 2]
    assert set(told["wall_seconds"]) == {f"{name}/seed-{seed}" for name in ("plain", "ema") for seed in (42, 43)}
    assert not list(output.glob("runs/*/*/checkpoints"))
    assert "words" in told["baselines"]
    assert (output / told["winner"]["run"] / "model").is_dir()
    assert told["verdict"] in (output / "table.md").read_text()
    assert "Differences from plain" in (output / "report.html").read_text()

    with pytest.raises(InputError, match="other recipes or settings"):
        toughen.try_recipes(data, output=output, model=model, recipes=["plain", "fgm"])
    shutil.rmtree(output / "runs")
    (output / "try.json").unlink()
    with pytest.raises(InputError, match="holds no toughen try"):
        toughen.try_recipes(data, output=output, model=model, recipes=["plain", "fgm"])
