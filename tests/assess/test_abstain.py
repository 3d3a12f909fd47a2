"""`toughen abstain`: what it promises holds on fresh draws, is saved with the model, and joins every kind of answer."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import beta, binom
from transformers import AutoTokenizer, BertTokenizerFast

import toughen
from tiny import save_tiny_model, write_splits
from toughen import InputError, Run
from toughen.assess.abstain import THRESHOLDS, chosen_risk, risks, set_threshold
from toughen.cli import main
from toughen.runs.folder import ABSTENTION
from toughen.serve.model import open_model

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
TRAINING = {"max_steps": 30, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
ROOT = Path(__file__).parents[2]
ERROR, CONFIDENCE = 0.1, 0.8


def drawn(rng, n):
    """Confidences c of an overconfident model, whose answers are right with a chance of 1/2 + 2 (c - 1/2)^2."""
    scores = rng.beta(4, 1, n) / 2 + 0.5
    return scores, rng.random(n) < chance(scores)


def chance(scores):
    return 0.5 + 2 * (scores - 0.5) ** 2


@pytest.fixture(scope="module")
def true_errors():
    scores, _ = drawn(np.random.default_rng(9), 400_000)
    wrong = 1 - chance(scores)
    return {t: wrong[scores >= t].mean() if (scores >= t).any() else 0.0 for t in THRESHOLDS}


def share_broken(true_errors, rule, draws=400, n=300):
    """Share of draws in which the threshold that a rule takes has more error than asked for; None breaks nothing."""
    broken = 0
    for seed in range(draws):
        scores, right = drawn(np.random.default_rng(seed), n)
        chosen = rule(risks(scores, right, error=ERROR, confidence=CONFIDENCE))
        broken += chosen is not None and true_errors[chosen.threshold] > ERROR
    return broken, draws


def test_the_error_among_the_answered_holds_on_fresh_draws(true_errors):
    """So often broken as the confidence allows would be the end of a 99.9 % interval; the plain share breaks it."""
    broken, draws = share_broken(true_errors, lambda found: chosen_risk(found, CONFIDENCE))
    most = binom.ppf(0.999, draws, 1 - CONFIDENCE)
    assert broken <= most
    plain, _ = share_broken(
        true_errors, lambda found: next((r for r in found if r.answered and r.errors <= ERROR * r.answered), None)
    )
    assert plain > most, "a rule without a bound breaks it, so that the draws can tell"


def test_some_threshold_is_found_and_lower_ones_are_not(true_errors):
    scores, right = drawn(np.random.default_rng(3), 3000)
    found = risks(scores, right, error=ERROR, confidence=CONFIDENCE)
    best = chosen_risk(found, CONFIDENCE)
    assert best is not None
    assert 0.1 < best.answered / 3000 < 0.9
    assert all(one.p > 1 - CONFIDENCE for one in found if one.threshold < best.threshold)
    assert best.upper <= ERROR
    exact = beta.ppf(CONFIDENCE, best.errors + 1, best.answered - best.errors)
    assert best.upper == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (99, 0.9), (200, 0.75), (9, 0.7)])
def test_sets_hold_the_right_label_of_the_next_text(n, coverage):
    """Over draws of n rows and the next: between coverage and coverage + 1 / (n + 1), as of exchangeable rows."""
    rng = np.random.default_rng(n)
    draws = 20_000
    rows = rng.beta(3, 1, (draws, n + 1))
    held = np.mean([new >= set_threshold(old, coverage) for *old, new in rows])
    slack = 4 * np.sqrt(coverage * (1 - coverage) / draws)
    assert coverage - slack <= held <= coverage + 1 / (n + 1) + slack


def test_too_few_rows_put_every_label_into_every_set():
    assert set_threshold([0.9] * 8, 0.9) == 0.0
    assert set_threshold([0.9] * 9, 0.9) == 0.9


# ---------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("abstain")
    (folder / "data").mkdir()
    data = write_splits(folder / "data", train=96, validation=150, test=40)
    model = save_tiny_model(folder / "model")
    # An export has no table for the word-level tokenizer.
    words = sorted(AutoTokenizer.from_pretrained(model).get_vocab().items(), key=lambda one: one[1])
    BertTokenizerFast(vocab=dict(words)).save_pretrained(model)
    return toughen.train(data, model=model, recipe="plain", output=folder / "run", quiet=True, training=TRAINING)


@pytest.fixture
def run(trained, tmp_path):
    return Run.open(shutil.copytree(trained.path, tmp_path / "run"))


def test_every_way_to_ask_gives_it(run, tmp_path, capsys):
    assert main(["abstain", str(run.path), "--error", "0.2", "--sets", "0.9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((run.path / ABSTENTION).read_text()) == found
    assert found["n"] == 150
    texts = ["good bright film", "a good bad room", "the the the", "awful cold dull meal"]
    answers = Run.open(run.path).predict(texts)
    for one in answers:
        assert one["abstained"] == (one["score"] < found["threshold"])
        assert set(one["label_set"]) == {k for k, p in one["probabilities"].items() if p >= found["set_threshold"]}
    assert main(["export", str(run.path), "--to", str(tmp_path / "onnx")]) == 0
    predictor = toughen.load(tmp_path / "onnx")
    assert predictor.abstention == Run.open(run.path).classifier.abstention
    shipped = predictor.predict(texts)
    assert [(a["abstained"], a["label_set"]) for a in shipped] == [(a["abstained"], a["label_set"]) for a in answers]
    served = open_model(tmp_path / "onnx")
    assert served.describe()["abstention"]["threshold"] == found["threshold"]
    for text, row, answer in zip(texts, served.outputs(served.encode(texts), 4), answers, strict=True):
        told = served.predictions(text, row)
        assert {one["label"] for one in told if one["in_set"]} == set(answer["label_set"])
        given = [] if answer["abstained"] else [answer["label"]]
        assert [one["label"] for one in told if one["predicted"]] == given


def raised(run):
    """Let a run abstain from about half of its validation texts, whatever it learnt."""
    path = run.path / "model" / "config.json"
    config = json.loads(path.read_text())
    scores = sorted(one["score"] for one in run.predict(TEXTS))
    config["toughen"]["abstention"] = {"threshold": scores[len(scores) // 2], "set_threshold": 0.4}
    path.write_text(json.dumps(config))
    toughen.files.manifest.seal(run.path / "model")
    toughen.files.manifest.seal(run.path)
    return Run.open(run.path)


TEXTS = ["good film", "bad room", "a was the", "good bad", "cold cold meal"]


@pytest.mark.filterwarnings("ignore:1 row has no text:UserWarning")
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_predict_writes_no_label_where_the_model_abstains(run, tmp_path, suffix):
    run = raised(run)
    (tmp_path / "in.csv").write_text("text\n" + "\n".join([*TEXTS, " "]))
    kept, left = tmp_path / f"kept{suffix}", tmp_path / f"left{suffix}"
    for target, more in ((kept, []), (left, ["--abstain"])):
        ask = ["predict", str(run.path), "--input", str(tmp_path / "in.csv"), "--output", str(target), "--workers", "1"]
        assert main([*ask, *more]) == 0
    rows, shorter = read(kept), read(left)
    assert all(row["label"] for row in rows[:-1])
    abstained = [row["abstained"] in (True, "True") for row in rows]
    assert 0 < sum(abstained) < len(TEXTS)
    assert [not row["label"] for row in shorter[:-1]] == abstained[:-1]
    assert [row["score"] for row in shorter] == [row["score"] for row in rows]


def read(path):
    if path.suffix == ".csv":
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("page", ["docs/evaluate.md", "docs/zh/evaluate.md"])
def test_the_commands_of_the_page_run(run, trained, tmp_path, monkeypatch, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = [line.strip() for line in text.splitlines() if line.startswith("    toughen ")]
    start = next(i for i, line in enumerate(commands) if line.startswith("toughen abstain"))
    assert [line.split()[1] for line in commands[start:]] == ["abstain", "predict"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run.path.rename(tmp_path / "runs" / "reviews")
    shutil.copytree(Path(trained.recipe.data.source), tmp_path / "reviews")
    for line in commands[start:]:
        assert main(shlex.split(line)[1:]) == 0, line
    assert len(read(tmp_path / "labelled.csv")) == 40


def test_a_temperature_takes_it_away(run):
    run.abstain(sets=0.9)
    assert "abstain" in run.calibrate()["note"]
    assert "label_set" not in Run.open(run.path).predict(TEXTS)[0]
    assert not (run.path / ABSTENTION).exists()
    assert "note" not in run.calibrate()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "say what is to hold: --error"),
        ({"error": 0.0}, "--error"),
        ({"sets": 1.0}, "--sets"),
        ({"error": 0.1, "confidence": 1.0}, "--confidence"),
        ({"error": 0.001}, r"no threshold keeps the wrong answers to 0\.1%.*at least \d,\d{3} must be answered"),
    ],
)
def test_what_cannot_be_held_is_refused_and_nothing_written(run, asked, message):
    before = (run.path / "model" / "config.json").read_bytes()
    with pytest.raises(InputError, match=message):
        run.abstain(**asked)
    assert (run.path / "model" / "config.json").read_bytes() == before
    assert not (run.path / ABSTENTION).exists()


def test_a_model_without_it_refuses_to_abstain(run, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("text\ngood\n")
    ask = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv"), "--abstain", "--workers", "1"]
    assert main(["predict", str(run.path), *ask]) == 2
    assert "never abstains: toughen abstain RUN --error 0.05" in capsys.readouterr().err
