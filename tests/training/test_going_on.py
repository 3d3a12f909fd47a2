"""A run goes on for more epochs, or with a step's rows in other batches; what that means is said, or it is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

import toughen
from tiny import save_tiny_model, write_splits
from toughen import InputError
from toughen.files.manifest import verify

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

TRAINING = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
STEADY = {"schedule": "constant", "warmup": 0, "early_stopping": None}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    data, model = (tmp_path_factory.mktemp(name) for name in ("data", "model"))
    return write_splits(data, train=64, validation=16, test=16), save_tiny_model(model)


def start(given, output, *, average=None, **training):
    data, model = given
    more = {} if average is None else {"average": average}
    return toughen.train(
        data, model=model, recipe="fgm", output=output, quiet=True, training=TRAINING | training, probe=False, **more
    )


def prolong(output, epochs, **training):
    return toughen.train(output=output, resume=True, training={"epochs": epochs} | training)


@pytest.fixture(scope="module")
def steady(given, tmp_path_factory):
    """Two epochs at a steady rate, with an average that ends up as the model."""
    return start(given, tmp_path_factory.mktemp("steady") / "run", average="ema", **STEADY).path


@pytest.fixture
def copied(steady, tmp_path):
    return shutil.copytree(steady, tmp_path / "run")


def test_at_a_steady_rate_it_ends_at_the_weights_of_a_longer_run(given, copied, tmp_path, capsys):
    before = json.loads((copied / "metrics.json").read_text())
    run = prolong(copied, 4)
    assert "the run goes on from 2 to 4 epochs at the same learning rate." in " ".join(capsys.readouterr().err.split())
    whole = start(given, tmp_path / "whole", average="ema", **STEADY | {"epochs": 4})
    found, expected = (load_file(r.path / "model/model.safetensors") for r in (run, whole))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert run.metrics["train"]["steps"] == whole.metrics["train"]["steps"] == 2 * before["train"]["steps"]
    assert run.metrics["test"]["log_loss"] == whole.metrics["test"]["log_loss"]
    assert run.recipe.training.epochs == 4
    verify(copied)


def test_what_becomes_of_a_schedule_is_said(given, tmp_path, capsys):
    run = start(given, tmp_path / "run", schedule="linear", early_stopping=None)
    longer = prolong(run.path, 3)
    said = " ".join(capsys.readouterr().err.split())
    assert "from 2 to 3 epochs. The learning rate is from now on that of the linear schedule over 3 epochs" in said
    assert longer.metrics["train"]["epochs"] == 3


def test_steps_are_prolonged_too(given, tmp_path):
    run = start(given, tmp_path / "run", max_steps=4, **STEADY)
    assert (
        toughen.train(output=run.path, resume=True, quiet=True, training={"max_steps": 6}).metrics["train"]["steps"]
        == 6
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 1}, "another recipe"),
        ({"epochs": 4, "batch_size": 4}, "another recipe"),
        ({"epochs": 4, "max_steps": 9}, "another recipe"),
    ],
    ids=["fewer epochs", "another batch size as well", "steps instead of epochs"],
)
def test_anything_else_is_another_recipe(copied, changes, says):
    with pytest.raises(InputError, match=says):
        prolong(copied, **changes)
    verify(copied)


def test_a_run_without_its_checkpoints_is_left_as_it_is(copied):
    shutil.rmtree(copied / "checkpoints")
    before = (copied / "metrics.json").read_bytes()
    with pytest.raises(InputError, match="has kept no whole checkpoint to go on from"):
        prolong(copied, 4)
    assert (copied / "metrics.json").read_bytes() == before
    assert (copied / "model/model.safetensors").exists()


def test_a_run_that_ended_early_is_over(given, tmp_path):
    run = start(given, tmp_path / "run", epochs=6, **STEADY | {"early_stopping": 1, "early_stopping_threshold": 1.0})
    assert run.metrics["train"]["epochs"] < 6
    with pytest.raises(InputError, match="ended early, since its score had not improved for 1 evaluations"):
        prolong(run.path, 8)


def test_swa_is_refused_and_folds_too(given, copied, tmp_path):
    run = start(given, tmp_path / "swa", average="swa", early_stopping=None)
    with pytest.raises(InputError, match="average swa, a mean over the end of the training"):
        prolong(run.path, 4)
    (copied / "folds.json").write_text(json.dumps({"folds": 2}))
    with pytest.raises(InputError, match="a run in folds, which cannot be prolonged"):
        prolong(copied, 4)


def test_a_prolonged_run_that_is_killed_goes_on(copied, monkeypatch):
    """Between its start and its end it is an unfinished run like any other."""
    from toughen.training import one

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(one, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            prolong(copied, 3)
    with pytest.raises(InputError, match="has not finished"):
        toughen.Run.open(copied)
    assert toughen.train(output=copied, resume=True, quiet=True).metrics["train"]["epochs"] == 3


@pytest.fixture
def halfway(copied):
    """The run as it was after its first epoch of two."""
    newest = max((copied / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    shutil.rmtree(newest)
    shutil.rmtree(copied / "model")
    for name in ("metrics.json", "manifest.json"):
        (copied / name).unlink()
    return copied


def test_a_step_may_be_divided_otherwise(halfway, steady, capsys):
    """As on half as many processes, each of which then takes two micro-batches a step."""
    run = toughen.train(output=halfway, resume=True, training={"batch_size": 4, "accumulation": 2})
    said = " ".join(capsys.readouterr().err.split())
    assert "goes on with its steps of 8 rows as 4 x 2 x 1 (batch size x accumulation x processes)" in said
    assert run.metrics["train"]["steps"] == toughen.Run.open(steady).metrics["train"]["steps"]
    assert (run.recipe.training.batch_size, run.recipe.training.accumulation) == (4, 2)


def test_steps_of_other_rows_are_refused_and_a_finished_run_is_divided_no_more(halfway, steady):
    with pytest.raises(InputError, match=r"steps of 8 rows, and 4 x 1 x 1 .* would make 4; let them be as many"):
        toughen.train(output=halfway, resume=True, training={"batch_size": 4})
    with pytest.raises(InputError, match="another recipe"):
        toughen.train(output=steady, resume=True, training={"batch_size": 4, "accumulation": 2})
