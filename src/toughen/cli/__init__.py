"""The command: `toughen demo | train | evaluate | predict | recipes`. Exit 0 done, 2 wrong input, 130 interrupted.

Imports from everywhere; nothing imports it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

from toughen.errors import InputError
from toughen.machine.installed import missing_part

WRONG_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Wrong input is one sentence on stderr; any other exception passes through with its traceback (status 1).

    Args:
        argv: the arguments; default those of the process.
    """
    # The command is built when it is called: a process that only imports this package pays nothing.
    import typer

    from toughen.cli.commands import app

    warnings.showwarning = _warn
    try:
        status = app(list(sys.argv[1:] if argv is None else argv), prog_name="toughen", standalone_mode=False)
    except InputError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        words = [word for word in (sys.argv[1:] if argv is None else argv) if not word.startswith("-")]
        sentence = missing_part(error, " ".join(["toughen", *words[:1]]))
        if sentence is None:
            raise
        return _refuse(sentence)
    except typer.Abort as error:  # how click hands on the end of input, and in some versions an interrupt
        if error.__cause__ is not None and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        status = INTERRUPTED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:
        # typer carries its own click or depends on it, by version: its base class is reached through what it exports.
        if not isinstance(error, typer.BadParameter.__mro__[2]):
            raise
        return _refuse(_usage(error))
    finally:
        _leave_group()
    if status == INTERRUPTED:
        return _refuse("interrupted", INTERRUPTED)
    return status if isinstance(status, int) else 0


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
