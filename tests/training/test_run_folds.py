"""Runs in folds: every row is scored by a model that never saw it, and nothing else is promised of it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import toughen
from test_run import of_task
from tiny import reviews, save_tiny_model, write_csv
from toughen import InputError, Run, load_recipe
from toughen.assess.metrics import classification_metrics
from toughen.cli import main, show
from toughen.data import load_labelled, load_splits, load_texts
from toughen.data.divide.overlap import text_hashes
from toughen.recipe.auto import as_begun
from toughen.training import folds
from toughen.training.fold_baselines import fold_baselines
from toughen.training.fold_plan import make_plan, split_fold
from toughen.training.probe import words_outputs

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

K = 3
VERDICT = {"verdict", "next", "collapsed"}
TRAINING = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32", "log_steps": 50}
TEXTS = ["a very good film", "an awful meal", "the room was warm and bright", "poor"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """60 texts, the first 12 of them twice, a test split, and texts without labels."""
    folder = tmp_path_factory.mktemp("data")
    rows = reviews(60, 0)
    write_csv(folder / "train.csv", rows + rows[:12])
    write_csv(folder / "test.csv", reviews(24, 1))
    (folder.parent / "new.csv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    return folder


def start(data, model, output, **changes):
    training = TRAINING | changes.pop("training", {})
    recipe = changes.pop("recipe", "plain")
    return toughen.train(data, model=model, recipe=recipe, output=output, quiet=True, training=training, **changes)


@pytest.fixture(scope="module")
def run(data, model, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "run"
    return start(data, model, output, folds=K, submit=data.parent / "new.csv")


def table(run):
    return pd.read_parquet(run.path / "oof.parquet")


def probabilities(frame):
    return frame[["probability_negative", "probability_positive"]].to_numpy()


def train_texts(data):
    return pd.read_csv(data / "train.csv")


def test_the_folder_holds_what_it_promises_and_each_fold_is_a_run(run):
    assert {path.name for path in run.path.iterdir()} == {
        "fold-1", "fold-2", "fold-3", "recipe.yaml", "folds.json", "oof.parquet", "submission.csv", "metrics.json",
        "report.html", "manifest.json", "mistakes.json",
    }  # fmt: skip
    assert set(run.metrics) == {"out_of_fold", "folds", "mean_sd", "test", "environment", "baselines"} | VERDICT
    assert (run.folds, len(run.members)) == (K, K)
    for member in run.members:
        assert (member.folds, member.members) == (None, (member,))
        assert member.recipe == as_begun(run.recipe, member.recipe), "what the recipe leaves open each fold settles"
        scored = {"validation", "train", "environment", "baselines", "probe"} | VERDICT
        assert set(member.metrics) == scored, "a fold's model is never scored on test"


def test_no_model_has_seen_a_text_that_it_scores_out_of_fold(run, data):
    noted = json.loads((run.path / "folds.json").read_text())
    texts = train_texts(data)["text"]

    assert sorted(row for rows in noted["rows"] for row in rows) == list(range(72)), "every row, once"
    for member, rows in zip(run.members, noted["rows"], strict=True):
        held = text_hashes(load_texts(pd.DataFrame({"text": texts.iloc[rows]})))
        others = text_hashes(load_texts(pd.DataFrame({"text": texts.drop(rows)})))
        seen = np.load(member.path / "train_hashes.npy")
        assert seen.dtype == np.uint64
        assert not np.isin(held, seen).any()
        assert np.isin(others, seen).all(), "canary: all else was seen, train and selection"


def test_copies_of_a_text_share_a_fold(run):
    frame = table(run).set_index("row")["fold"]

    assert list(frame[:12]) == list(frame[60:])
    assert frame[:12].nunique() > 1, "canary: the copies are not simply all in one fold"


def test_a_submission_is_read_and_headed_by_the_columns_of_training(model, tmp_path):
    """Training had its text in `body`; so has the file to submit, whose `text` is another column; ids come first."""
    rows = reviews(40, 3)
    frame = pd.DataFrame({"id": range(40), "body": [text for text, _ in rows], "stars": [label for _, label in rows]})
    frame.to_csv(tmp_path / "train.csv", index=False)
    new = pd.DataFrame({"text": ["aside"] * 3, "body": TEXTS[:3], "key": ["k7", "k3", "k5"]})
    new.to_csv(tmp_path / "new.csv", index=False)
    source = {"data.text": "body", "data.label": "stars"}
    asked = {"folds": 2, "submit": tmp_path / "new.csv", "training": {"epochs": 1}}
    run = start(tmp_path / "train.csv", model, tmp_path / "run", id_column="key", **asked, **source)
    found = pd.read_csv(run.path / "submission.csv")
    assert list(found.columns)[:2] == ["key", "label"]
    assert list(found["key"]) == ["k7", "k3", "k5"]
    said = [row["probabilities"]["positive"] for row in run.predict(TEXTS[:3])]
    assert list(found["probability_positive"]) == pytest.approx(said)
    run.recipe = replace(run.recipe, data=replace(run.recipe.data, text=None, label=None))  # found, not named
    later = frame.assign(text="aside", label="negative")
    assert run.evaluate(later)["log_loss"] == run.evaluate(frame)["log_loss"]
    with pytest.raises(InputError, match=r"no column 'name' for --id-column; it has 'text', 'body', 'key'"):
        start(tmp_path / "train.csv", model, tmp_path / "other", id_column="name", **asked, **source)
    with pytest.raises(InputError, match="--id-column is for --folds"):
        start(tmp_path / "train.csv", model, tmp_path / "other", id_column="key", **source)


def test_a_row_out_of_fold_is_scored_by_its_own_folds_model_alone(run, data):
    frame, texts = table(run), train_texts(data)
    assert list(frame.columns) == ["row", "fold", "label", "probability_negative", "probability_positive"]
    assert list(frame["row"]) == list(range(72))
    assert list(frame["label"]) == list(texts["label"])

    for fold, member in enumerate(run.members, 1):
        own = frame["fold"] == fold
        says = member.classifier.probabilities(load_texts(pd.DataFrame({"text": texts["text"]})))
        np.testing.assert_allclose(probabilities(frame)[own], says[own], rtol=1e-6)
        assert abs(probabilities(frame)[~own] - says[~own]).max() > 1e-3, "canary: other folds' rows differ"


def test_metrics_are_those_of_the_pooled_rows_and_of_each_fold(run):
    frame = table(run)
    labels = (frame["label"] == "positive").to_numpy().astype(int)

    assert run.metrics["out_of_fold"] == classification_metrics(probabilities(frame), labels, ("negative", "positive"))
    assert run.metrics["out_of_fold"]["n"] == 72
    for fold, metrics in enumerate(run.metrics["folds"], 1):
        own = (frame["fold"] == fold).to_numpy()
        assert metrics == classification_metrics(probabilities(frame)[own], labels[own], ("negative", "positive"))
    accuracies = [metrics["accuracy"] for metrics in run.metrics["folds"]]
    spread = run.metrics["mean_sd"]["accuracy"]
    assert spread == {"mean": pytest.approx(np.mean(accuracies)), "sd": pytest.approx(np.std(accuracies, ddof=1))}


def test_the_verdict_names_the_best_simple_model_on_the_same_rows(run, capsys):
    found = run.metrics["baselines"]
    assert set(found) == {"out_of_fold", "test"}
    assert all(set(kinds) == {"majority", "words", "frozen"} for kinds in found.values())
    assert {kind["n"] for kind in found["out_of_fold"].values()} == {72}
    assert {kind["n"] for kind in found["test"].values()} == {24}
    best = max(value["accuracy"] for value in found["test"].values())
    assert "a simple model on the same rows (" in run.metrics["verdict"]
    assert f") gets {best:.3f}" in run.metrics["verdict"]
    show.print_run(run.metrics)
    assert "out of fold accuracy: " in capsys.readouterr().out


def test_simple_models_answer_rows_that_they_have_not_seen(model):
    """Labels by chance on words of their own: whoever has seen a row knows it, whoever has not guesses."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"text": [f"word{i} thing{i}" for i in range(120)], "label": rng.permutation([0, 1] * 60)})
    recipe = load_recipe("plain", {"model": str(model), "training.max_length": 16, "head.pooling": "mean"})
    splits = load_splits(recipe.data, seed=0, data=rows)
    plan = make_plan(recipe, splits, 4)
    found = fold_baselines(plan, recipe)
    assert set(found) == {"out_of_fold"}
    assert found["out_of_fold"]["words"]["accuracy"] < 0.7
    known = words_outputs(plan.pool, [plan.pool], splits, 0)[0].argmax(1) == np.asarray(plan.pool["label"][:])
    assert known.mean() > 0.95, "canary: who has seen them knows them"
    rates = [np.mean(split_fold(plan, recipe, fold).train["label"][:]) for fold in plan.fold]
    ones = np.column_stack([1 - np.asarray(rates), rates])
    expected = classification_metrics(ones, np.asarray(plan.pool["label"][:]), splits.label_names)
    assert found["out_of_fold"]["majority"] == expected
    assert fold_baselines(plan, load_recipe(recipe, {"probe": False})) == {}


