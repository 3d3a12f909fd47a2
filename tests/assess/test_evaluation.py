"""`Run.evaluate` with questions, `toughen evaluate` and `toughen calibrate` on a run: what is told and saved."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv, write_splits
from toughen import InputError, Run
from toughen.assess.calibrate import CALIBRATION
from toughen.assess.metrics import task_metrics
from toughen.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
TRAINING = {"max_steps": 30, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=96, validation=32, test=40)


def start(data, model, output, recipe="plain", **changes):
    return toughen.train(data, model=model, recipe=recipe, output=output, quiet=True, training=TRAINING, **changes)


@pytest.fixture(scope="module")
def trained(data, model, tmp_path_factory):
    return start(data, model, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(trained, tmp_path):
    """A copy, to be written into."""
    return Run.open(shutil.copytree(trained.path, tmp_path / "run"))


def without_time(result):
    return {name: value for name, value in result.items() if name not in ("seconds", "samples_per_second")}


# ---------------------------------------------------------------- evaluate


def test_without_a_question_nothing_changes(run, data):
    plain = run.evaluate(data / "test.csv")
    assert set(plain) == set(run.metrics["test"])
    full = run.evaluate(data / "test.csv", details=True, samples=20)
    assert without_time(plain).items() <= without_time(full).items()
    assert not (run.path / "evaluations").exists(), "nothing is saved unasked"


def test_every_answer_is_there_and_the_same_seed_repeats_it(run, data, tmp_path):
    write_csv(tmp_path / "other.csv", [("film room book", "positive"), ("the the the", "negative")] * 4)
    asked = {
        "slices": ["good: text contains good", "label"],
        "dropout_samples": 2,
        "ood": tmp_path / "other.csv",
        "mistakes": 3,
        "samples": 50,
    }
    also = {"odd": tmp_path / "other.csv"}
    found = run.evaluate(data / "test.csv", also=also, **asked, seed=4)
    main_set = found["data"]
    told = {"intervals", "calibration", "confusion", "slices", "dropout", "ood", "left_out"}
    assert told <= set(main_set)
    defined = {name for name, value in run.metrics["test"].items() if isinstance(value, float)}
    assert defined - {"seconds", "samples_per_second"} <= set(main_set["intervals"])
    for name, (low, high) in main_set["intervals"].items():
        assert low <= main_set[name] <= high, name
    assert {one["name"] for one in main_set["slices"] if one["by"] == "filter"} == {"good"}
    drops = found["odd"]["drop"]
    for name in ("accuracy", "log_loss"):
        assert drops[name]["drop"] == main_set[name] - found["odd"][name]
        assert drops[name]["interval"][0] <= drops[name]["drop"] <= drops[name]["interval"][1]
    drop, middle = drops["log_loss"]["drop"], np.mean(drops["log_loss"]["interval"])
    assert abs(middle - drop) < abs(middle + drop), "the interval has the sign of the drop, which is not 0"
    again = run.evaluate(data / "test.csv", also=also, **asked, seed=4)
    assert {name: without_time(part) for name, part in found.items()} == {
        name: without_time(part) for name, part in again.items()
    }
    other = run.evaluate(data / "test.csv", also=also, **asked, seed=5)
    assert other["data"]["intervals"] != main_set["intervals"]


def test_what_is_saved_is_what_is_told(run, data):
    found = run.evaluate(data / "test.csv", save=True, samples=20)
    folder = run.path / "evaluations" / "test"
    assert found["output"] == str(folder)
    saved = json.loads((folder / "evaluation.json").read_text())
    assert (saved["format"], saved["task"], saved["label_names"]) == (1, "single-label", ["negative", "positive"])
    assert saved["sources"] == {"data": str(data / "test.csv")}
    assert saved["sets"]["data"]["accuracy"] == found["accuracy"]
    assert saved["sets"]["data"]["calibration"]["reliability"] == found["calibration"]["reliability"]
    table = pq.read_table(folder / saved["predictions"]["data"]).to_pydict()
    assert set(table) == {"row", "label", "prediction", "probabilities"}
    assert table["row"] == list(range(40))
    names = saved["label_names"]
    assert table["prediction"] == [names[int(np.argmax(p))] for p in table["probabilities"]]
    assert np.mean([a == b for a, b in zip(table["label"], table["prediction"], strict=True)]) == found["accuracy"]


def test_sources_of_one_name_do_not_replace_each_other(run, data, tmp_path):
    shutil.copy(data / "validation.csv", tmp_path / "test.csv")
    one, two, again = (
        run.evaluate(source, save=True, samples=5)["output"]
        for source in (data / "test.csv", tmp_path / "test.csv", data / "test.csv")
    )
    assert one == again
    assert one != two
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match=r"holds something else than evaluation\.json; give a new folder"):
        run.evaluate(data / "test.csv", output=tmp_path / "mine")


SEVERAL = ("calm", "glad", "sad")


def of_task(task, n):
    """Labelled rows of another task, in memory."""
    rng = np.random.default_rng(n)
    texts = [text for text, _ in reviews(n, seed=n)]
    if task == "multi-label":
        return [
            {"text": text, "labels": [name for name in SEVERAL if rng.random() < 0.5] or ["calm"]} for text in texts
        ]
    if task == "regression":
        return [{"text": text, "label": float(rng.normal()) + 0.25} for text in texts]
    return [{"words": (words := text.split()), "tags": [("O", "B-X")[len(w) % 2] for w in words]} for text in texts]


@pytest.mark.parametrize("task", ["multi-label", "regression", "tokens"])
def test_other_tasks_are_answered_or_left_out_by_name(model, tmp_path, task):
    run = start({"train": of_task(task, 40), "validation": of_task(task, 16)}, model, tmp_path / "run")
    found = run.evaluate(of_task(task, 24), dropout_samples=2, save=True, samples=20)
    assert found["dropout"]["passes"] == 2
    assert found["slices"]
    kinds = {
        "multi-label": {"risk_coverage"},
        "regression": {"calibration", "confusion"},
        "tokens": {"slices_by_label"},
    }
    assert set(found["left_out"]) == kinds[task]
    assert ("calibration" in found) == (task != "regression")
    table = pq.read_table(run.path / "evaluations/data/predictions.parquet")
    assert table.num_rows == 24
    assert ("probabilities" in table.column_names) == (task != "regression")
    if task == "regression":
        with pytest.raises(InputError, match="nothing to calibrate"):
            run.calibrate(of_task(task, 24))
    else:
        before = run.evaluate(of_task(task, 24))
        assert run.calibrate(of_task(task, 16))["log_loss"]["after"] <= 10
        after = run.evaluate(of_task(task, 24))
        assert after["f1"] == before["f1"], "answers stay"


# ---------------------------------------------------------------- calibrate


def test_a_temperature_is_fitted_on_the_runs_own_validation_rows_and_kept(run, data):
    before = [answer["label"] for answer in run.predict([text for text, _ in reviews(60, seed=9)])]
    loss = run.metrics["validation"]["log_loss"]
    found = run.calibrate()
    assert found["n"] == 32
    worse = [name for name in ("log_loss", "ece", "brier") if found[name]["after"] > found[name]["before"]]
    assert [name for name in ("log_loss", "ece", "brier") if name in found.get("worse", "").partition(":")[0]] == worse
    assert found["log_loss"]["before"] == pytest.approx(loss), "these are the rows that training scored"
    assert found["log_loss"]["after"] < loss
    assert run.evaluate(data / "validation.csv")["log_loss"] == pytest.approx(found["log_loss"]["after"])
    again = Run.open(run.path)
    assert again.classifier.temperature.value == found["temperature"] != 1
    assert [answer["label"] for answer in again.predict([text for text, _ in reviews(60, seed=9)])] == before
    assert json.loads((run.path / CALIBRATION).read_text()) == found
    assert run.calibrate() == found, "a second fit starts from the model's own probabilities"


def test_changed_or_missing_validation_rows_are_refused(model, data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "data")
    run = start(copy, model, tmp_path / "run")
    write_csv(copy / "validation.csv", reviews(32, seed=77))
    with pytest.raises(InputError, match="the data have changed: give labelled rows"):
        run.calibrate()
    memory = start({"train": reviews(40, 1), "validation": reviews(16, 2)}, model, tmp_path / "memory")
    with pytest.raises(InputError, match="learnt from data in memory, which are gone"):
        memory.calibrate()
    assert memory.calibrate(reviews(16, 2))["n"] == 16


def test_folds_are_refused(model, data, tmp_path):
    training = TRAINING | {"max_steps": 4}
    run = toughen.train(
        data, model=model, recipe="plain", output=tmp_path / "folds", quiet=True, training=training, folds=2
    )
    for folder in (run, run.members[0]):
        with pytest.raises(InputError, match="calibrate a run with one model"):
            folder.calibrate()
    found = run.evaluate(data / "test.csv", dropout_samples=1, ood=reviews(8, 3), samples=10)
    assert found["dropout"]["flip_rate"] >= 0
    assert found["ood"]["energy"]["auroc"] > 0


def test_a_tuned_threshold_is_kept_by_a_temperature(model, data, tmp_path):
    training = TRAINING | {"threshold": "tuned"}
    run = toughen.train(data, model=model, recipe="plain", output=tmp_path / "run", quiet=True, training=training)
    before, raw = run.evaluate(data / "test.csv"), run.classifier.thresholds
    run.calibrate()
    assert run.evaluate(data / "test.csv")["f1"] == before["f1"]
    assert run.classifier.thresholds != raw
    noted = json.loads((run.path / "model/config.json").read_text())["toughen"]
    assert tuple(noted["thresholds"]) == raw, "kept as tuned: of the probabilities before"


# ---------------------------------------------------------------- the commands


def test_the_command_prints_every_table_and_says_where_it_wrote(run, data, capsys):
    asked = ["--slice", "good: text contains good", "--dropout-samples", "2", "--ood", str(data / "validation.csv")]
    more = ["--also", f"again={data / 'validation.csv'}", "--mistakes", "2", "--samples", "30"]
    assert main(["evaluate", str(run.path), "--data", str(data / "test.csv"), *asked, *more]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    tables = ["metric data again", "ECE (equal mass)", "drop from data to", "confusion said negative", "filter: good"]
    for words in (*tables, "answers that flip", "AUROC", "evaluation.json and predictions.parquet are in"):
        assert words in shown, words


def test_json_holds_what_is_in_the_file(run, data, tmp_path, capsys):
    argv = ["evaluate", str(run.path), "--data", str(data / "test.csv"), "--output", str(tmp_path / "out"), "--json"]
    assert main([*argv, "--samples", "10"]) == 0
    told = json.loads(capsys.readouterr().out)
    saved = json.loads((tmp_path / "out/evaluation.json").read_text())["sets"]["data"]
    assert told.pop("output") == str(tmp_path / "out")
    assert told == saved
    labels = np.array([label == "positive" for _, label in reviews(40, seed=2)], dtype=int)
    p = np.array(pq.read_table(tmp_path / "out/predictions.parquet").to_pydict()["probabilities"])
    assert told["accuracy"] == task_metrics("single-label", p, labels)["accuracy"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--slice", "x: length ? 3"], "--slice 'x: length ? 3' is no filter; write NAME"),
        (["--slice", "nothing"], "--slice: the data have no 'nothing'"),
        (["--mistakes", "-1"], "mistakes must not be negative"),
        (["--samples", "0"], "samples must be at least 1"),
        (["--ood", "missing.csv"], "The file or folder missing.csv is missing"),
    ],
)
def test_wrong_questions_are_one_sentence(run, data, more, sentence, capsys):
    assert main(["evaluate", str(run.path), "--data", str(data / "test.csv"), *more]) == 2
    assert capsys.readouterr().err.startswith(sentence)
    assert not (run.path / "evaluations").exists()


def test_the_command_calibrates(run, capsys):
    assert main(["calibrate", str(run.path)]) == 0
    assert "temperature" in capsys.readouterr().out
    assert main(["calibrate", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run.path / CALIBRATION).read_text())
