"""The same rows through every door: the same labels and weights; and of one model the same answers to texts."""

import csv
from functools import cache

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

import toughen
from cpp.conftest import Program, locked
from serve.fakes import ask
from serve.folders import save_pretrained
from toughen.cli import main

ROWS = [(f"the {word} film was {word} and {number}", word) for number in range(12) for word in ("good", "bad")]
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])
TEXTS = ["the film was good", "a bad film", 'good, "bad"; good', "a film", "bad " * 40]
SETTINGS = {
    "training.max_steps": 12,
    "training.batch_size": 8,
    "training.max_length": 24,
    "training.learning_rate": 0.01,
}
SETTINGS |= {"training.save_steps": 12, "probe": False, "data.validation_share": 0.25}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return tmp_path_factory.mktemp("doors")


@pytest.fixture(scope="module")
def trained(desk):
    """Train on the rows through a door, once each."""
    model = save_pretrained(desk / "pretrained")

    @cache
    def train(door):
        return toughen.train(
            through(door, desk), model=model, recipe="plain", output=desk / door, quiet=True, **SETTINGS
        )

    return train


def through(door, folder):
    path = folder / f"rows.{door}"
    files = {
        "csv": lambda: FRAME.to_csv(path, index=False),
        "tsv": lambda: FRAME.to_csv(path, index=False, sep="\t"),
        "jsonl": lambda: FRAME.to_json(path, orient="records", lines=True),
        "json": lambda: FRAME.to_json(path, orient="records"),
        "parquet": lambda: FRAME.to_parquet(path),
    }
    if door in files:
        files[door]()
        return str(path)
    return {"frame": FRAME, "dataset": datasets.Dataset.from_pandas(FRAME), "list": ROWS}[door]


def labelled(probabilities):
    return ["bad" if one["bad"] > one["good"] else "good" for one in probabilities]


# ---------------------------------------------------------------- in


@pytest.mark.parametrize("door", ["tsv", "jsonl", "json", "parquet", "frame", "dataset", "list"])
def test_the_same_rows_train_the_same_weights(trained, door):
    """Labels, their ids, the division and every weight, to the bit."""
    ours, csvs = trained(door).classifier, trained("csv").classifier
    assert ours.label_names == csvs.label_names == ("bad", "good")
    theirs = dict(csvs.model.named_parameters())
    assert all(torch.equal(weights.cpu(), theirs[name].cpu()) for name, weights in ours.model.named_parameters())
    assert trained(door).metrics["validation"]["n"] == trained("csv").metrics["validation"]["n"] == 6


# ---------------------------------------------------------------- out


@pytest.fixture(scope="module")
def wanted(trained):
    """The answers of `Run.predict`, which can tell the texts apart."""
    found = [answer["probabilities"] for answer in trained("csv").predict(TEXTS)]
    assert np.ptp([one["good"] for one in found]) > 1e-4, "the texts cannot be told apart"
    return found


@pytest.fixture(scope="module")
def exported(trained, desk):
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from toughen.deploy.export import export

    return export(trained("csv").path, desk / "exported").path


def by_loop(run, _):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(run.path / "model").eval()
    batch = tokenizer(TEXTS, truncation=True, max_length=24, padding=True, return_tensors="pt")
    with torch.no_grad():
        rows = model(**batch).logits.softmax(-1).tolist()
    return [{model.config.id2label[i]: value for i, value in enumerate(row)} for row in rows]


def by_trainer(run, folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(run.path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(run.path / "model")
    args = TrainingArguments(str(folder / "trainer"), report_to=[], use_cpu=True)
    trainer = toughen.ToughTrainer(model, args, processing_class=tokenizer)
    rows = datasets.Dataset.from_dict(dict(tokenizer(TEXTS, truncation=True, max_length=24)))
    found = torch.tensor(trainer.predict(rows).predictions).softmax(-1).tolist()
    return [{model.config.id2label[i]: value for i, value in enumerate(row)} for row in found]


def by_command(source):
    def predict(run, folder):
        given = folder / "texts.csv"
        pd.DataFrame({"text": TEXTS}).to_csv(given, index=False)
        output = folder / f"answers of {source.__name__}.csv"
        assert main(["predict", str(source(run, folder)), "--input", str(given), "--output", str(output)]) == 0
        with output.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        found = [
            {name: float(next(v for k, v in row.items() if k.endswith(name))) for name in ("bad", "good")}
            for row in rows
        ]
        assert [row["label"] for row in rows] == labelled(found)
        return found

    return predict


def the_run(run, _):
    return run.path


def the_export(_, folder):
    return folder / "exported"


def by_service(run, folder):
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    from toughen.serve import Served

    model = Served(toughen.load(folder / "exported"), "exported", "onnxruntime")
    answers = ask("/predict", {"inputs": TEXTS}, model).json()
    return [{one["label"]: one["score"] for one in answer} for answer in answers]


def by_program(_, folder):
    """The program as users build it, once for all test processes."""
    answers = Program(locked("cpp") / "toughen-cli").answers(folder / "exported", TEXTS)
    found = [one["probabilities"] for one in answers]
    assert [one["label"] for one in answers] == labelled(found)
    return found


OUT = {
    "a plain loop": by_loop,
    "ToughTrainer": by_trainer,
    "toughen predict RUN": by_command(the_run),
    "toughen predict DIR": by_command(the_export),
    "toughen.load": lambda _, folder: [
        one["probabilities"] for one in toughen.load(folder / "exported").predict(TEXTS)
    ],
    "the service": by_service,
    "the C++ program": by_program,
}


@pytest.mark.parametrize("door", OUT)
def test_the_same_texts_get_the_same_answers(trained, wanted, exported, desk, door):
    found = OUT[door](trained("csv"), desk)
    assert labelled(found) == labelled(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == {name: pytest.approx(value, rel=0, abs=TOLERANCE) for name, value in theirs.items()}
