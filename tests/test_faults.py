"""What the environment does to a command is one sentence and status 3; what is our fault keeps its traceback.

The faults are made, not imitated, wherever this machine allows it: files behind a limit of their size, folders that are
files, links in a circle, a name too long, workers that are killed, files of weights that are cut.
"""

import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import BertModel

import toughen.cli
from tiny import NEGATIVE, NEUTRAL, POSITIVE, SPECIAL, reviews, save_tiny_model, write_csv, write_splits
from toughen.cli import main
from toughen.cli.faults import sentence_of
from toughen.runs.writer import replace_folder, sole_writer


def caught(make):
    with pytest.raises(BaseException) as found:  # noqa: PT011 - of any kind; its words are what is tested
        make()
    return found.value


def full(write):
    """Return the error of writing where only 4 kB fit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        return caught(write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def write_in(folder):
    with sole_writer(folder, "toughen train"), replace_folder(folder) as part:
        (part / "file").write_text("x")


MANY = torch.zeros(100_000)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(100_000)),
        lambda path: torch.save({"a": MANY}, path),
        lambda path: save_file({"a": MANY}, path),
        lambda path: np.save(path, MANY.numpy()),
    ],
    ids=["file", "torch", "safetensors", "numpy"],
)
def test_a_write_that_does_not_fit_is_a_sentence(write, tmp_path):
    error = full(lambda: write(tmp_path / "file.npy"))
    sentence = sentence_of(error)
    assert sentence is not None, repr(error)
    assert "choose another place" in sentence


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_only_a_broken_disk_says_has_a_sentence_with_the_place(number):
    error = OSError(number, os.strerror(number), "runs/a/model.safetensors")
    assert "runs/a/model.safetensors" in sentence_of(error)
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = error
    assert sentence_of(wrapped) == sentence_of(error)


@pytest.mark.parametrize(
    ("place", "says"),
    [("x" * 250, "too long"), ("file/run", "where a folder is to be made"), ("circle/run", "links lead in a circle")],
)
def test_impossible_outputs_are_sentences(place, says, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert says in sentence_of(caught(lambda: write_in(tmp_path / place)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_another_user_is_a_sentence(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o555)
    assert "permission is denied" in sentence_of(caught(lambda: write_in(tmp_path / "theirs" / "run")))


def test_memory_is_a_sentence_that_says_what_to_lower():
    for make in (lambda: np.zeros(2**55), lambda: torch.empty(2**60), lambda: bytearray(2**62)):
        assert "batch_size" in sentence_of(caught(make))
    assert "accelerator" in sentence_of(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))


def test_a_training_that_runs_out_of_memory_goes_on_with_fewer_rows_at_a_time(
    tmp_path, pretrained, monkeypatch, caplog
):
    """Every pass of more than 2 rows that keeps a graph fails; where not even 1 fits, it is a sentence and status 3."""
    forward, most = BertModel.forward, [2]

    def short_of_memory(self, input_ids=None, **named):
        if torch.is_grad_enabled() and len(input_ids) > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, input_ids=input_ids, **named)

    monkeypatch.setattr(BertModel, "forward", short_of_memory)
    data = write_splits(tmp_path, train=20, validation=8)
    command = ["train", "fgm", "--model", str(pretrained), "--data", str(data), "--training.epochs", "1"]
    command += ["--training.batch_size", "8", "--output"]
    with caplog.at_level(logging.WARNING, "toughen"):
        assert main([*command, str(tmp_path / "run")]) == 0
    assert [r.args for r in caplog.records if "at a time" in r.msg] == [(8, 4), (4, 2)]
    train = json.loads((tmp_path / "run" / "metrics.json").read_text())["train"]
    assert (train["micro_batch"], train["steps"]) == (2, 3)
    most[0] = 0
    assert main([*command, str(tmp_path / "other")]) == 3


@pytest.mark.parametrize(("broken", "status"), [(2, 0), (16, 2)])
def test_rows_whose_loss_is_no_number_are_left_out_up_to_a_limit(broken, status, tmp_path, capsys):
    """A word of the model's vocabulary is no number, and stands in so many rows of train, which has 40."""
    encoder = BertModel.from_pretrained(save_tiny_model(tmp_path / "model"))
    with torch.no_grad():
        encoder.embeddings.word_embeddings.weight[-1] = torch.nan
    encoder.save_pretrained(tmp_path / "model")
    word = (SPECIAL + POSITIVE + NEGATIVE + NEUTRAL)[-1]
    rows = [(text.replace(word, "film"), label) for text, label in reviews(40, 0)]
    rows[:broken] = [(f"{text} {word}", label) for text, label in rows[:broken]]
    data = tmp_path / "data"
    data.mkdir()
    write_csv(data / "train.csv", rows)
    write_csv(data / "validation.csv", [(text.replace(word, "film"), label) for text, label in reviews(12, 1)])
    command = ["train", "plain", "--model", str(tmp_path / "model"), "--data", str(data), "--probe", "false"]
    command += ["--training.epochs", "2", "--training.batch_size", "8", "--output", str(tmp_path / "run")]
    assert main(command) == status
    told = " ".join(capsys.readouterr().err.split())
    if status:
        assert "rows is not finite, and at most 10 or 1% of the rows are left out: training diverged" in told
        return
    assert "4 rows whose loss is not finite were left out of their steps (metrics.json: train)" in told
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["train"]["rows_left_out"] == 4


