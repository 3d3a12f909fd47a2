"""The command: `toughen demo | train | evaluate | predict | recipes`, and the one place that says how it ends.

Exit 0 done, 2 wrong input, 3 the environment (disk, permission, memory, processes), 130 interrupted, 143 terminated; 1
is a fault of the program, with its traceback.

Imports from everywhere; nothing imports it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from toughen.cli.faults import ENVIRONMENT, sentence_of
from toughen.errors import InputError
from toughen.machine.installed import missing_part

WRONG_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Wrong input, and what the environment did, is one sentence on stderr; any other exception passes through with its
    traceback (status 1).

    Args:
        argv: the arguments; default those of the process.
    """
    warnings.showwarning = _warn
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _terminable():
            # The command is built when it is called: a process that only imports this package pays nothing.
            from toughen.cli.commands import app

            status = app(words, prog_name="toughen", standalone_mode=False)
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        found = _end_of(error, words)
        if found is None:
            raise
        return _refuse(*found)
    finally:
        _leave_group()
    return _refuse("interrupted", INTERRUPTED) if status == INTERRUPTED else status if isinstance(status, int) else 0


def _end_of(error: BaseException, words: Sequence[str]) -> tuple[str, int] | None:
    """Return what to say and the exit status; None for a fault of the program."""
    import typer  # loaded with the command, when it is called

    if isinstance(error, typer.Abort):  # how click hands on the end of input, and in some versions an interrupt
        error = error.__cause__ or KeyboardInterrupt()
    if isinstance(error, _Terminated):
        return "terminated", TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, InputError):
        return str(error), WRONG_INPUT
    command = " ".join(["toughen", *[word for word in words if not word.startswith("-")][:1]])
    missing = missing_part(error, command) if isinstance(error, ModuleNotFoundError) else None
    if missing is not None:
        return missing, WRONG_INPUT
    # typer carries its own click or depends on it, by version: its base class is reached through what it exports.
    if isinstance(error, typer.BadParameter.__mro__[2]):
        return _usage(error), WRONG_INPUT
    sentence = sentence_of(error)
    return None if sentence is None else (f"{command}: {sentence}", ENVIRONMENT)


class _Terminated(BaseException):
    """SIGTERM, on its way through everything that has to be put in order."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, for the time of the block: locks are let go, workers ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != own:  # a worker that was forked from here: it has nothing to put in order
            os._exit(TERMINATED)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave_group() -> None:
    """Leave the group of processes, if there is one: a process that ends inside it aborts now and then."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _usage(error: Any) -> str:
    """Return what click found wrong with the call, and where to read more."""
    command = getattr(getattr(error, "ctx", None), "command_path", "toughen")
    message = error.format_message()
    stop = "" if message.endswith((".", "?")) else "."
    return f"{command}: {message}{stop} See '{command} --help'."


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as a sentence; where in the code it was raised tells a user nothing."""
    kind = "warning" if category is UserWarning else category.__name__
    print(f"{kind}: {message}", file=sys.stderr)


def _refuse(sentence: str, status: int = WRONG_INPUT) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return status
