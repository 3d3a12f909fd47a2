"""Label a file of texts: read it, ask the run, write the answers in one piece."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from toughen.errors import InputError

Row = dict[str, Any]


class Predictor(Protocol):
    """What answers: a ``Run``."""

    def predict(self, texts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return label, score and probabilities {label: p} of each text."""


def predict_file(run: Predictor, source: str | Path, output: str | Path, *, text: str | None = None) -> int:
    """Write a label, its score and one probability per class for every row of a file.

    Args:
        run: what predicts.
        source: file with a text column (.csv .tsv .jsonl .json .parquet).
        output: file to write, of one of the same kinds; replaced as a whole once everything is known.
        text: name of the text column; default found by name.

    Returns:
        The number of rows; they stand in the source's order, in columns text, label, score (the label's probability)
        and probability_<label> for each class.

    Raises:
        InputError: if the source cannot be read or the output cannot be written.
    """
    from toughen.data import load_texts

    target, write = _target(Path(output), Path(source))
    texts = [str(entry) for entry in load_texts(str(source), text=text)["text"]]
    rows = [_row(entry, answer) for entry, answer in zip(texts, run.predict(texts), strict=True)]
    _replace(target, rows, write)
    return len(rows)


def _target(output: Path, source: Path) -> tuple[Path, Callable[[list[Row], IO[bytes]], None]]:
    """Check, before any work, that the output can be written."""
    write = WRITERS.get(output.suffix.lower())
    if write is None:
        raise InputError(
            f"{output}: cannot write {output.suffix or 'a file without a suffix'}; use {', '.join(WRITERS)}."
        )
    if output.is_dir():
        raise InputError(f"{output} is a folder; --output must be a file.")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: the folder {output.absolute().parent} does not exist; make it first.")
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{output} is the input itself; write the predictions to another file.")
    return output, write


def _row(text: str, answer: Mapping[str, Any]) -> Row:
    probabilities = {f"probability_{label}": float(p) for label, p in answer["probabilities"].items()}
    return {"text": text, "label": answer["label"], "score": float(answer["score"]), **probabilities}


def _replace(target: Path, rows: list[Row], write: Callable[[list[Row], IO[bytes]], None]) -> None:
    """Write beside the target and rename: a reader sees the old file or the whole new one."""
    handle, name = tempfile.mkstemp(dir=target.absolute().parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(rows, file)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp's files are for their owner alone
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _separated(separator: str) -> Callable[[list[Row], IO[bytes]], None]:
    def write(rows: list[Row], file: IO[bytes]) -> None:
        import pandas as pd

        pd.DataFrame(rows).to_csv(file, sep=separator, index=False, encoding="utf-8", lineterminator="\n")

    return write


def _json_lines(rows: list[Row], file: IO[bytes]) -> None:
    for row in rows:
        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def _json(rows: list[Row], file: IO[bytes]) -> None:
    file.write((json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode())


def _parquet(rows: list[Row], file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), file)


WRITERS: dict[str, Callable[[list[Row], IO[bytes]], None]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
}
