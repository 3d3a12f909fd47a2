"""What went wrong around the program, as one sentence: disk, permission, memory, processes, damaged files.

One table for every command. What stands in none of its rows is a fault of the program and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

from toughen.errors import WorkerDiedError

ENVIRONMENT = 3

_GO_ON = "what is finished stays, and a training goes on with --resume."
_BY_NUMBER = {
    errno.ENOSPC: f"the disk is full{{at}}; free some space or choose another place for the output ({_GO_ON})",
    errno.EDQUOT: f"the disk quota is used up{{at}}; free some space or choose another place ({_GO_ON})",
    errno.EFBIG: "the file system takes no file this large{at}; choose another place for the output.",
    errno.EROFS: "the file system is read-only{at}; choose a place that can be written.",
    errno.EACCES: "permission is denied{at}; change its owner or its mode, or choose another place.",
    errno.EPERM: "the operation is not permitted{at}; change the owner or the mode, or choose another place.",
    errno.ENAMETOOLONG: "the name is too long for the file system{at}; choose a shorter one.",
    errno.ENOTDIR: "a part of the path is a file where a folder is needed{at}; choose another place.",
    errno.EISDIR: "a folder stands where a file is needed{at}; choose another name.",
    errno.EEXIST: "something stands where a folder is to be made{at}; choose another place.",
    errno.ENOTEMPTY: "the folder is not empty{at}, something else writes into it; choose another place.",
    errno.ELOOP: "links lead in a circle{at}; choose another place.",
    errno.EBUSY: "it is in use by the system (a mounted volume?){at}; choose a folder inside it.",
    errno.EXDEV: "it lies on two file systems{at}; choose a folder that is no mounted volume.",
    errno.EIO: "the disk failed{at}; check it, and read what was written with --verify before you rely on it.",
    errno.ESTALE: "the network file system lost its connection{at}; check it and start again.",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or use fewer workers.",
    errno.ENFILE: "the system has too many files open; end other programs or use fewer workers.",
    errno.ENOMEM: "the memory is used up{at}; use a smaller batch or fewer workers, or end other programs.",
    errno.EAGAIN: "the system has no process or thread left to give; use fewer workers, or end other programs.",
    errno.ENOSYS: "the file system cannot do what is needed (locks?){at}; choose a place on another one.",
    errno.ENOTSUP: "the file system cannot do what is needed (locks?){at}; choose a place on another one.",
    errno.ENOLCK: "the file system has no locks{at}; choose a place on another one.",
    errno.EPIPE: "the program that read the output has ended.",
}

_MEMORY = (
    "the memory of the {where} is used up; lower --training.batch_size (and raise --training.accumulation by as much), "
    "set --training.memory low or --training.gradient_checkpointing true, or shorten --training.max_length."
)
_BY_WORDS = (
    (r"no space left on device|os error 28|database or disk is full|disk full", _BY_NUMBER[errno.ENOSPC]),
    (r"disk quota exceeded|os error 122\b", _BY_NUMBER[errno.EDQUOT]),
    (r"read-only file system|readonly database|os error 30\b", _BY_NUMBER[errno.EROFS]),
    (r"permission denied|os error 13\b", _BY_NUMBER[errno.EACCES]),
    (r"unable to open database file", _BY_NUMBER[errno.EACCES]),
    (r"file size limit|file too large|os error 27\b", _BY_NUMBER[errno.EFBIG]),
    # What torch says when a write came back short: it has lost the system's reason by then.
    (
        r"PytorchStreamWriter failed writing|iostream error|\d+ requested and \d+ written|unexpected pos \d+",
        _BY_NUMBER[errno.ENOSPC],
    ),
    (r"CUDA out of memory|MPS backend out of memory|CUDA error: out of memory", _MEMORY.format(where="accelerator")),
    (r"not enough memory|can't allocate memory|cannot allocate memory|bad_alloc", _MEMORY.format(where="machine")),
    (r"DataLoader worker .*(exited|killed)", "a worker that reads data has died{why}; {workers}"),
    (
        r"connection (reset|closed|refused) by peer|Gloo connect|NCCL error|ncclRemoteError|ncclSystemError|"
        r"heartbeat|Timed out waiting|timed? ?out.*(rank|store|barrier)|DistStoreError|DistNetworkError",
        "another process of this training has died or cannot be reached; what it said stands above or in its own "
        f"log; start all of them again ({_GO_ON})",
    ),
    (
        r"Error while deserializing|PytorchStreamReader failed|invalid load key|pickle data was truncated|"
        r"MetadataIncompleteBuffer|Protobuf parsing failed",
        "a file of weights or state is damaged{why}; put back a whole copy, or make again what it belongs to.",
    ),
    (r"database is locked", "the study's database is in use by another process; wait for it, or choose --storage."),
    (r"symlink loop", _BY_NUMBER[errno.ELOOP]),
    (r"can't start new thread", _BY_NUMBER[errno.EAGAIN]),
)
_WORKERS = (
    "it was probably ended for want of memory: use fewer workers (--workers, --training.workers) or shorter texts."
)
_ROOMS = ("RuntimeError", "OSError", "OperationalError", "SafetensorError", "ArrowException", "UnpicklingError")
"""Classes, by name, whose words are looked at: those that libraries raise for what the system did to them."""


def sentence_of(error: BaseException) -> str | None:
    """Return what to say of an error that the environment caused, None if it did not."""
    for one in _chain(error):
        found = _sentence(one)
        if found is not None:
            return found
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it says it was caused by."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return _MEMORY.format(where="machine")
    if isinstance(error, WorkerDiedError):
        return str(error)
    if isinstance(error, BrokenProcessPool):
        return f"a worker process has died; {_WORKERS}"
    if isinstance(error, zipfile.BadZipFile):
        return "a file of weights or state is damaged; put back a whole copy, or make it again."
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno].format(at=_at(error))
    if not any(base.__name__ in _ROOMS for base in type(error).__mro__):
        return None
    words = str(error)
    for pattern, sentence in _BY_WORDS:
        if re.search(pattern, words, re.IGNORECASE | re.DOTALL):
            first = words.strip().partition("\n")[0][:200].rstrip(".")
            return sentence.replace("{at}", "").replace("{why}", f" ({first})").replace("{workers}", _WORKERS)
    return None


def _at(error: OSError) -> str:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    return f" at {names[-1][:300]}" if names else ""
