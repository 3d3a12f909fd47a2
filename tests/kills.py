"""A process that runs commands in children and kills them before their k-th file operation; see test_kills.

    python kills.py FOLDER SCENARIO K,K,... | all

prepares the scenario in FOLDER, runs it once undisturbed and then, for each k, once with a kill and once more as a user
would who starts the command again. Prints one JSON object: operations, kills, and what differs from the whole run.
"""

import contextlib
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from transformers import BertTokenizerFast

from tiny import NEGATIVE, NEUTRAL, POSITIVE, SPECIAL, reviews, save_tiny_model, write_csv, write_splits

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
TIMES = ("seconds", "runtime", "per_second", "modified", "sha256", "milliseconds", "total_flos", "since")
SHORT = ["--training.epochs", "2", "--training.max_length", "16", "--training.batch_size", "8"]
WHERE = ["--model", "model", "--data", "data", "--output", "out", *SHORT]
TRAIN = ["train", *WHERE]

SCENARIOS = {
    "train plain": [*TRAIN, "plain"],
    "train ema": [*TRAIN, "ema", "--training.save_steps", "2"],
    "train checkpoint-soup": [*TRAIN, "checkpoint-soup", "--training.save_steps", "2"],
    "train pgd": [*TRAIN, "pgd"],
    "train lora": [*TRAIN, "plain", "--adapter", "lora"],
    "train over another": [*TRAIN, "plain", "--overwrite"],
    "folds": [*TRAIN, "plain", "--folds", "2"],
    "evaluate": ["evaluate", "run", "--data", "test.csv", "--output", "out", "--samples", "20"],
    "evaluate again": ["evaluate", "run", "--data", "test.csv", "--output", "out", "--samples", "20"],
    "combine": ["combine", "run", "other", "--output", "out"],
    "combine soup": ["combine", "run", "other", "--how", "uniform-soup", "--output", "out"],
    "predict": ["predict", "run", "--input", "test.csv", "--output", "out.csv", "--workers", "1", "--chunk-rows", "8"],
    "export": ["export", "run", "--to", "out"],
    "ablate": ["ablate", "ema", "--over", "average", "--design", "whole", "--seeds", "2", *WHERE],
    "search": ["search", "plain", "--over", "training.learning_rate=1e-4,1e-3", "--trials", "2", *WHERE],
}
MADE = {"out", "out.csv"}
MODULES = Path("../modules.json")
"""What the first child had imported in the end: imported here before the next ones, so that they need not."""


def prepare(name):
    """Make what the scenario starts from, in the working directory."""
    save_tiny_model(Path("model"))
    if name == "export":  # whose table has no word-level tokenizer
        words = {word: number for number, word in enumerate(SPECIAL + POSITIVE + NEGATIVE + NEUTRAL)}
        BertTokenizerFast(vocab=words).save_pretrained("model")
    Path("data").mkdir()
    write_splits(Path("data"), train=24, validation=12, test=12)
    write_csv(Path("test.csv"), reviews(20, seed=9))
    needed = {"combine": ("run", "other"), "evaluate": ("run",), "predict": ("run",), "export": ("run",)}
    for seed, run in enumerate(needed.get(name.split()[0], ()), 1):
        assert child([*TRAIN, "plain", "--seed", str(seed), "--output", run])[0] == 0
    if name == "evaluate again":
        assert child([*SCENARIOS["evaluate"][:-2], "--samples", "10"])[0] == 0
    if name == "train over another":
        assert child([*TRAIN, "ema"])[0] == 0
    shutil.copytree(".", "../start", symlinks=True)


def reset():
    """Go back to what the scenario starts from."""
    for path in Path().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree("../start", ".", dirs_exist_ok=True, symlinks=True)


