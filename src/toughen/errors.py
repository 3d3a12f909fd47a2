"""What means "what you gave us is wrong", what means that a worker has died, and pieces of sentences."""


class InputError(ValueError):
    """Wrong input from the user: one sentence that says what, where, why and what to do.

    The command prints it to stderr without a traceback and exits with status 2.
    """


class WorkerDiedError(RuntimeError):
    """A process that works for this one has ended by itself, most likely for want of memory."""


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of what a library said, at most so many characters, to stand in a sentence of our own."""
    line = str(error).strip().partition("\n")[0].rstrip(".: ")
    return f"{type(error).__name__}: {line}"[:most] if line else type(error).__name__


def count(number: int, one: str, many: str | None = None) -> str:
    """Write 1 text, 300 texts; ``many`` where an s does not make the plural, or where a verb follows."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
