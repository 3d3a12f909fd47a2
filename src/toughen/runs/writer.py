"""A folder being written: by one process at a time, beside its name until it is whole, and never over its own input."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from toughen.errors import InputError
from toughen.files import sync
from toughen.files.manifest import MANIFEST, seal

_TRIES = 100


@contextmanager
def sole_writer(folder: Path, what: str, *, keep: bool = False) -> Iterator[None]:
    """Keep every other process from writing a folder, for the time of the block.

    The lock stands beside the folder, so that it outlives its replacement. What an earlier writer left half replaced is
    put in order first. Of a launcher's processes the main one holds the lock for all.

    Args:
        folder: that is made or changed.
        what: the command, as another process is to name it.
        keep: whether files that somebody put beside the results stay when the results are replaced.

    Raises:
        InputError: if another process is writing it: which, and where.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        yield
        return
    missing = [path for path in folder.parents if not path.exists()]
    lock_at, owner = _beside(folder, "lock"), _beside(folder, "writer")
    lock_at.parent.mkdir(parents=True, exist_ok=True)
    lock = _take_lock(lock_at, folder, owner)
    try:
        owner.write_text(json.dumps(_me(what)), encoding="utf-8")
        _put_in_order(folder, keep=keep)
        yield
    finally:
        with contextlib.suppress(OSError):  # a read-only disk has been reported already
            owner.unlink(missing_ok=True)
            lock_at.unlink(missing_ok=True)
        lock.release()
        if not folder.exists():
            for path in missing:
                with contextlib.suppress(OSError):
                    path.rmdir()


def _take_lock(path: Path, folder: Path, owner: Path) -> FileLock:
    """Take the lock; try again where the file that was locked is no longer the one that bears the name."""
    for _ in range(_TRIES):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{folder} is being written by {_read_owner(owner)}; wait until it is done, or end it."
            ) from None
        if _is_at(lock, path):
            return lock
        lock.release()
    raise InputError(f"{folder} is being written by other processes again and again; try later.")


def _is_at(lock: FileLock, path: Path) -> bool:
    descriptor = lock._context.lock_file_fd  # the library does not say whether its file was removed meanwhile
    try:
        return descriptor is not None and os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _me(what: str) -> dict[str, object]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"command": what, "process": os.getpid(), "host": socket.gethostname(), "since": since}


def _read_owner(owner: Path) -> str:
    try:
        known = json.loads(owner.read_text(encoding="utf-8"))
        return f"{known['command']} (process {known['process']} on {known['host']}, since {known['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun or just ended
        return "another process"


def _beside(folder: Path, suffix: str) -> Path:
    """Return where something about a folder stands: beside it, or in it where nothing can be written beside it.

    Of a link, beside what it points to; of a mounted volume, inside.
    """
    whole = folder.resolve()
    inside = whole.is_dir() and (os.path.ismount(whole) or not os.access(whole.parent, os.W_OK))
    return (whole if inside else whole.parent) / f".{whole.name}.{suffix}"


def is_about_writing(path: Path) -> bool:
    """Whether a file or folder is one of those that stand about a folder while it is written."""
    return path.name.startswith(".") and path.suffix in (".lock", ".writer", ".part", ".old")


@contextmanager
def replace_folder(folder: Path, *, keep: bool = False) -> Iterator[Path]:
    """Give out an empty folder beside this one; when the block ends well, it gets this one's name, sealed.

    A reader sees the old folder or the whole new one. If the block fails, nothing has changed.

    Args:
        folder: to make or to replace; held by `sole_writer`.
        keep: whether files of the old folder that its manifest does not name move to the new one.
    """
    around = _beside(folder, "part")
    part = around / folder.resolve().name  # what is written may tell the folder's name
    shutil.rmtree(around, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        seal(part)
        _swap(part, folder.resolve(), keep=keep)
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _swap(part: Path, folder: Path, *, keep: bool) -> None:
    old = _beside(folder, "old")
    if old.parent == folder:  # a volume keeps its name: its content is exchanged, the manifest last
        _empty(folder)
        for path in sorted(part.iterdir(), key=lambda path: path.name == MANIFEST):
            path.rename(folder / path.name)
        return
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    sync(folder.parent)
    _put_in_order(folder, keep=keep)


def clear_folder(folder: Path) -> Path:
    """Make way for a new folder: move the old one aside, then delete it; return the folder, which is there and empty.

    A kill in between leaves the old folder or none.
    """
    whole, old = folder.resolve(), _beside(folder, "old")
    if old.parent == whole:
        _empty(whole)
    elif whole.is_dir() and any(whole.iterdir()):
        whole.rename(old)
        shutil.rmtree(old)
    whole.mkdir(parents=True, exist_ok=True)
    return whole


def _empty(folder: Path) -> None:
    """Delete what is in a folder, its manifest first, and leave what stands about its writing."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name != MANIFEST):
        if not is_about_writing(path):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _put_in_order(folder: Path, *, keep: bool) -> None:
    """End a replacement: without a new folder the old one gets its name back, with one it goes."""
    part, old, whole = _beside(folder, "part"), _beside(folder, "old"), folder.resolve()
    shutil.rmtree(part, ignore_errors=True)
    if old.exists() and not whole.exists():
        old.rename(whole)
    if old.exists():
        if keep:
            _move_others(old, whole)
        shutil.rmtree(old)
    if whole.is_dir():
        for path in whole.glob("*.part"):
            if path.is_file():
                path.unlink()


def _move_others(old: Path, new: Path) -> None:
    try:
        ours = set(json.loads((old / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    for path in old.iterdir():
        if path.name not in ours | {MANIFEST, "report.html"} and not (new / path.name).exists():
            path.rename(new / path.name)


def refuse_input_inside(output: Path, inputs: Mapping[str, object]) -> None:
    """Refuse an output that is, or contains, something that is read; links are followed.

    Args:
        output: folder or file that is written.
        inputs: what is read, by the option that names it; what is no path that exists is passed over.

    Raises:
        InputError: naming the option.
    """
    own = {output.resolve(), output.absolute()}
    for option, given in inputs.items():
        if not isinstance(given, (str, Path)) or not str(given):
            continue
        places = _places(Path(given))
        if any(place.is_relative_to(one) for place in places for one in own):
            raise InputError(f"the output {output} would replace {given}, which {option} reads; choose another output.")


def _places(path: Path) -> tuple[Path, ...]:
    """Return where something lies, by its name and by what its links lead to; nothing if there is no such thing."""
    try:
        return (path.resolve(), path.absolute()) if path.exists() else ()
    except (OSError, ValueError):  # no path at all, such as a text of a thousand words
        return ()
