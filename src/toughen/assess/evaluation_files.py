"""An evaluation as files: evaluation.json, and predictions.parquet for each set of texts."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import toughen
from toughen.assess.questions import Questions
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole
from toughen.runs.writer import is_about_writing, replace_folder

if TYPE_CHECKING:
    from toughen.assess.slices import Scorable
    from toughen.runs.finished import FinishedRun

FORMAT = 1
EVALUATIONS, RESULT, PREDICTIONS = "evaluations", "evaluation.json", "predictions.parquet"
_UNNAMED = "data"


def output_folder(parent: Path, source: object, asked: str | Path | None, *, result: str, prefix: str = "") -> Path:
    """Return the folder that results are written to, before any work.

    That is PARENT/NAME, NAME (behind the prefix) after the file, folder or dataset; where results of another source of
    the same name stand there, with a number that belongs to the source. The same source replaces its earlier results.

    Args:
        parent: folder of such folders.
        source: of the texts.
        asked: folder that the user names, or None.
        result: name of the JSON file that such a folder holds, which names its sources.
        prefix: of NAME.

    Raises:
        InputError: if the folder asked for is a file, or holds something else.
    """
    if asked is not None:
        folder = Path(asked)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--output {folder} is a file; give a folder.")
        if (
            folder.is_dir()
            and any(not is_about_writing(path) for path in folder.iterdir())
            and not (folder / result).exists()
        ):
            raise InputError(f"--output {folder} holds something else than {result}; give a new folder.")
        return folder
    name, whole = prefix + _name(source), source_name(source)
    before = read_json(parent / name / result).get("sources", {}).get("data")
    return parent / name if before in (None, whole) else parent / f"{name}-{zlib.crc32(whole.encode()):08x}"


def _name(source: object) -> str:
    if not isinstance(source, (str, Path)):
        return _UNNAMED
    path = Path(source)
    stem = path.stem if path.suffix else path.name
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or _UNNAMED


def source_name(source: object) -> str:
    """Name a source; a local path in full."""
    if not isinstance(source, (str, Path)):
        return f"in memory ({type(source).__name__})"
    return str(Path(source).resolve()) if Path(source).exists() else str(source)


def save(
    folder: Path,
    run: FinishedRun,
    sources: Mapping[str, object],
    sets: Mapping[str, Scorable],
    results: Mapping[str, Any],
    questions: Questions,
) -> None:
    """Write predictions and evaluation.json, all of them or nothing, in place of an earlier evaluation."""
    with replace_folder(folder, keep=True) as part:
        for name, data in sets.items():
            write_predictions(part / predictions_name(name), data)
        write_json(part / RESULT, plain(_content(run, sources, results, questions)))


def _content(
    run: FinishedRun, sources: Mapping[str, object], results: Mapping[str, Any], questions: Questions
) -> dict[str, Any]:
    classifier = run.classifier
    temperature = classifier.temperature
    asked = {"slices": list(questions.slices), "ood": None if questions.ood is None else source_name(questions.ood)}
    numbers = {name: getattr(questions, name) for name in ("dropout_samples", "mistakes", "samples", "seed")}
    return {
        "format": FORMAT,
        "toughen": toughen.__version__,
        "run": str(run.path.resolve()),
        "task": classifier.task,
        "label_names": list(classifier.label_names),
        "thresholds": classifier.thresholds,
        "temperature": None if temperature is None else temperature.value,
        "sources": {name: source_name(source) for name, source in sources.items()},
        "predictions": {name: predictions_name(name) for name in sources},
        "questions": {**asked, **numbers},
        "sets": results,
    }


def predictions_name(name: str) -> str:
    """Return the file of a set's predictions: predictions.parquet, and predictions-NAME.parquet of further sets."""
    safe = re.sub(r"[^\w.-]+", "-", name)
    return PREDICTIONS if name == "data" else f"predictions-{safe}.parquet"


def write_predictions(path: Path, data: Scorable) -> None:
    """Write row, label, prediction, and probabilities in the order of the label names (regression has none).

    label and prediction are names; lists of them of several labels and of tags; numbers of regression. probabilities
    are a list per text, of tags a list per word.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"single-label": pa.string(), "regression": pa.float64()}
    kind = kinds.get(data.task, pa.list_(pa.string()))
    columns = {
        "row": pa.array([int(row) for row in data.rows["row"]], pa.int64()),
        "label": pa.array(data.truth, kind),
        "prediction": pa.array(data.said, kind),
    }
    if data.task != "regression":
        inner = pa.list_(pa.float64())
        rows = [row.tolist() for row in data.outputs]
        columns["probabilities"] = pa.array(rows, pa.list_(inner) if data.task == "tokens" else inner)
    table = pa.table(columns)
    write_whole(path, lambda part: pq.write_table(table, part))


def plain(value: Any) -> Any:
    """Return a value as JSON has it: tuples as lists, a number that JSON has no word for as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
