"""A sealed folder that loads is the folder that was sealed: any missing, cut or changed byte is refused by name."""

import json
import os
import shutil

import pytest
import typer

import toughen
from tiny import write_splits
from toughen.cli import main
from toughen.cli.commands import app
from toughen.errors import InputError
from toughen.files.manifest import MANIFEST, newer_version, seal, verify, verify_all


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    (made / "weights").write_bytes(bytes(range(256)))
    (made / "inner" / "words").write_text("a b c")
    (made / "README.md").write_text("for people to edit")
    seal(made)
    return made


def test_what_was_sealed_is_accepted_also_as_a_copy_and_after_its_card_was_edited(folder, tmp_path):
    (folder / "README.md").write_text("edited")
    verify(folder)
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert (copy / "weights").stat().st_mtime_ns != (folder / "weights").stat().st_mtime_ns, "canary: times differ"
    verify(copy)
    verify_all(copy)


@pytest.mark.parametrize("name", ["weights", "inner/words"])
@pytest.mark.parametrize("fault", ["missing", "cut", "longer", "flipped", "empty"])
def test_every_damage_is_refused_by_name(folder, name, fault):
    path = folder / name
    whole = path.read_bytes()
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    damaged = {"cut": whole[:-1], "longer": whole + b"x", "flipped": flipped, "empty": b""}
    path.unlink() if fault == "missing" else path.write_bytes(damaged[fault])

    with pytest.raises(InputError, match=name):
        verify(folder)


def test_a_byte_that_changed_under_an_unchanged_time_is_found_by_reading_all(folder):
    before = (folder / "weights").stat()
    (folder / "weights").write_bytes(bytes(256))
    os.utime(folder / "weights", ns=(before.st_atime_ns, before.st_mtime_ns))

    verify(folder)  # the quick look believes size and time
    with pytest.raises(InputError, match=r"weights.*other bytes"):
        verify_all(folder.parent)


def test_a_folder_with_a_manifest_of_its_own_may_be_sealed_anew_and_the_outer_one_knows(folder):
    seal(folder / "inner")
    seal(folder)
    (folder / "inner" / "words").write_text("d e f")
    verify(folder)
    seal(folder / "inner")
    with pytest.raises(InputError, match=f"inner/{MANIFEST}"):
        verify(folder)
    seal(folder)
    verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"toughen": "0.1.0", "files": 3}'])
def test_a_damaged_manifest_is_refused_too(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=MANIFEST):
        verify(folder)


def test_a_folder_of_an_older_version_is_read_and_one_of_a_newer_version_refused_by_name(folder):
    content = json.loads((folder / MANIFEST).read_text())
    for version, readable in {"0.0.9": True, "0.1.7": True, "0.2.0": False, "1.0": False, "12.3.4": False}.items():
        (folder / MANIFEST).write_text(json.dumps(content | {"toughen": version}))
        if readable:
            verify(folder)
            continue
        with pytest.raises(InputError, match=f"written by toughen {version}"):
            verify(folder)
    (folder / MANIFEST).unlink()
    verify(folder)


@pytest.mark.parametrize("version", ["0.1.0", "0.1.99", "0.0", "", "no version", "0.1.0rc1"])
def test_what_is_not_newer_is_not_refused(version):
    assert newer_version(version) is None


# ---- the command


@pytest.fixture(scope="module")
def run(pretrained, tmp_path_factory):
    """Return a finished run with a byte of its weights changed under an unchanged size and time."""
    folder = tmp_path_factory.mktemp("run")
    data = write_splits(folder, train=24, validation=12, test=12)
    toughen.train(
        data, model=pretrained, recipe="plain", output=folder / "run", training=SHORT, probe=False, quiet=True
    )
    weights = folder / "run" / "model" / "model.safetensors"
    before, content = weights.stat(), weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.copytree(folder / "run", folder / "other")
    return folder


SHORT = {"epochs": 1, "batch_size": 8, "max_length": 16}
DATA = ["--data", "test.csv"]
LOADING = {
    "evaluate": ["evaluate", "run", *DATA, "--output", "out", "--samples", "20"],
    "abstain": ["abstain", "run", "--error", "0.9"],
    "calibrate": ["calibrate", "run"],
    "audit": ["audit", "run"],
    "attack": ["attack", "run", *DATA, "--noise", "--output", "out"],
    "compare": ["compare", "run", "other", *DATA, "--output", "out"],
    "combine": ["combine", "run", "other", "--output", "out"],
    "export": ["export", "run", "--to", "out"],
    "predict": ["predict", "run", "--input", "test.csv", "--output", "out.csv", "--workers", "1"],
    "report": ["report", "run"],
    "push": ["push", "run", "me/run"],
    "serve": ["serve", "run"],
    "train": ["train", "plain", "--model", "run", "--data", ".", "--output", "out"],
}


@pytest.mark.parametrize("command", LOADING.values(), ids=LOADING)
def test_every_command_that_loads_reads_everything_where_it_is_asked_to(command, run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert main([*command, "--verify"]) == 2
    assert "model.safetensors holds other bytes than were written" in capsys.readouterr().err
    assert not (run / "out").exists()


def test_without_it_size_and_time_are_believed(run, monkeypatch):
    monkeypatch.chdir(run)
    assert main(["predict", "run", "--input", "test.csv", "--output", "quick.csv", "--workers", "1"]) == 0


def test_each_command_that_takes_a_run_has_the_flag():
    """The table above is whole: no other verb takes a run, an export or a model."""
    verbs = typer.main.get_command(app).commands
    having = {name for name, verb in verbs.items() if any("--verify" in one.opts for one in verb.params)}
    assert having == LOADING.keys()
    taking = {name for name, verb in verbs.items() if any("RUN" in (one.metavar or "") for one in verb.params)}
    assert taking <= having
