"""The one exception that means "what you gave us is wrong"; everything else keeps its traceback."""


class InputError(ValueError):
    """Wrong input from the user: one sentence that says what, where, why and what to do.

    The command prints it to stderr without a traceback and exits with status 2.
    """
