"""One training in a process of its own, which ends with the process that started it.

    python -m toughen.compare.worker RUN RECIPE.yaml [--without-test]

trains the recipe in the folder RUN, going on with whatever an earlier process left there. Standard input is a pipe
whose other end the starting process holds: when that process dies, however it dies, this one stops too, so that nobody
goes on writing into a folder that the next attempt continues.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import toughen
from toughen.compare.recipe_data import splits_without_test
from toughen.errors import InputError
from toughen.recipe.recipe import load_recipe
from toughen.runs.folder import METRICS, RECIPE

WITHOUT_TEST = "--without-test"
ABANDONED = 130


def main(arguments: list[str]) -> int:
    """Train; 0 done, 2 the user's input is wrong (one sentence is the last line on stderr)."""
    folder, recipe = Path(arguments[0]), Path(arguments[1])
    _end_with_parent()
    with alone(folder.with_name(f"{folder.name}.lock")):
        try:
            _train(folder, recipe, without_test=WITHOUT_TEST in arguments)
        except InputError as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            return 2
    return 0


def _train(folder: Path, recipe: Path, *, without_test: bool) -> None:
    data = _without_test(recipe) if without_test else None
    resume = (folder / METRICS).exists() or any((folder / "checkpoints").glob("checkpoint-*"))
    # A run that never reached a checkpoint has nothing to lose, and its recipe may be half written.
    overwrite = (folder / RECIPE).exists() and not resume
    toughen.train(data, recipe=recipe, output=folder, resume=resume, overwrite=overwrite)


def _without_test(recipe: Path) -> object:
    """Return the recipe's data as splits in memory, the test split not among them."""
    return splits_without_test(load_recipe(recipe).data.source)


def _end_with_parent() -> None:
    if sys.stdin is None or sys.stdin.isatty():
        return
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    # Not sys.stdin.read: a thread that holds its lock when the interpreter ends is a fatal error.
    while os.read(0, 1024):
        pass
    os._exit(ABANDONED)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file, which stays, inside the block, once no other process holds it.

    The system lets go of it when the process ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
