"""Several GPUs without a launcher: one is taken, and the way to all of them is said."""

import sys
import warnings

import pytest
import torch
from transformers import TrainingArguments

from huggingface.trials import arguments, make_rows, trainer
from toughen.machine import launch


@pytest.fixture
def two_gpus(monkeypatch):
    """Make TrainingArguments find two GPUs that it would put into DataParallel."""
    setup = TrainingArguments._setup_devices

    class Found:
        def __get__(self, args, owner=None):
            device = setup.__get__(args, owner)
            if "_told" not in vars(args):
                args._n_gpu, args._told = 2, True
            return device

    monkeypatch.setattr(TrainingArguments, "_setup_devices", Found())


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (["my_script.py", "--epochs", "3"], "torchrun --nproc-per-node=2 my_script.py --epochs 3"),
        (["/usr/bin/toughen", "train"], "torchrun --nproc-per-node=2 -m toughen train"),
        ([""], "torchrun --nproc-per-node=2 train.py"),
    ],
    ids=["script", "toughen", "notebook"],
)
def test_two_gpus_become_one_with_the_way_to_both(tmp_path, monkeypatch, two_gpus, program, command):
    """The warning holds the torchrun line of this program and the notebook's; n_gpu is 1, so no DataParallel."""
    monkeypatch.setattr(sys, "argv", program)
    args = arguments(tmp_path)
    assert args.n_gpu == 2, "canary"
    with pytest.warns(UserWarning, match="2 GPUs are visible") as found:
        launch.one_device(args)
    message = str(found[0].message)
    assert command in message
    assert "accelerate.notebook_launcher(train_function, num_processes=2)" in message
    assert args.n_gpu == 1


def test_the_trainer_takes_one_gpu(tmp_path, two_gpus):
    """ToughTrainer itself warns once, keeps its batch size and does not wrap the model."""
    with pytest.warns(UserWarning, match="torchrun --nproc-per-node=2") as found:
        made = trainer(tmp_path, {}, rows=make_rows(5))
    assert len(found) == 1
    assert made.args.n_gpu == 1
    assert made.args.train_batch_size == 4
    made.train()
    assert not isinstance(made.model_wrapped, torch.nn.DataParallel)


def test_one_device_says_nothing(tmp_path):
    """Canary: without a second GPU there is no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        launch.one_device(arguments(tmp_path))