def child(argv, kill_at=None):
    """Run a command in a fork; return its wait status and how many times it was about to change a file here."""
    here, (reader, writer) = str(Path.cwd()), os.pipe()
    pid = os.fork()
    if pid == 0:
        log = os.open("../log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        count = [0]

        def hook(event, arguments):
            if event == "open" and isinstance(arguments[0], (str, bytes)) and (arguments[2] or 0) & WRITES:
                place = os.path.join(here, os.fsdecode(arguments[0]))  # noqa: PTH118 - pathlib is watched too
            elif event in CHANGES:
                place = os.path.join(here, os.fsdecode(arguments[0]))  # noqa: PTH118
            else:
                return
            if place.startswith(here) and os.getpid() != parent:
                count[0] += 1
                if count[0] == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        parent = os.getppid()
        sys.addaudithook(hook)
        status = 1
        try:
            from toughen.cli import main

            status = main(argv)
        finally:
            os.write(writer, str(count[0]).encode())
            if kill_at is None:
                MODULES.write_text(json.dumps(sorted(sys.modules)))
            os._exit(status)
    os.close(writer)
    status = os.waitpid(pid, 0)[1]
    with os.fdopen(reader) as told:
        counted = told.read()
    return os.waitstatus_to_exitcode(status), int(counted or -1)


def told():
    """Return what is there, with what cannot repeat itself (times, and hashes of them) left out."""
    from toughen.files.manifest import MANIFEST, verify_all

    found = {}
    for path in sorted(Path().rglob("*")):
        parts = path.parts
        if (parts[0] in MADE or parts[0].startswith(".")) and path.is_file() and "tensorboard" not in parts:
            found[str(path)] = content(path)
    verify_all(Path())
    left = [name for name in found if name.endswith((".part", ".writer")) or name.startswith(".")]
    assert not left, left
    assert any(name.endswith(MANIFEST) for name in found) or "out.csv" in found
    return found


def content(path):
    """Return what two equal runs have in common of a file."""
    if path.suffix == ".json":
        return steady(json.loads(path.read_text()))
    if path.suffix in (".html", ".md", ".pt", ".pth", ".log", ".db"):
        return "there"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def steady(value):
    """Return a JSON value without times."""
    if isinstance(value, dict):
        return {key: steady(one) for key, one in value.items() if not any(word in key for word in (*TIMES, "size"))}
    return [steady(one) for one in value] if isinstance(value, list) else value


def again(argv):
    """Return the command that a user gives after a kill."""
    if argv[0] == "train" and Path("out/recipe.yaml").exists():
        return [word for word in argv if word != "--overwrite"] + ["--resume"]
    return argv


def differences(argv, whole, kill_at):
    """Kill a command, give it again, and return what is wrong then."""
    reset()
    killed, _ = child(argv, kill_at)
    if killed != -signal.SIGKILL:
        return [f"it ended with {killed} before it was killed"]
    status, _ = child(again(argv))
    log = Path("../log").read_text()
    # What had been finished when the kill came is whole, and the second call says that it is there.
    if status not in (0, 2) or (status == 2 and not ("already holds" in log or "exists;" in log)):
        return [f"the second call ended with {status}: {log[-1500:]}"]
    found = told()
    missing, more = sorted(whole.keys() - found.keys()), sorted(found.keys() - whole.keys())
    other = [name for name in whole.keys() & found.keys() if whole[name] != found[name]]
    return [f"{what}: {names}" for what, names in (("missing", missing), ("more", more), ("other", other)) if names]


def import_all():
    """Import here what a command has imported, so that the children to come are forked with it."""
    for name in json.loads(MODULES.read_text()):
        with contextlib.suppress(Exception):  # made by hand, or of an extra
            importlib.import_module(name)


def main(folder, name, which):
    """Run a scenario; see the module."""
    import toughen.huggingface.trainer
    import toughen.training.one

    assert toughen.training.one, "imported once, before the forks"
    place = Path(folder) / "place"
    place.mkdir(parents=True)
    os.chdir(place)
    prepare(name)
    status, operations = child(SCENARIOS[name])
    assert status == 0, Path("../log").read_text()
    import_all()
    whole = told()
    if which == "all":
        chosen = range(1, operations + 1)
    else:
        chosen = sorted({1 + int(float(share) * operations) for share in which.split(",")})
    wrong = {k: found for k in chosen if (found := differences(SCENARIOS[name], whole, k))}
    print(json.dumps({"scenario": name, "operations": operations, "kills": len(chosen), "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
