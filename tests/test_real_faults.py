"""Faults that are really made, each by a whole command: a small disk, a read-only one, a flipped byte.

docs/decisions/0017-nothing-lost.md has the table. What needs the right to mount is skipped where that is missing.
"""

import contextlib
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tiny import reviews, save_tiny_model, write_csv, write_splits
from toughen.cli import main
from toughen.errors import InputError
from toughen.files.manifest import MANIFEST, verify_all

SHORT = ["--training.epochs", "1", "--training.max_length", "16", "--training.batch_size", "8", "--probe", "false"]


@contextlib.contextmanager
def mounted(folder, options):
    """Mount a file system of memory on a folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """What every command starts from: a model, data, a run made of them, texts to answer."""
    folder = tmp_path_factory.mktemp("start")
    save_tiny_model(folder / "model")
    (folder / "data").mkdir()
    write_splits(folder / "data", train=24, validation=12)
    write_csv(folder / "test.csv", reviews(20, seed=9))
    assert main([*train(folder), "--output", str(folder / "run")]) == 0
    return folder


def train(start):
    return ["train", "plain", "--model", str(start / "model"), "--data", str(start / "data"), *SHORT]


def commands(start, place):
    """Return every kind of command that writes, with its output in a place."""
    texts, run = str(start / "test.csv"), str(start / "run")
    return {
        "train": [*train(start), "--output", str(place / "run")],
        "evaluate": ["evaluate", run, "--data", texts, "--samples", "20", "--output", str(place / "scores")],
        "predict": ["predict", run, "--input", texts, "--output", str(place / "answers.csv"), "--workers", "1"],
    }


KINDS = ["train", "evaluate", "predict"]


def one_sentence(capfd):
    """Return the one line in which a command ended."""
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    return shown.strip().splitlines()[-1]


@pytest.mark.parametrize("size", ["40k", "200k"])
def test_a_training_on_a_disk_that_is_too_small_goes_on_once_there_is_room(size, start, tmp_path, capfd):
    with mounted(tmp_path / "disk", f"size={size}") as disk:
        command = commands(start, disk)["train"]
        assert main(command) == 3
        assert "the disk is full" in one_sentence(capfd)
        remount(disk, "size=64m")
        resume = ["--resume"] if (disk / "run" / "recipe.yaml").exists() else []
        assert main([*command, *resume]) == 0
        verify_all(disk)
        left = [path.name for path in disk.rglob("*") if path.name.endswith(".part")]
        assert left == []
        first, other = (load_file(run / "model" / "model.safetensors") for run in (start / "run", disk / "run"))
        assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_does_not_fit_leaves_nothing_half_made(kind, start, tmp_path, capfd):
    with mounted(tmp_path / "disk", "size=4k") as disk:
        assert main(commands(start, disk)[kind]) == 3
        assert "the disk is full" in one_sentence(capfd)
        remount(disk, "size=64m")
        assert main(commands(start, disk)[kind]) == 0


@pytest.mark.parametrize("kind", ["train", "predict"])
def test_a_read_only_disk_is_said_and_what_lies_on_it_is_read(kind, start, tmp_path, capfd):
    with mounted(tmp_path / "disk", "size=64m") as disk:
        shutil.copytree(start, disk, dirs_exist_ok=True)
        remount(disk, "ro")
        assert main(commands(disk, disk / "data")[kind]) == 3
        assert "read-only" in one_sentence(capfd)
        assert main(commands(disk, tmp_path)[kind]) == 0


def test_a_flipped_byte_in_any_file_of_a_run_and_its_model_is_found(start, tmp_path, capfd):
    """By reading everything, file by file; a command that loads the model refuses each of the model's."""
    files = sorted(path for path in (start / "run").rglob("*") if path.is_file() and is_listed(path, start / "run"))
    names = {str(path.relative_to(start / "run")) for path in files}
    assert names >= {"recipe.yaml", "metrics.json", "model/model.safetensors", "model/config.json"}, "canary"
    for path in files:
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])
        try:
            with pytest.raises(InputError, match=path.name):
                verify_all(start / "run")
            if path.parent.name == "model":
                assert main(commands(start, tmp_path)["predict"]) == 2
                assert path.name in one_sentence(capfd)
        finally:
            path.write_bytes(content)
    assert main(commands(start, tmp_path)["predict"]) == 0


def is_listed(path, run):
    """Whether the manifest of the run, or of a folder in it, lists a file."""
    for folder in path.parents:
        manifest = folder / MANIFEST
        if manifest.exists() and str(path.relative_to(folder)) in json.loads(manifest.read_text())["files"]:
            return path.name != MANIFEST
        if folder == run:
            return False
    return False
