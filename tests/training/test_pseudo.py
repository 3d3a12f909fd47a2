"""Labels from a teacher: only those it is sure of, and never from one that has seen what the student is scored on."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv
from toughen import InputError
from toughen.cli import main
from toughen.data import load_texts
from toughen.data.divide.overlap import text_hashes
from toughen.files.manifest import seal
from toughen.training import one
from toughen.training import start as begin

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

TRAINING = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32", "log_steps": 50}
SHORT = {"training": {"max_steps": 2}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Labelled texts for the teacher, others for the student, and texts without labels, some of them the student's."""
    folder = tmp_path_factory.mktemp("data")
    rows = reviews(300, 0)
    write_csv(folder / "theirs.csv", rows[:120])
    write_csv(folder / "ours.csv", rows[120:180])
    known, new = rows[120:128], rows[180:]
    (folder / "texts.csv").write_text("text\n" + "\n".join(text for text, _ in [*known, *new]) + "\n")
    return folder


def start(data, model, output, **changes):
    training = TRAINING | changes.pop("training", {})
    recipe = changes.pop("recipe", "plain")
    return toughen.train(data, model=model, recipe=recipe, output=output, quiet=True, training=training, **changes)


@pytest.fixture(scope="module")
def teacher(desk, model, tmp_path_factory):
    return start(desk / "theirs.csv", model, tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def sure(desk, teacher):
    """A confidence that the teacher has for half of the new texts."""
    scores = sorted(row["score"] for row in teacher.predict(list(pd.read_csv(desk / "texts.csv")["text"][8:])))
    assert scores[59] < scores[60]
    return (scores[59] + scores[60]) / 2


@pytest.fixture(scope="module")
def student(desk, model, teacher, sure, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "student"
    return start(desk / "ours.csv", model, output, **SHORT, **taught(desk, teacher, sure))


@pytest.fixture(scope="module")
def folds(desk, model, tmp_path_factory):
    return start(desk / "ours.csv", model, tmp_path_factory.mktemp("runs") / "folds", folds=2, **SHORT)


def taught(desk, teacher, sure=0.5001):
    return {"unlabelled": desk / "texts.csv", "pseudo_label": teacher.path, "min_confidence": sure}


def hashes(texts):
    return text_hashes(load_texts(pd.DataFrame({"text": list(texts)})))


def test_the_texts_that_the_teacher_is_sure_of_are_chosen_and_no_others(student, teacher, sure, desk):
    texts = pd.read_csv(desk / "texts.csv")["text"]
    answers = teacher.predict(list(texts))
    kept = [row for row in range(8, len(texts)) if answers[row]["score"] >= sure]
    assert len(kept) == 60, "canary: as many are not"

    chosen = pd.read_parquet(student.path / "pseudo.parquet")

    assert list(chosen.columns) == ["row", "label", "confidence"], "no texts"
    assert list(chosen["row"]) == kept, "the first 8 are the student's own, with labels"
    assert list(chosen["label"]) == [answers[row]["label"] for row in kept]
    np.testing.assert_allclose(chosen["confidence"], [answers[row]["score"] for row in kept], rtol=1e-5)
    report = student.metrics["pseudo_labels"]
    assert report == {
        "teacher": str(teacher.path),
        "min_confidence": sure,
        "texts": 120,
        "kept": 60,
        "share": 0.5,
        "counts": {name: int((chosen["label"] == name).sum()) for name in ("negative", "positive")},
    }
    assert json.loads((student.path / "pseudo.json").read_text()) == report


def test_the_chosen_texts_join_train_with_the_teachers_label(desk, model, teacher, tmp_path, monkeypatch):
    seen = {}

    def look(recipe, splits, folder, console, **more):
        seen["splits"] = splits
        raise KeyboardInterrupt

    monkeypatch.setattr(begin, "train_one", look)
    with pytest.raises(KeyboardInterrupt):
        start(desk / "ours.csv", model, tmp_path / "run", **SHORT, **taught(desk, teacher))

    train = seen["splits"].train.to_pandas()
    added = train[train["row"] < 0]
    texts = pd.read_csv(desk / "texts.csv")["text"]
    assert len(train) - len(added) == 54, "the student's own rows, less validation's"
    assert list(added["text"]) == list(texts[-1 - added["row"]])
    says = [seen["splits"].label_names.index(row["label"]) for row in teacher.predict(list(added["text"]))]
    assert list(added["label"]) == says
    assert set(says) == {0, 1}, "canary: not all of one class"
    assert seen["splits"].unlabelled is None


def test_a_run_keeps_which_texts_it_has_seen(student, teacher, desk):
    chosen = pd.read_parquet(student.path / "pseudo.parquet")["row"]
    ours, texts = pd.read_csv(desk / "ours.csv")["text"], pd.read_csv(desk / "texts.csv")["text"]

    assert sorted(np.load(student.path / "train_hashes.npy")) == sorted(hashes([*ours, *texts[chosen]]))
    assert not np.isin(np.load(teacher.path / "train_hashes.npy"), hashes(ours)).any()


def test_a_teacher_that_has_seen_a_scored_text_is_refused(desk, model, teacher, tmp_path):
    """Validation or test; the same teacher is taken where it has not (the student of the other tests)."""
    rows = pd.read_csv(desk / "theirs.csv")
    for split in ("validation", "test"):
        folder = tmp_path / split
        folder.mkdir()
        shutil.copy(desk / "ours.csv", folder / "train.csv")
        rows[:3].to_csv(folder / f"{split}.csv", index=False)
        says = rf"was trained or selected on 3 of the 3 texts of the {split} split"
        with pytest.raises(InputError, match=says):
            start(folder, model, tmp_path / "run", **taught(desk, teacher))

    assert not (tmp_path / "run").exists()


def test_a_teacher_on_the_same_rows_is_refused(desk, model, student, tmp_path):
    with pytest.raises(InputError, match="train the teacher with --folds K"):
        start(desk / "ours.csv", model, tmp_path / "run", **taught(desk, student))


def test_each_member_of_a_teacher_in_folds_labels_for_the_fold_it_never_saw(desk, model, folds, tmp_path):
    run = start(desk / "ours.csv", model, tmp_path / "run", folds=2, **SHORT, **taught(desk, folds))

    texts, ours = pd.read_csv(desk / "texts.csv")["text"], pd.read_csv(desk / "ours.csv")["text"]
    reports = run.metrics["pseudo_labels"]["folds"]
    whole = pd.read_parquet(run.path / "pseudo.parquet")
    assert list(whole.columns) == ["fold", "row", "label", "confidence"]
    for fold, (member, mentor) in enumerate(zip(run.members, folds.members, strict=True), 1):
        chosen = pd.read_parquet(member.path / "pseudo.parquet")
        assert whole[whole["fold"] == fold].drop(columns="fold").reset_index(drop=True).equals(chosen)
        says = mentor.predict(list(texts[chosen["row"]]))
        np.testing.assert_allclose(chosen["confidence"], [row["score"] for row in says], rtol=1e-5)
        assert member.metrics["pseudo_labels"] | {"x": 0} == {
            "teacher": str(folds.path), "min_confidence": 0.5001, **reports[fold - 1], "x": 0
        }  # fmt: skip
        held = pd.read_parquet(run.path / "oof.parquet")["fold"] == fold
        seen = np.load(member.path / "train_hashes.npy")
        assert not np.isin(hashes(ours[held.to_numpy()]), seen).any()
        assert np.isin(hashes(texts[chosen["row"]]), seen).all()
    confidences = [whole[whole["fold"] == fold].set_index("row")["confidence"] for fold in (1, 2)]
    assert abs(confidences[0] - confidences[1]).max() > 1e-4, "canary: the members differ"


def test_a_teacher_with_other_folds_is_refused(desk, model, folds, tmp_path):
    with pytest.raises(InputError, match=r"has 2 folds and this run 3.*give --folds 2"):
        start(desk / "ours.csv", model, tmp_path / "run", folds=3, **taught(desk, folds))
    with pytest.raises(InputError, match=r"texts of the rows of fold 1"):
        start(desk / "ours.csv", model, tmp_path / "run", folds=2, seed=7, **taught(desk, folds))


def test_a_run_that_was_stopped_is_resumed_without_its_teacher(
    desk, model, teacher, sure, student, tmp_path, monkeypatch
):
    """What the teacher said is part of the run from its start; the result is that of the run left alone."""
    mentor = shutil.copytree(teacher.path, tmp_path / "teacher")
    asked = taught(desk, teacher, sure) | {"pseudo_label": mentor}
    with monkeypatch.context() as patch:
        patch.setattr(one, "_write_results", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            start(desk / "ours.csv", model, tmp_path / "run", **SHORT, **asked)
    shutil.rmtree(mentor)

    with pytest.raises(InputError, match=r"--min-confidence is 0.7, but the run in .* was started with 0\.\d+;"):
        toughen.train(output=tmp_path / "run", resume=True, pseudo_label=mentor, min_confidence=0.7, quiet=True)
    resumed = toughen.train(output=tmp_path / "run", resume=True, quiet=True)

    assert resumed.metrics["pseudo_labels"] == student.metrics["pseudo_labels"] | {"teacher": str(mentor)}
    assert resumed.metrics["validation"]["log_loss"] == student.metrics["validation"]["log_loss"]


def test_a_teacher_of_an_older_version_is_refused(desk, model, teacher, tmp_path):
    old = shutil.copytree(teacher.path, tmp_path / "old")
    (old / "train_hashes.npy").unlink()
    seal(old)

    with pytest.raises(InputError, match=r"no train_hashes.npy.*make it again with toughen train --recipe"):
        start(desk / "ours.csv", model, tmp_path / "run", **taught(desk, teacher) | {"pseudo_label": old})


def test_a_teacher_with_other_labels_is_refused(desk, model, teacher, tmp_path):
    rows = pd.read_csv(desk / "ours.csv").replace({"positive": "up", "negative": "down"})
    rows.to_csv(tmp_path / "data.csv", index=False)

    with pytest.raises(InputError, match=r"knows the labels negative, positive, but the data has down, up"):
        start(tmp_path / "data.csv", model, tmp_path / "run", **taught(desk, teacher))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"min_confidence": 0.5}, "--min-confidence must be above 1/2"),
        ({"min_confidence": 1.5}, "--min-confidence must be a probability"),
        ({"min_confidence": 1.0}, r"no text without a label reached the confidence 1.0 \(the highest is 0."),
        ({"pseudo_label": None}, "--min-confidence is for --pseudo-label"),
        ({"pseudo_label": "no-such-run"}, "no-such-run is not a run folder"),
        ({"unlabelled": None}, "--pseudo-label needs texts to label"),
        ({"unlabelled": "ours.csv"}, "also stands in"),
    ],
    ids=str,
)
def test_a_wrong_setting_leaves_no_run_folder(desk, model, teacher, tmp_path, changes, says):
    if changes.get("unlabelled"):
        changes = {"unlabelled": desk / changes["unlabelled"]}
    with pytest.raises(InputError, match=says):
        start(desk / "ours.csv", model, tmp_path / "run", **taught(desk, teacher) | changes)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", ["multi-label", "regression", "tokens"])
