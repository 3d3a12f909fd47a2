"""What is finished stays: the parts of an output file, kept beside it until all are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from toughen.bulk.formats import Format
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole

MANIFEST, LOCK, WHOLE = "manifest.json", "lock", "whole"
_SAID = {
    "toughen": "toughen's version",
    "source": "the input",
    "model": "the model",
    "text": "--data.text",
    "text_pair": "--data.text_pair",
    "encoding": "--data.encoding",
    "rows": "--chunk-rows",
}


class Parts:
    """A folder of parts of an output file.

    Attributes:
        output: the file.
        folder: the folder, on the same file system.
        manifest: what the parts were made from.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        self.output, self.folder = output, folder
        self.manifest: dict[str, Any] = {}

    def begin(self, made_from: Mapping[str, Any], *, restart: bool) -> None:
        """Continue what was begun, or begin.

        Args:
            made_from: all that decides what the parts hold.
            restart: whether to throw away what was begun.

        Raises:
            InputError: if what was begun was made from something else.
        """
        before = read_json(self.folder / MANIFEST)
        if before and not restart:
            changed = [said for name, said in _SAID.items() if before.get(name) != made_from.get(name)]
            if changed:
                raise InputError(
                    f"{self.folder} holds the beginning of {self.output}, and since then {' and '.join(changed)} "
                    "changed; give what was given then, or start anew with --restart."
                )
            self.manifest = before
            return
        for path in self.folder.iterdir():
            if path.name != LOCK:
                path.unlink()
        self.manifest = dict(made_from)
        write_json(self.folder / MANIFEST, self.manifest)

    def note(self, name: str, value: Any) -> None:
        """Add to the manifest."""
        self.manifest[name] = value
        write_json(self.folder / MANIFEST, self.manifest)

    def finished(self) -> set[int]:
        """Return the numbers of the parts that are there."""
        return {int(path.name[5:]) for path in self.folder.glob("part-*") if path.name[5:].isdigit()}

    def path(self, index: int) -> Path:
        """Return where a part stands."""
        return self.folder / f"part-{index:08d}"

    def add(self, index: int, content: bytes) -> None:
        """Keep a part."""
        write_whole(self.path(index), lambda beside: beside.write_bytes(content))

    def join(self, count: int, form: Format) -> None:
        """Make the output file of so many parts: a reader sees the old file or the whole new one."""
        form.join((self.path(index) for index in range(count)), self.folder / WHOLE)
        (self.folder / WHOLE).replace(self.output)


def folder_of(output: Path) -> Path:
    """Return where the parts of an output file stand."""
    return output.absolute().with_name(f".{output.name}.parts")


@contextmanager
def open_parts(output: Path) -> Iterator[Parts]:
    """Give one process the parts of an output file; the folder goes when the file is made, or nothing was kept.

    Raises:
        InputError: if another process has them.
    """
    parts = Parts(output, folder_of(output))
    parts.folder.mkdir(exist_ok=True)
    try:
        with FileLock(parts.folder / LOCK, timeout=0):
            try:
                yield parts
            except BaseException:
                if not parts.finished():
                    shutil.rmtree(parts.folder)
                raise
            shutil.rmtree(parts.folder)
    except Timeout:
        raise InputError(f"{output} is being written by another toughen predict; wait for it or stop it.") from None