def test_the_submission_and_predictions_are_the_mean_of_all_models(run):
    frame = pd.read_csv(run.path / "submission.csv")
    alone = [[row["probabilities"]["positive"] for row in member.predict(TEXTS)] for member in run.members]
    mean = np.mean(alone, axis=0)

    assert np.std(alone, axis=0).max() > 1e-3, "canary: the models differ"
    assert list(frame.columns) == ["row", "label", "probability_negative", "probability_positive"]
    assert list(frame["row"]) == [0, 1, 2, 3]
    np.testing.assert_allclose(frame["probability_positive"], mean, rtol=1e-5)
    assert list(frame["label"]) == ["positive" if p > 0.5 else "negative" for p in mean]
    assert [row["probabilities"]["positive"] for row in run.predict(TEXTS)] == pytest.approx(list(mean), rel=1e-5)
    assert run.predict([]) == []


def test_test_is_scored_by_the_averaged_probabilities(run, data):
    again = run.evaluate(data / "test.csv")

    assert {name: again[name] for name in run.metrics["test"]} == run.metrics["test"]
    assert run.metrics["test"]["n"] == 24


def test_a_labelled_test_split_is_submitted_where_nothing_else_is(data, model, tmp_path):
    run = start(data, model, tmp_path / "run", folds=2, training={"max_steps": 1})
    frame = pd.read_csv(run.path / "submission.csv")

    assert len(frame) == 24
    metrics = classification_metrics(
        probabilities(frame), (pd.read_csv(data / "test.csv")["label"] == "positive").astype(int).to_numpy()
    )
    assert metrics["log_loss"] == pytest.approx(run.metrics["test"]["log_loss"])