def test_a_dead_worker_is_a_sentence():
    with ProcessPoolExecutor(1) as pool:
        error = caught(pool.submit(_die).result)
    assert isinstance(error, BrokenProcessPool)
    assert "a worker process has died" in sentence_of(error)


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 8 + b"{}", b"\x10" + b"\x00" * 7 + b"{}"])
def test_a_damaged_file_of_weights_is_a_sentence(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    error = caught(lambda: load_file(tmp_path / "model.safetensors"))
    assert isinstance(error, SafetensorError)
    assert "damaged" in sentence_of(error)


@pytest.mark.parametrize("cut", [10, 500])
def test_a_damaged_state_is_a_sentence(cut, tmp_path):
    torch.save({"a": torch.ones(100)}, tmp_path / "optimizer.pt")
    (tmp_path / "optimizer.pt").write_bytes((tmp_path / "optimizer.pt").read_bytes()[:cut])
    assert "damaged" in sentence_of(caught(lambda: torch.load(tmp_path / "optimizer.pt")))


def test_a_process_that_died_is_a_sentence():
    for words in (
        "[pair.cc:538] Connection closed by peer [127.0.0.1]:3",
        "NCCL error in: x",
    ):
        assert "another process of this training has died" in sentence_of(RuntimeError(words))


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("no space left"), RuntimeError("shape mismatch")])
def test_a_fault_of_the_program_is_none(error):
    assert sentence_of(error) is None


def test_the_command_ends_with_status_3_and_one_line(monkeypatch, capsys):
    def fail():
        raise OSError(errno.ENOSPC, "No space left on device", "a/b")

    monkeypatch.setattr("toughen.cli.train.shipped_recipes", fail)
    assert main(["recipes"]) == 3
    told = capsys.readouterr().err
    assert told.startswith("toughen recipes: the disk is full at a/b;")
    assert told.count("\n") == 1


def test_sigterm_ends_as_ctrl_c_does_with_a_word(tmp_path):
    """What is held is let go: a lock, a folder half made."""
    program = textwrap.dedent("""
        import signal, sys, time
        from pathlib import Path

        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
        import toughen.cli.train as commands
        from toughen.cli import main
        from toughen.runs.writer import replace_folder, sole_writer

        def wait():
            with sole_writer(Path(sys.argv[1]), "a test"), replace_folder(Path(sys.argv[1])) as part:
                (part / "half").write_text("x")
                print("waiting", flush=True)
                time.sleep(60)

        commands.shipped_recipes = wait
        sys.exit(main(["recipes"]))
    """)
    for number, status, word in ((signal.SIGTERM, 143, "terminated\n"), (signal.SIGINT, 130, "interrupted\n")):
        command = [sys.executable, "-c", program, str(tmp_path / "out")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(number)
            told = process.communicate(timeout=50)[1]
            assert (process.returncode, told.lstrip("\n")) == (status, word)
        assert list(tmp_path.iterdir()) == []


def test_a_process_keeps_its_own_way_with_signals():
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert Path(toughen.cli.__file__).name == "__init__.py"
