"""Label a file of texts: read it, ask the run, write the answers in one piece."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from toughen.errors import InputError
from toughen.tasks import TaskName

Row = dict[str, Any]
_JOINTS = {"labels": "|"}  # words and tags: a space


class Predictor(Protocol):
    """What answers: a ``Run``. Its ``classifier``, if it has one, says of which task it is and whether of pairs."""

    def predict(self, texts: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        """Return one answer per text, as `Classifier.predict` does."""


def predict_file(
    run: Predictor, source: str | Path, output: str | Path, *, text: str | None = None, text_pair: str | None = None
) -> int:
    """Write an answer for every row of a file.

    Args:
        run: what predicts.
        source: file with a text column (.csv .tsv .jsonl .json .parquet), for tokens of words (lists, or texts that
            are divided at white space).
        output: file to write, of one of the same kinds; replaced as a whole once everything is known.
        text: name of the text column; default found by name.
        text_pair: name of the second text's column; default found where the model takes pairs, or where there is no
            telling and a column has this very name.

    Returns:
        The number of rows; they stand in the source's order, in columns text (and text_pair) and these: single-label
        label, score (the label's probability) and probability_<label> for each class; multi-label labels and
        probability_<label>; regression score; tokens tags, one per word of text. Several labels, words and tags are
        lists where the format has them; in .csv and .tsv labels are joined by "|", words and tags by spaces.

    Raises:
        InputError: if the source cannot be read or the output cannot be written.
    """
    target, write = _target(Path(output), Path(source))
    columns = _read(run, str(source), text, text_pair)
    texts = list(zip(*columns.values(), strict=True)) if len(columns) > 1 else columns["text"]
    answers = run.predict(texts)
    entries = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    rows = [_row(entry, answer) for entry, answer in zip(entries, answers, strict=True)]
    _replace(target, rows, write)
    return len(rows)


def _read(run: Predictor, source: str, text: str | None, text_pair: str | None) -> dict[str, list[Any]]:
    """Return the texts by column: text, and text_pair of pairs."""
    from toughen.data import load_texts

    classifier = getattr(run, "classifier", None)
    pairs = getattr(classifier, "pairs", None)
    if pairs is None:
        pairs = text is None and _has_second_text(source)
    task: TaskName = getattr(classifier, "task", "single-label")
    found = load_texts(source, text=text, text_pair=text_pair, pairs=pairs and task != "tokens", task=task)
    return {name: list(found[name]) for name in ("text", "text_pair") if name in found.column_names}


def _has_second_text(source: str) -> bool:
    from toughen.data.sources import read_source

    return any("text_pair" in raw.columns for raw in read_source(source, lines=True).values())


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


def _row(entry: Row, answer: Mapping[str, Any]) -> Row:
    """Put a text and its answer into columns; the answer's keys tell the task."""
    if "tags" in answer:
        return {"text": list(answer["words"]), "tags": list(answer["tags"])}
    labels = {name: answer[name] for name in ("label", "labels") if name in answer}
    score = {"score": float(answer["score"])} if "score" in answer else {}
    probabilities = {f"probability_{label}": float(p) for label, p in answer.get("probabilities", {}).items()}
    return {**entry, **labels, **score, **probabilities}


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

        flat = [{name: _joined(name, value) for name, value in row.items()} for row in rows]
        pd.DataFrame(flat).to_csv(file, sep=separator, index=False, encoding="utf-8", lineterminator="\n")

    return write


def _joined(column: str, value: Any) -> Any:
    """Write a list as text, for formats without lists."""
    if not isinstance(value, list):
        return value
    joint = _JOINTS.get(column, " ")
    broken = [part for part in value if joint in part]
    if broken:
        raise InputError(
            f"{broken[0]!r} in column {column} holds {joint!r}, which separates {column} in .csv and .tsv; write "
            ".jsonl or .parquet, which have lists."
        )
    return joint.join(value)


def _json_lines(rows: list[Row], file: IO[bytes]) -> None:
    for row in rows:
        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def _json(rows: list[Row], file: IO[bytes]) -> None:
    file.write((json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode())


def _parquet(rows: list[Row], file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # The type of lists is told, for all of them may be empty.
    lists = {name: pa.list_(pa.string()) for row in rows[:1] for name, value in row.items() if isinstance(value, list)}
    columns = {name: pa.array([row[name] for row in rows], lists.get(name)) for row in rows[:1] for name in row}
    pq.write_table(pa.table(columns), file)


WRITERS: dict[str, Callable[[list[Row], IO[bytes]], None]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
}