def test_a_run_that_stops_between_folds_is_resumed_to_the_same_weights(run, data, model, tmp_path, monkeypatch):
    """The first fold is left alone, the second starts again, no flag is needed, and nothing was half-written before."""
    train_one, trained = folds.train_one, []

    def stop_at_the_second(recipe, splits, folder, console, **more):
        trained.append(folder.name)
        if trained == ["fold-1", "fold-2"]:
            raise KeyboardInterrupt
        train_one(recipe, splits, folder, console, **more)

    monkeypatch.setattr(folds, "train_one", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        start(data, model, tmp_path / "run", folds=K, submit=data.parent / "new.csv")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"fold-1", "recipe.yaml", "folds.json"}
    with pytest.raises(InputError, match="has not finished"):
        Run.open(tmp_path / "run")
    before = (tmp_path / "run/fold-1/metrics.json").read_bytes()

    resumed = toughen.train(output=tmp_path / "run", resume=True, quiet=True)

    assert trained == ["fold-1", "fold-2", "fold-2", "fold-3"]
    assert (tmp_path / "run/fold-1/metrics.json").read_bytes() == before
    for member, whole in zip(resumed.members, run.members, strict=True):
        ours, theirs = (load_file(r.path / "model/model.safetensors") for r in (member, whole))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert table(resumed).equals(table(run))
    assert (resumed.path / "submission.csv").read_bytes() == (run.path / "submission.csv").read_bytes()


