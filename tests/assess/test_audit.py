"""`toughen audit`: flipped labels, copies and foreign texts are found, and its files change what is trained on."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import toughen
from tiny import reviews, save_tiny_model
from toughen import InputError, Run
from toughen.assess.audit.label_errors import find_label_errors
from toughen.assess.audit.near_duplicates import near_duplicates
from toughen.assess.audit.outliers import FAR, outlier_scores
from toughen.cli import main
from toughen.data import Data, load_splits
from toughen.files.manifest import seal

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
FLIPPED, COPIES = (3, 40, 77, 190), 3
TRAINING = {"max_steps": 250, "batch_size": 16, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
OTHER = {"positive": "negative", "negative": "positive"}


def corpus():
    """200 rows, four of them with the wrong label, then copies of the first ones in another case; one contradicts."""
    rows = [(text, OTHER[label] if i in FLIPPED else label) for i, (text, label) in enumerate(reviews(200, 0))]
    copies = [(f"{text.upper()} !", label) for text, label in rows[:COPIES]]
    return [*rows, *copies, (rows[10][0] + ".", OTHER[rows[10][1]])]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    save_tiny_model(folder / "tiny")
    pd.DataFrame(corpus(), columns=["text", "label"]).to_csv(folder / "reviews.csv", index=False)
    given = {"model": folder / "tiny", "recipe": "plain", "folds": 3, "training": TRAINING}
    toughen.train(folder / "reviews.csv", output=folder / "run", quiet=True, **given)
    return folder


@pytest.fixture(scope="module")
def audited(desk):
    found = Run.open(desk / "run").audit()
    return found | {"folder": desk / "run/audits/reviews"}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_flipped_labels_are_named_with_the_right_one(audited):
    rows = table(audited["folder"] / "relabel.csv")
    named = {int(row["row"]): row for row in rows}
    assert len(set(FLIPPED) & set(named)) >= 3
    assert len(named) <= 16
    truth = dict(enumerate(label for _, label in reviews(200, 0)))
    for row in set(FLIPPED) & set(named):
        assert named[row]["given"] == OTHER[truth[row]]
        assert named[row]["suggested"] == truth[row]
        assert named[row]["label"] == ""
        assert named[row]["text"] == reviews(200, 0)[row][0]
    assert [float(r["probability_given"]) for r in rows] == sorted(float(r["probability_given"]) for r in rows)


def test_copies_and_contradictions_are_told_apart(audited):
    drop = {int(row["row"]): int(row["copy_of"]) for row in table(audited["folder"] / "drop.csv")}
    assert drop == {200 + i: i for i in range(COPIES)}
    (contradicting,) = (r for r in table(audited["folder"] / "relabel.csv") if "contradicts a copy" in r["reason"])
    assert int(contradicting["row"]) == 203
    assert audited["copies"] == {"groups": 4, "rows": 8, "later": 3, "contradicting_groups": 1}


def test_the_account_and_the_rows_agree(audited):
    assert json.loads((audited["folder"] / "audit.json").read_text())["n"] == 204
    rows = pq.read_table(audited["folder"] / "rows.parquet").to_pandas()
    assert rows["likely_wrong"].sum() == audited["labels"]["likely_wrong"]
    assert (rows["distance"] > FAR).sum() == audited["outliers"] == len(table(audited["folder"] / "outliers.csv"))
    assert sum(entry["likely_wrong"] for entry in audited["labels"]["classes"]) == audited["labels"]["likely_wrong"]


def test_its_files_are_trained_on(audited, desk):
    before = load_splits(Data(source=str(desk / "reviews.csv")), seed=0)
    drop, relabel = audited["folder"] / "drop.csv", desk / "relabel.csv"
    filled = pd.read_csv(audited["folder"] / "relabel.csv")
    filled["label"] = filled["suggested"].where(filled.index != 0)  # the first one is not looked at
    filled.to_csv(relabel, index=False)
    files = {"relabel": str(relabel), "drop": str(drop)}
    after = load_splits(Data(source=str(desk / "reviews.csv"), **files), seed=0)
    named = {int(row["row"]): row["label"] for row in table(relabel) if row["label"]}

    def labels(splits):
        parts = [splits.train, splits.validation]
        return {r: splits.label_names[i] for p in parts for r, i in zip(p["row"][:], p["label"][:], strict=True)}

    expected = labels(before) | named
    for row in (200, 201, 202):
        del expected[row]
    assert labels(after) == expected
    assert any("rows get another label" in note for note in after.summary.notes)
    assert any("rows left out, named in" in note for note in after.summary.notes)


def test_lists_of_an_audit_that_found_nothing_change_nothing(desk, tmp_path):
    for name, columns in (("drop", "row,label,copy_of,text"), ("relabel", "row,label,given,text")):
        (tmp_path / f"{name}.csv").write_text(columns + "\n")
    files = {name: str(tmp_path / f"{name}.csv") for name in ("drop", "relabel")}
    before = load_splits(Data(source=str(desk / "reviews.csv")), seed=0)
    after = load_splits(Data(source=str(desk / "reviews.csv"), **files), seed=0)
    assert list(after.train["text"][:]) == list(before.train["text"][:])
    assert [note for note in after.summary.notes if "names none" in note] == [
        f"no row is left out: {files['drop']} names none (data.drop)",
        f"no row gets another label: {files['relabel']} names none (data.relabel)",
    ]


def test_the_command_prints_the_account_and_a_report(desk, capsys, audited):
    assert main(["audit", str(desk / "run"), "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["labels"] == audited["labels"]
    assert (audited["folder"] / "report.html").exists()
    assert main(["audit", str(desk / "run")]) == 0
    assert "--data.relabel" in capsys.readouterr().out


def test_other_runs_and_other_data_are_refused(desk, tmp_path):
    with pytest.raises(InputError, match=r"is one fold of the run in .*; audit that one"):
        Run.open(desk / "run/fold-1").audit()
    with pytest.raises(InputError, match=r"the data have changed; give the same rows, or train again"):
        Run.open(desk / "run").audit([(text, label) for text, label in reviews(204, 5)])
    shutil.copytree(desk / "run/fold-1", tmp_path / "alone")
    with pytest.raises(InputError, match=r"is not in folds.*train with --folds 5"):
        Run.open(tmp_path / "alone").audit()


def test_a_run_that_has_learnt_nothing_is_no_judge(desk, tmp_path):
    """Its answers differ from every label of the other class."""
    shutil.copytree(desk / "run", tmp_path / "run")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["collapsed"] is False
    (tmp_path / "run/metrics.json").write_text(json.dumps(metrics | {"collapsed": True}))
    seal(tmp_path / "run")
    with pytest.raises(InputError, match=r"have learnt nothing, so their answers say nothing of the labels; train"):
        Run.open(tmp_path / "run").audit()


def test_the_confident_joint_by_hand():
    """Thresholds .8 and .63: the third row is confidently neither, the last one, which is labelled 1, confidently 0."""
    labels = [0, 0, 0, 1, 1, 1]
    p1 = np.array([0.1, 0.1, 0.4, 0.9, 0.9, 0.1])
    found = find_label_errors(labels, np.stack([1 - p1, p1], axis=1))
    assert found.thresholds == pytest.approx([0.8, 1.9 / 3])
    assert found.joint == pytest.approx(np.array([[3, 0], [1, 2]]))
    assert found.rows.tolist() == [5]
    assert found.suggested.tolist() == [0]
    assert found.share == pytest.approx(1 / 6)


def test_a_class_without_rows_and_one_without_a_confident_row():
    found = find_label_errors([0, 0, 1], np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]))
    assert np.isinf(found.thresholds[2])
    assert found.joint.sum(axis=1) == pytest.approx([2, 1, 0])
    assert np.isfinite(found.share)


def test_near_duplicates_across_writing_and_in_chinese():
    english = ["The battery lasts a long time, really.", "the battery lasts a long time really", "a dull film"]
    chinese = ["这家酒店的早餐非常好吃，服务也很周到。", "这家酒店的早餐非常好吃,服务也很周到!"]
    texts = [*english, "!!!", "???", *chinese]
    assert near_duplicates(texts).tolist() == [0, 0, 2, 3, 4, 5, 5]


def test_features_are_what_enters_the_last_layer(desk):
    classifier = Run.open(desk / "run/fold-1").classifier
    rows = load_splits(Data(source=str(desk / "reviews.csv")), seed=0).train
    last, vectors = classifier.model.classifier, classifier.features(rows)
    weight, bias = (p.detach().double().numpy() for p in (last.weight, last.bias))
    assert vectors @ weight.T + bias == pytest.approx(classifier.logits(rows), abs=1e-5)


def test_texts_of_another_kind_are_far():
    draw = np.random.default_rng(0)
    own, foreign = draw.normal(size=(500, 16)) + 4 * np.eye(16)[0], draw.normal(size=(5, 16)) - 4 * np.eye(16)[0]
    scores = outlier_scores(np.concatenate([own, foreign]), draw.integers(0, 5, 505))
    assert (scores[500:] > FAR).all()
    assert (scores[:500] > FAR).mean() < 0.05
