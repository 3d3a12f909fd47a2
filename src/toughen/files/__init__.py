"""Files that appear whole or not at all, and (`manifest`) folders that say whether they are whole.

Imports `errors` alone; every room may import it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def load_json(text: str, **how: Any) -> Any:
    """Parse JSON that somebody else wrote; ``how`` is as for `json.loads`.

    Raises:
        json.JSONDecodeError: if it is malformed, is nested too deeply, or holds a number of thousands of digits.
    """
    try:
        return json.loads(text, **how)
    except RecursionError:
        raise json.JSONDecodeError("too many brackets in each other", text, 0) from None
    except ValueError as error:
        if type(error) is not ValueError:  # malformed, or what a hook refused
            raise
        raise json.JSONDecodeError("a number of thousands of digits", text, 0) from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if there is no file."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object to a JSON file that appears whole or not at all."""
    write_whole(path, lambda part: part.write_text(json.dumps(content, indent=2)))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside the path, then give it that name: readers see a whole file or none.

    The file is on the disk before it has its name, so that a power loss leaves the old file or the new one.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        write(part)
        sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; a file system that cannot say is taken at its word.

    Raises:
        OSError: if the disk is full or failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What a file system says that cannot do it."""
