"""From a source to splits; where the data are refused, everything that is wrong with them is told at once."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from toughen.data.check import find_fatal_problems
from toughen.data.config import Data
from toughen.data.read.raw import Raw
from toughen.data.read.sources import read_source
from toughen.data.splits import Splits, splits_of
from toughen.errors import InputError

MOST = 8  # problems that a refusal tells


def load_splits(config: Data, *, seed: int, data: object | None = None) -> Splits:
    """Read, check and divide labelled texts.

    Args:
        config: the `data` part of a recipe.
        seed: fixes which rows are held out when the source has no validation split.
        data: in place of ``config.source``: a path, DataFrame, Dataset, DatasetDict, list of (text, label), of
            (text, text_pair, label) or of dicts, or a dict of splits of those.

    Raises:
        InputError: naming everything for which the data are refused, and the command that shows it.
    """
    source = config.source if data is None else data
    raws, error = _read(source, config)
    if error is None:
        try:
            return splits_of(raws, config, seed)
        except InputError as found:
            error = found
    raise _refusal(error, raws, config, source) from error.__cause__


def _read(source: object, config: Data) -> tuple[Mapping[str, Raw], InputError | None]:
    """Return the splits; where damaged rows stop the reading the others, and the refusal.

    Raises:
        InputError: if the source cannot be read at all.
    """
    drop = config.bad_rows == "drop"
    try:
        return read_source(source, encoding=config.encoding, drop=drop), None
    except InputError as error:
        if drop or not (isinstance(source, str | Path) and Path(source).expanduser().exists()):
            raise
        try:
            return read_source(source, encoding=config.encoding, drop=True), error
        except InputError:  # it is not the rows
            raise error from error.__cause__


def _refusal(error: InputError, raws: Mapping[str, Raw], config: Data, source: object) -> InputError:
    """Return the refusal of data: the one thing that is wrong with them, or all of them and where they are shown."""
    stops = [problem for problem in find_fatal_problems(raws, config) if problem.stops]
    if len(stops) < 2:
        return error
    listed = "; ".join(f"({number}) {problem.line()}" for number, problem in enumerate(stops[:MOST], 1))
    more = f"; and {len(stops) - MOST} more" if len(stops) > MOST else ""
    shown = f" {_command(config, source)} shows them, and what is only odd." if isinstance(source, str | Path) else ""
    return InputError(f"The data have {len(stops)} problems: {listed}{more}.{shown}")


def _command(config: Data, source: object) -> str:
    """Return the command that checks the same data with the same settings."""
    given = {f.name: getattr(config, f.name) for f in fields(config) if getattr(config, f.name) != f.default}
    flags = [part for name, value in given.items() if name != "source" for part in (f"--data.{name}", str(value))]
    return shlex.join(["toughen", "check", str(source), *flags])
