"""The main job end to end on a tiny model: a folder of texts in, a scored run out, through the call and the command."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import toughen
from tiny import NEGATIVE, POSITIVE, reviews, save_tiny_model, write_csv, write_splits
from toughen import InputError, Run
from toughen.assess.metrics import task_metrics
from toughen.assess.thresholds import tune_thresholds
from toughen.data import load_labelled

# A model of two narrow layers needs an epoch or two before it beats the majority; that is not the subject here.
pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

TRAINING = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32", "log_steps": 5}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=128, validation=32, test=40)


def start(data, model, output, recipe="plain", **changes):
    training = TRAINING | changes.pop("training", {})
    return toughen.train(data, model=model, recipe=recipe, output=output, quiet=True, training=training, **changes)


@pytest.fixture(scope="module")
def run(data, model, tmp_path_factory):
    return start(data, model, tmp_path_factory.mktemp("runs") / "run", recipe="tough-stack")


def flags(data, model, output, recipe="tough-stack", **more):
    settings = {f"--training.{name}": value for name, value in (TRAINING | more).items()}
    pairs = {"--recipe": recipe, "--model": model, "--data": data, "--output": output} | settings
    return [sys.executable, "-m", "toughen", "train", *(str(part) for pair in pairs.items() for part in pair)]


def test_a_run_folder_holds_what_it_promises(run):
    assert {p.name for p in run.path.iterdir()} == {
        "model", "recipe.yaml", "metrics.json", "train_hashes.npy", "tensorboard", "checkpoints", "report.html",
        "probe.json", "manifest.json", "mistakes.json",
    }  # fmt: skip
    metrics = run.metrics
    assert set(metrics) == {
        "validation", "test", "train", "environment", "baselines", "probe", "verdict", "next", "collapsed",
    }  # fmt: skip
    for split, rows in {"validation": 32, "test": 40}.items():
        assert metrics[split]["n"] == rows
        assert {"accuracy", "f1", "roc_auc", "mcc", "log_loss", "seconds", "samples_per_second"} <= set(metrics[split])
    assert metrics["train"]["passes_per_step"] == 6  # R-Drop's two, two searches on one copy, R-Drop's two
    assert metrics["train"]["units_per_step"] == 16
    assert metrics["test"]["f1"] > 0.9, "the tiny task is learnable"
    assert len(list((run.path / "checkpoints").iterdir())) == 2, "save_total_limit"


def test_the_saved_model_is_an_ordinary_one_with_label_names(run):
    from transformers import AutoModelForSequenceClassification

    loaded = AutoModelForSequenceClassification.from_pretrained(run.path / "model")

    assert loaded.config.id2label == {0: "negative", 1: "positive"}


def test_every_loss_term_is_in_tensorboard_under_its_own_name(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])

    expected = {"loss/total", "loss/task", "loss/rdrop", "loss/adversarial", "perturbation_norm", "gradient_norm"}
    assert expected | {"learning_rate", "average_decay", "validation/f1", "validation/runtime"} <= tags
    total, *terms = (events.Scalars(f"loss/{name}")[0].value for name in ("total", "task", "rdrop", "adversarial"))
    assert total == pytest.approx(sum(terms), rel=1e-5)


def test_a_saved_model_scored_in_a_new_process_repeats_the_logged_metrics_exactly(run, data):
    shown = subprocess.run(
        [sys.executable, "-m", "toughen", "evaluate", run.path, "--data", data / "test.csv", "--json"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    again = json.loads(shown)
    again = again.get("data", again)
    for name, value in run.metrics["test"].items():
        if name not in ("seconds", "samples_per_second"):
            assert again[name] == value, name


def test_predictions_name_the_label_and_sum_to_one(run):
    texts, labels = zip(*reviews(40, 2), strict=True)  # those of the test split
    found = run.predict(list(texts))
    good = found[0]

    assert [row["label"] for row in found] == list(labels)
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert good["score"] == good["probabilities"]["positive"]
    assert run.predict([]) == []


def test_also_scores_further_data_under_their_names(run, data):
    scores = run.evaluate(data / "test.csv", also={"again": str(data / "validation.csv")})

    assert scores["data"]["n"] == 40
    assert scores["again"]["f1"] == run.metrics["validation"]["f1"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data, model, tmp_path):
    weights = [
        load_file(r.path / "model/model.safetensors")
        for i, seed in enumerate((1, 1, 2))
        for r in [start(data, model, tmp_path / str(i), "fgm", seed=seed, training={"max_steps": 6})]
    ]

    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_killed_run_is_continued_to_the_weights_of_an_undisturbed_one(data, model, tmp_path, run):
    """SIGKILL between two checkpoints; `--resume` ends at the same bits as the run that was left alone."""
    command = flags(data, model, tmp_path / "killed")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("checkpoints/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed/metrics.json").exists(), "it was killed too late to show anything"

    subprocess.run([*command, "--resume"], check=True, capture_output=True)

    killed, whole = (load_file(p / "model/model.safetensors") for p in (tmp_path / "killed", run.path))
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    resumed = json.loads((tmp_path / "killed/metrics.json").read_text())
    assert resumed["test"]["f1"] == run.metrics["test"]["f1"]


def test_a_run_is_never_overwritten_unasked(run, data, model):
    before = (run.path / "metrics.json").read_bytes()

    with pytest.raises(InputError, match="already holds a run"):
        start(data, model, run.path)

    assert (run.path / "metrics.json").read_bytes() == before


def test_overwrite_replaces_a_run_but_never_another_folder(data, model, tmp_path):
    start(data, model, tmp_path / "run", training={"max_steps": 2})
    again = start(data, model, tmp_path / "run", training={"max_steps": 3}, overwrite=True)
    assert again.metrics["train"]["steps"] == 3

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a run folder"):
        start(data, model, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_resume_with_another_recipe_is_refused_and_a_finished_run_is_left_alone(run, data, model):
    with pytest.raises(InputError, match=r"another recipe.*learning_rate"):
        start(data, model, run.path, "tough-stack", resume=True, training={"learning_rate": 1e-3})

    assert toughen.train(output=run.path, resume=True, quiet=True).metrics == run.metrics


def test_unlabelled_texts_reach_the_terms_that_need_no_label(data, model, tmp_path):
    write_csv(tmp_path / "more.csv", reviews(256, 9))
    settings = {"unlabelled": tmp_path / "more.csv", "data.unlabelled_ratio": 2.0}
    changes = {"training": {"epochs": 1, "save_total_limit": 1}}

    without = start(data, model, tmp_path / "without", "vat", **changes)
    with_them = start(data, model, tmp_path / "with", "vat", **changes, **settings)

    seen = [r.metrics["train"]["samples_per_second"] * r.metrics["train"]["seconds"] for r in (without, with_them)]
    assert seen == pytest.approx([128, 3 * 128])
    assert with_them.metrics["train"]["steps"] == without.metrics["train"]["steps"]
    assert with_them.metrics["validation"]["log_loss"] != without.metrics["validation"]["log_loss"]


def test_unlabelled_texts_without_a_term_for_them_are_refused(data, model, tmp_path):
    write_csv(tmp_path / "more.csv", reviews(256, 9))

    with pytest.raises(InputError, match="no part of the recipe learns without labels"):
        start(data, model, tmp_path / "run", "fgm", unlabelled=tmp_path / "more.csv")

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "no/such-model"}, "the hub is unreachable"),
        ({"training": {"metric": "f2"}}, "training.metric must be one of"),
        ({"recipe": "no-such-recipe"}, "no-such-recipe"),
        ({"adversary": {"name": "fgm", "site": "layer 9"}}, "layer 9"),
    ],
)
def test_a_wrong_setting_leaves_no_run_folder(data, model, tmp_path, changes, says, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read from the environment on import

    with pytest.raises(InputError, match=says):
        start(data, changes.pop("model", model), tmp_path / "run", changes.pop("recipe", "plain"), **changes)

    assert not (tmp_path / "run").exists()


def test_data_may_be_in_memory_and_a_validation_split_is_taken_from_train(model, tmp_path):
    run = start(reviews(80, 3), model, tmp_path / "run", training={"max_steps": 4})

    assert run.metrics["validation"]["n"] == 8
    assert "test" not in run.metrics


def test_texts_that_went_into_training_are_kept_as_hashes(run, data):
    from toughen.data import load_texts
    from toughen.data.divide.overlap import text_hashes

    seen = np.load(run.path / "train_hashes.npy")
    hashes = {name: text_hashes(load_texts(data / f"{name}.csv")) for name in ("train", "validation", "test")}

    assert sorted(seen) == sorted([*hashes["train"], *hashes["validation"]])
    assert not np.isin(hashes["test"], seen).any()


# ---------------------------------------------------------------- every task


def tagged(rows):
    """Label each word of each text: an opinion word is a "B-good" or a "B-bad"."""
    tags = dict.fromkeys(POSITIVE, "B-good") | dict.fromkeys(NEGATIVE, "B-bad")
    return [{"words": text.split(), "tags": [tags.get(word, "O") for word in text.split()]} for text, _ in rows]


def of_task(task, count=64, seed=3):
    """Return rows in memory of each kind of classification, learnable from the same words."""
    rows = reviews(count, seed)
    if task == "multi-label":
        return [{"text": text, "label": [label, *(["film"] if "film" in text else [])]} for text, label in rows]
    if task == "regression":
        return [{"text": text, "label": 0.5 + (label == "positive")} for text, label in rows]
    if task == "pairs":
        others = sorted(reviews(count, seed + 1))
        return [{"text_a": a, "text_b": b, "label": int(x == y)} for (a, x), (b, y) in zip(rows, others, strict=True)]
    return tagged(rows) if task == "tokens" else rows


ANSWERS = {
    "multi-label": {"labels", "probabilities"},
    "regression": {"score"},
    "tokens": {"words", "tags", "entities"},
    "pairs": {"label", "score", "probabilities"},
}
QUESTIONS = {"tokens": [["good", "film"]], "pairs": [("good film", "bad meal")]}


@pytest.mark.parametrize("task", ANSWERS)
def test_every_task_trains_scores_and_answers(model, tmp_path, task):
    run = start(
        {"train": of_task(task), "test": of_task(task, 24, 8)}, model, tmp_path / "run", training={"max_steps": 12}
    )

    name = "single-label" if task == "pairs" else task
    assert (run.classifier.task, run.classifier.pairs) == (name, task == "pairs")
    again = run.evaluate(of_task(task, 24, 8))
    for metric, value in run.metrics["test"].items():
        if metric not in ("seconds", "samples_per_second"):
            assert again[metric] == value, metric
    (answer,) = Run.open(run.path).predict(QUESTIONS.get(task, ["a good film"]))
    assert set(answer) == ANSWERS[task]


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_tuned_thresholds_are_validations_best_and_travel_with_the_model(model, tmp_path, task):
    changes = {"max_steps": 6} | ({"threshold": "tuned"} if task == "single-label" else {})
    data = {"train": of_task(task), "validation": of_task(task, 32, 6), "test": of_task(task, 24, 8)}
    run = start(data, model, tmp_path / "run", training=changes)

    rows = load_labelled(of_task(task, 32, 6), label_names=run.classifier.label_names, task=task)
    outputs, labels = run.classifier.outputs(rows), rows["label"][:]
    thresholds = run.classifier.thresholds
    assert thresholds == tuple(tune_thresholds(task, outputs, labels))
    assert json.loads((run.path / "model/config.json").read_text())["toughen"]["thresholds"] == list(thresholds)
    names = run.classifier.label_names
    tuned, fixed = (task_metrics(task, outputs, labels, names, cuts)["f1"] or 0 for cuts in (thresholds, None))
    assert run.metrics["validation"]["f1"] == pytest.approx(tuned)
    assert tuned > fixed, "canary: 0.5 would score lower"


def test_thresholds_are_not_tuned_unasked(run):
    assert run.classifier.thresholds is None