def test_a_finished_run_is_left_alone_and_another_is_not_mixed_in(run, data, model):
    before = (run.path / "metrics.json").read_bytes()

    assert toughen.train(output=run.path, resume=True, folds=K, quiet=True).metrics == run.metrics
    with pytest.raises(InputError, match=r"--folds is 4, but the run in .* was started with 3"):
        toughen.train(output=run.path, resume=True, folds=4, quiet=True)
    with pytest.raises(InputError, match="already holds a run"):
        start(data, model, run.path, folds=K)
    with pytest.raises(InputError, match=r"fold-1 is one fold of the run in .*run; resume or replace that one"):
        toughen.train(output=run.path / "fold-1", resume=True, quiet=True)

    assert (run.path / "metrics.json").read_bytes() == before


def test_resume_with_other_rows_is_refused(run, data, model, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    (copy / "metrics.json").unlink()
    original = (data / "train.csv").read_text()
    try:
        write_csv(data / "train.csv", reviews(72, 5))
        with pytest.raises(InputError, match=r"the data is not what the folds in .* were made of"):
            toughen.train(output=copy, resume=True, quiet=True)
    finally:
        (data / "train.csv").write_text(original)

    assert toughen.train(output=copy, resume=True, quiet=True).metrics["out_of_fold"] == run.metrics["out_of_fold"]


def test_overwrite_replaces_folds_by_a_single_run_and_back(data, model, tmp_path):
    short = {"training": {"max_steps": 1}, "overwrite": True}
    start(data, model, tmp_path / "run", folds=2, **short)
    alone = start(data, model, tmp_path / "run", **short)
    assert (alone.folds, alone.members) == (None, (alone,))
    assert not (alone.path / "fold-1").exists()

    assert start(data, model, tmp_path / "run", folds=2, **short).folds == 2


def test_a_given_validation_split_selects_in_every_fold_and_all_of_train_is_folded(data, model, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    write_csv(tmp_path / "data/validation.csv", reviews(16, 2))
    given = start(tmp_path / "data", model, tmp_path / "given", folds=2, training={"max_steps": 1})
    found = start(data, model, tmp_path / "found", folds=2, training={"max_steps": 1})

    assert len(table(given)) == len(table(found)) == 72
    chosen = text_hashes(load_texts(tmp_path / "data/validation.csv"))
    for with_split, without in zip(given.members, found.members, strict=True):
        assert with_split.metrics["validation"]["n"] == 16
        assert np.isin(chosen, np.load(with_split.path / "train_hashes.npy")).all()
        assert without.metrics["validation"]["n"] < 16, "canary: without one, a part of the other folds selects"


def test_rows_of_a_group_share_a_fold(model, tmp_path):
    rows = reviews(40, 3)
    frame = pd.DataFrame(rows, columns=["text", "label"]).assign(author=[f"author {i // 4}" for i in range(40)])
    frame.to_csv(tmp_path / "data.csv", index=False)

    grouped, loose = (
        start(tmp_path / "data.csv", model, tmp_path / str(group), folds=2, group=group, training={"max_steps": 1})
        for group in ("author", None)
    )

    for run, most in ((grouped, 1), (loose, 2)):
        per_group = table(run)["fold"].groupby(frame["author"]).nunique()
        assert per_group.max() == most, "and without --group they do not"
    assert json.loads((grouped.path / "folds.json").read_text())["group"] == "author"


def test_texts_without_labels_of_a_held_out_row_are_not_learnt_from(data, model, tmp_path):
    """With VAT the fold's model sees the texts of --unlabelled, but none that it is scored on."""
    texts = train_texts(data)["text"]
    texts.to_frame().to_csv(tmp_path / "texts.csv", index=False)
    settings = {"recipe": "vat", "unlabelled": tmp_path / "texts.csv", "data.drop_shared": False}
    run = start(data, model, tmp_path / "run", folds=2, training={"max_steps": 1}, **settings)

    for fold, member in enumerate(run.members, 1):
        held = texts[(table(run)["fold"] == fold).to_numpy()]
        hashes = text_hashes(load_texts(pd.DataFrame({"text": held})))
        assert not np.isin(hashes, np.load(member.path / "train_hashes.npy")).any()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folds": 1}, "--folds must be at least 2, got 1"),
        ({"folds": 40}, r"too few for 40 folds"),
        ({"folds": 2, "group": "author"}, "author"),
        ({"submit": "new.csv"}, "--submit is for --folds"),
        ({"folds": 2, "submit": "no.csv"}, "no.csv is missing"),
        ({"folds": 2, "training": {"metric": "f2"}}, "training.metric must be one of"),
        ({"folds": 2, "adversary": {"name": "fgm", "site": "layer 9"}}, "layer 9"),
    ],
    ids=str,
)
def test_a_wrong_setting_leaves_no_run_folder(data, model, tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        start(data, model, tmp_path / "run", **changes)

    assert list(tmp_path.iterdir()) == []


def test_the_command_trains_in_folds_and_says_so(data, model, tmp_path, capsys):
    flags = [f"--training.{name}={value}" for name, value in (TRAINING | {"max_steps": 1}).items()]
    argv = ["train", "plain", "--data", str(data), "--model", str(model), "--output", str(tmp_path / "run"), *flags]

    assert main([*argv, "--folds", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["metric", "out", "of", "fold", "mean", "of", "2", "sd", "test"]
    assert main([*argv, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out_of_fold"]["n"] == 72
    assert main([*argv, "--folds", "1", "--overwrite"]) == 2
    assert capsys.readouterr().err == "--folds must be at least 2, got 1; leave it out for a single model.\n"


# ---------------------------------------------------------------- every task


@pytest.mark.parametrize("task", ["multi-label", "regression", "tokens", "pairs"])
def test_every_task_runs_in_folds(model, tmp_path, task):
    """Out-of-fold rows are the held-out model's outputs; what is submitted is the mean of both."""
    rows = of_task(task, 40, 3)
    submit = [{name: value for name, value in row.items() if name not in ("label", "tags")} for row in rows[:5]]
    run = start(rows, model, tmp_path / "run", folds=2, submit=pd.DataFrame(submit), training={"max_steps": 2})

    single = "single-label" if task == "pairs" else task
    frame, answered = table(run), pd.read_csv(run.path / "submission.csv")
    outputs = [column for column in frame if column.startswith(("probability_", "prediction"))]
    assert len(outputs) == len(run.classifier.label_names)
    assert run.metrics["out_of_fold"]["n"] == 40
    held = load_labelled(rows, label_names=run.classifier.label_names, task=single)
    for fold, member in enumerate(run.members, 1):
        says = member.classifier.outputs(held)
        for row in np.flatnonzero(frame["fold"] == fold)[:5]:
            np.testing.assert_allclose(np.stack(frame[outputs].iloc[row]).T, says[row], rtol=1e-5)
    mean = run.classifier.outputs(held.select(range(5)))
    assert list(answered["row"]) == list(range(5))
    if task == "regression":
        np.testing.assert_allclose(answered["prediction"], mean, rtol=1e-5)
    elif task == "tokens":
        assert [len(tags.split()) for tags in answered["label"]] == [len(words) for words in mean]
    else:
        np.testing.assert_allclose(answered[outputs], mean, rtol=1e-5)
