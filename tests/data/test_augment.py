"""Adversarial texts from a file join train and nothing else, and only those whose original is trained on."""

import json
from dataclasses import replace

import pandas as pd
import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv
from toughen import InputError
from toughen.data import Data, load_splits
from toughen.data.augment import augment_train, line

TRAIN = [
    ("a good film", "positive"),
    ("a bad film", "negative"),
    ("a fine book", "positive"),
    ("a dull book", "negative"),
]
SCORED = {
    "validation": [("a warm room", "positive"), ("a cold room", "negative")],
    "test": [("an awful meal", "negative")],
}


def splits():
    return load_splits(Data(), seed=0, data={"train": TRAIN, **SCORED})


def write(path, rows):
    pd.DataFrame(rows, columns=["text", "adversarial", "label"]).to_parquet(path)
    return path


def test_pairs_join_train_with_the_label_of_their_original(tmp_path):
    file = write(
        tmp_path / "pairs.parquet",
        [("a good film", "a goop film", "positive"), ("a dull book", "a dul book", "negative")],
    )
    before = splits()
    after, report = augment_train(before, file)
    rows = list(zip(after.train["text"], after.train["label"], strict=True))
    names = after.label_names
    assert rows[:4] == [(text, names.index(label)) for text, label in TRAIN]
    assert rows[4:] == [("a goop film", names.index("positive")), ("a dul book", names.index("negative"))]
    assert min(after.train["row"][:4]) >= 0 > max(after.train["row"][4:])
    for name in ("validation", "test"):
        assert getattr(after, name)[:] == getattr(before, name)[:]
    assert report == {"file": str(file), "pairs": 2, "added": 2, "left_out": 0}
    assert line(report) == "augmented: 2 adversarial texts join train"


@pytest.mark.parametrize(
    "pair",
    [
        ("a warm room", "a warn room", "positive"),  # found on validation
        ("an awful meal", "an awfull meal", "negative"),  # found on test
        ("another text", "anothre text", "positive"),  # of somewhere else
        ("a good film", "a good fim", "negative"),  # with another label
        ("a good film", "a warm room", "positive"),  # is a scored text
        ("a good film", "a fine book", "positive"),  # is trained on already
        ("a good film", "a goop film", "positive"),  # twice in the file
    ],
)
def test_what_would_leak_is_left_out(tmp_path, pair):
    good = ("a good film", "a goop film", "positive")
    after, report = augment_train(splits(), write(tmp_path / "pairs.parquet", [good, pair]))
    assert list(after.train["text"])[4:] == ["a goop film"]
    assert (report["added"], report["left_out"]) == (1, 1)
    assert "1 left out" in line(report)


def test_a_file_that_gives_nothing_is_refused(tmp_path):
    nothing = write(tmp_path / "nothing.parquet", [("a warm room", "a warn room", "positive")])
    with pytest.raises(InputError, match="none of its 1 pairs has an original in train"):
        augment_train(splits(), nothing)
    with pytest.raises(InputError, match="is no file; give the"):
        augment_train(splits(), tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="is no parquet file"):
        augment_train(splits(), tmp_path / "text.parquet")
    pd.DataFrame({"text": ["a"]}).to_parquet(tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="has no column 'adversarial'"):
        augment_train(splits(), tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="but the data are regression"):
        augment_train(replace(splits(), task="regression"), nothing)


@pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
def test_a_run_learns_from_what_an_attack_on_its_training_rows_found(tmp_path):
    from toughen.attack import attack

    model, folder = save_tiny_model(tmp_path / "model"), tmp_path / "data"
    folder.mkdir()
    for seed, (name, count) in enumerate({"train": 96, "validation": 24}.items()):
        write_csv(folder / f"{name}.csv", reviews(count, seed))
    training = {"max_steps": 40, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
    given = {"model": model, "recipe": "plain", "quiet": True, "training": training}
    plain = toughen.train(folder, output=tmp_path / "plain", **given)
    attack(plain, folder / "train.csv", "deepwordbug", max_changed=0.5).save(tmp_path / "pairs.parquet")
    run = toughen.train(folder, output=tmp_path / "run", **given, **{"data.augment": str(tmp_path / "pairs.parquet")})
    report = json.loads((run.path / "metrics.json").read_text())["augment"]
    assert report["added"] > 0
    assert report["pairs"] == report["added"] + report["left_out"]
    assert run.metrics["validation"]["n"] == 24
    with pytest.raises(InputError, match="--augment is not for --folds"):
        toughen.train(
            folder, output=tmp_path / "folds", folds=2, **given, **{"data.augment": str(tmp_path / "pairs.parquet")}
        )
    assert not (tmp_path / "folds").exists()