def test_tasks_without_a_confidence_per_text_are_refused_by_name(task):
    from toughen.data import Data, load_splits
    from toughen.training import pseudo_labels
    from toughen.training.extras import Extras

    splits = replace(load_splits(Data(), seed=0, data=reviews(20, 0)), task=task)
    with pytest.raises(InputError, match=f"for {task} it is not offered, because"):
        pseudo_labels.choose(Extras(pseudo_label="no-such-run"), [pseudo_labels.Lesson(splits, {})], batch_size=8)


def test_the_command_says_how_many_texts_were_kept(desk, model, teacher, sure, tmp_path, capsys):
    flags = [f"--training.{name}={value}" for name, value in (TRAINING | {"max_steps": 1}).items()]
    argv = ["train", "plain", "--data", str(desk / "ours.csv"), "--model", str(model), *flags]
    argv += [
        "--unlabelled",
        str(desk / "texts.csv"),
        "--pseudo-label",
        str(teacher.path),
        "--min-confidence",
        str(sure),
    ]

    assert main([*argv, "--output", str(tmp_path / "run"), "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)["pseudo_labels"]
    counts = ", ".join(f"{name} {count}" for name, count in report["counts"].items())
    assert f"pseudo labels: {report['kept']} of 120 texts kept ({report['share']:.1%}); {counts}" in err
