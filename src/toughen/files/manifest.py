"""What a finished folder holds, file by file, written last: whoever loads from it sees whether it is whole and ours."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from toughen import __version__
from toughen.errors import InputError
from toughen.files import sync

MANIFEST = "manifest.json"
FORMAT = 1
_OTHERS = (
    "checkpoints",
    "evaluations",
    "attacks",
    "audits",
    "tensorboard",
    "report.html",
    "mistakes.json",
    "README.md",
    "*.part",
    "*.log",
    ".*",
    "study.db*",  # other searches may share it
)
"""What is made, edited or taken out (texts, say) after a folder is finished: it is no part of it."""


def seal(folder: Path) -> None:
    """Write the manifest of a folder: size, time and SHA-256 of every file in it, once all of them are on the disk.

    A subfolder with a manifest of its own is represented by that. A file whose size and time are those of the manifest
    before is not read again.
    """
    before = _entries(folder)
    names = sorted(str(path.relative_to(folder)) for path in _files(folder))
    files = {name: _entry(folder / name, before.get(name)) for name in names}
    for name in names:
        sync(folder / name)
    part = folder / f"{MANIFEST}.part"
    part.write_text(json.dumps({"format": FORMAT, "toughen": __version__, "files": files}, indent=1), encoding="utf-8")
    sync(part)
    part.replace(folder / MANIFEST)
    sync(folder)


_everything = ContextVar("everything", default=False)


@contextmanager
def everything_read() -> Iterator[None]:
    """Make `verify` and `fault` read every byte of every folder they are asked about, for the time of the block."""
    before = _everything.set(True)
    try:
        yield
    finally:
        _everything.reset(before)


def is_sealed(folder: Path) -> bool:
    """Whether a folder has a manifest: it was finished, by a version that writes one."""
    return (folder / MANIFEST).is_file()


def verify(folder: Path, *, full: bool = False) -> None:
    """Refuse a folder that is not what its manifest says; one without a manifest, of an older version, is taken as is.

    Args:
        folder: a model, a run, a checkpoint, an export or results.
        full: whether to read every byte, of the folders in it too (always inside `everything_read`); else a file of the
            noted size and time counts as unchanged, and one of another time (a copy) is read.

    Raises:
        InputError: naming the file that is missing or damaged, or the newer version that wrote the folder.
    """
    found = fault(folder, full=full)
    if found is not None:
        raise InputError(found)


def verify_all(folder: Path) -> None:
    """Read every byte of a folder and of all folders in it that have a manifest; see `verify`."""
    for path in sorted(folder.rglob(MANIFEST)):
        verify(path.parent, full=True)


def fault(folder: Path, *, full: bool = False) -> str | None:
    """Return what `verify` would say, or None."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        writer, entries = str(content["toughen"]), dict(content["files"])
    except (ValueError, TypeError, KeyError):
        return f"{path} is damaged: it cannot be read; {_REMEDY}"
    newer = newer_version(writer)
    if newer is not None:
        return f"{folder} {newer}"
    full = full or _everything.get()
    for name, entry in entries.items():
        wrong = _find_fault(folder / name, entry, full=full)
        if wrong is not None:
            return f"{folder / name} {wrong}, so {folder} is damaged; {_REMEDY}"
    inner = [(folder / name).parent for name in entries if full and Path(name).name == MANIFEST]
    return next((found for found in (fault(one, full=True) for one in inner) if found is not None), None)


_REMEDY = "put back a whole copy, or make it again."


def newer_writer(folder: Path) -> str | None:
    """Return how to refuse a folder that a newer version of toughen has sealed; None of any other."""
    try:
        writer = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["toughen"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    newer = newer_version(writer)
    return None if newer is None else f"{folder} {newer}"


def newer_version(writer: object) -> str | None:
    """Return how to refuse what this version of toughen wrote; None if it is not newer than the one that runs.

    Major and minor number count: releases that differ in the third number alone read each other's files.
    """
    theirs, ours = _numbers(str(writer)), _numbers(__version__)
    if theirs <= ours:
        return None
    return f"was written by toughen {writer}, and this is {__version__}; use that version or a later one."


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?", version)
    return (0, 0) if found is None else tuple(int(number or 0) for number in found.groups())


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST or any(fnmatch(path.name, pattern) for pattern in _OTHERS):
            continue
        if not path.is_dir():
            yield path
        elif is_sealed(path):
            yield path / MANIFEST
        else:
            yield from _files(path)


def _entries(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _entry(path: Path, before: Any) -> dict[str, Any]:
    facts = path.stat()
    stated = {"size": facts.st_size, "modified": facts.st_mtime_ns}
    if isinstance(before, dict) and {name: before.get(name) for name in stated} == stated:
        return before
    return {**stated, "sha256": _digest(path)}


def _find_fault(path: Path, entry: Any, *, full: bool) -> str | None:
    """Return what is wrong with a file, None if nothing is."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return "is missing"
    if facts.st_size != entry["size"]:
        return f"has {facts.st_size:,} bytes instead of {entry['size']:,}"
    if (full or facts.st_mtime_ns != entry["modified"]) and _digest(path) != entry["sha256"]:
        return "holds other bytes than were written"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
