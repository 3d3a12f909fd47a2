"""A folder has one writer, changes as a whole or not at all, and never takes its own input with it."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from toughen.errors import InputError
from toughen.files import write_whole
from toughen.files.manifest import MANIFEST, verify
from toughen.runs.writer import clear_folder, refuse_input_inside, replace_folder, sole_writer

HOLD = """
import sys, time
from pathlib import Path
from toughen.runs.writer import sole_writer
with sole_writer(Path(sys.argv[1]), "toughen train"):
    print("held", flush=True)
    time.sleep(600)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != MANIFEST}


# ---- one writer


def test_a_second_writer_is_told_who_writes_and_a_killed_one_holds_nobody_up(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        told = rf"is being written by toughen train \(process {holder.pid} on .*since"
        for name in ("run", "link"):
            with pytest.raises(InputError, match=told), sole_writer(tmp_path / name, "toughen evaluate"):
                raise AssertionError("two writers")
        holder.send_signal(signal.SIGKILL)

    with sole_writer(tmp_path / "run", "toughen evaluate"):
        pass
    assert names(tmp_path) == ["link"], "nothing of ours stays"


def _race(folder, start, results):
    start.wait()
    for _ in range(20):
        try:
            with sole_writer(folder, "a racer"):
                inside = folder / "inside"
                inside.mkdir(parents=True)  # fails if somebody else is here
                inside.rmdir()
            results.put("won")
        except InputError as error:
            results.put("told" if "is being written" in str(error) else str(error))


def test_of_racing_writers_never_two_are_inside(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path / "run", start, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    start.set()
    found = [results.get(timeout=60) for _ in range(80)]
    for racer in racers:
        racer.join()
    assert {racer.exitcode for racer in racers} == {0}
    assert "won" in found
    assert set(found) <= {"won", "told"}


def test_a_writer_that_made_nothing_leaves_nothing(tmp_path):
    with pytest.raises(InputError), sole_writer(tmp_path / "a" / "b" / "run", "toughen train"):
        raise InputError("no such data")
    assert names(tmp_path) == []


def test_the_other_processes_of_a_launcher_do_not_ask(tmp_path, monkeypatch):
    with sole_writer(tmp_path / "run", "toughen train"):
        monkeypatch.setenv("RANK", "1")
        with sole_writer(tmp_path / "run", "toughen train"):
            pass
        monkeypatch.delenv("RANK")
        with pytest.raises(InputError), sole_writer(tmp_path / "run", "toughen train"):
            pass


# ---- whole or not at all


def test_a_folder_is_replaced_as_a_whole_and_sealed(tmp_path):
    folder = fill(tmp_path / "made", old="1", both="1")
    with sole_writer(folder, "x"), replace_folder(folder) as part:
        fill(part, both="2", new="2")
        assert part.name == "made"
        assert content(folder) == {"old": "1", "both": "1"}
    assert content(folder) == {"both": "2", "new": "2"}
    assert names(tmp_path) == ["made"]
    verify(folder)
    (folder / "new").write_text("3")
    with pytest.raises(InputError, match="new"):
        verify(folder)


def test_a_failed_replacement_changes_nothing(tmp_path):
    folder = fill(tmp_path / "made", old="1")

    def fail():
        with sole_writer(folder, "x"), replace_folder(folder) as part:
            fill(part, new="2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert content(folder) == {"old": "1"}
    assert names(tmp_path) == ["made"]


def test_what_somebody_put_beside_results_stays_and_older_results_go(tmp_path):
    folder = tmp_path / "made"
    for results in ({"a": "1", "b": "1"}, {"a": "2"}):
        with sole_writer(folder, "x", keep=True), replace_folder(folder, keep=True) as part:
            fill(part, **results)
        fill(folder, notes="mine")
    assert content(folder) == {"a": "2", "notes": "mine"}


@pytest.mark.parametrize("there", ["nothing", "empty", "link to nothing", "link to empty", "link to full", "full"])
def test_every_kind_of_place_can_be_replaced_and_cleared(tmp_path, there):
    for number, make in enumerate((_by_replacing, _by_clearing)):
        folder, target = tmp_path / f"made-{number}", tmp_path / f"target-{number}"
        if there.startswith("link"):
            folder.symlink_to(target)
        place = target if there.startswith("link") else folder
        if there.endswith(("empty", "full")):
            fill(place, **({"old": "1"} if there.endswith("full") else {}))
        with sole_writer(folder, "x"):
            make(folder)
        assert content(folder) == {"new": "2"}
        assert folder.is_symlink() == there.startswith("link")


def _by_replacing(folder):
    with replace_folder(folder) as part:
        fill(part, new="2")


def _by_clearing(folder):
    fill(clear_folder(folder), new="2")


@pytest.mark.parametrize("renames", [1, 2])
def test_a_kill_between_two_renames_leaves_the_old_folder_or_the_new_one(tmp_path, renames):
    folder = fill(tmp_path / "made", old="1")
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child dies on purpose
        seen = []

        def hook(event, arguments):
            if event == "os.rename" and "part" not in str(arguments[0]).rpartition("/")[2]:
                seen.append(event)
                if len(seen) == renames:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        with sole_writer(folder, "x"), replace_folder(folder) as part:
            fill(part, new="2")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "canary: it was killed there"

    with sole_writer(folder, "x"):
        assert content(folder) == {"old": "1"}
    assert names(tmp_path) == ["made"], "what the killed one left is gone"


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_part(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, fail)
    assert content(tmp_path) == {"file": "old"}


# ---- never over its input


@pytest.mark.parametrize(
    "given", ["run/data", "run/data/train.csv", "run", "link", "link/train.csv", "run/../run/data"]
)
def test_an_output_that_contains_an_input_is_refused_by_its_option(tmp_path, given):
    fill(tmp_path / "run" / "data", **{"train.csv": "text,label"})
    (tmp_path / "link").symlink_to(tmp_path / "run" / "data")
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    for output in ("run", "alias"):
        with pytest.raises(InputError, match="which --data reads"):
            refuse_input_inside(tmp_path / output, {"--model": "hub/name", "--data": tmp_path / given})


def test_inputs_elsewhere_and_words_that_are_no_paths_are_passed_over(tmp_path, monkeypatch):
    fill(tmp_path / "run", file="1")
    fill(tmp_path / "runs", file="1")
    monkeypatch.chdir(tmp_path)
    given = {"a": "imdb", "b": None, "c": 3, "d": "x\ny\0" * 5000, "e": tmp_path / "runs", "f": tmp_path, "g": ""}
    refuse_input_inside(tmp_path / "run", given)
