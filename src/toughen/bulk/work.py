"""What a worker is told and what it does: texts in, the bytes of their part of the output file out.

Light to import: a worker process begins here and imports the rest once it has work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from toughen.bulk.formats import FORMATS
from toughen.deploy.files import MODEL, is_export, require_run
from toughen.deploy.predictor import load
from toughen.errors import InputError
from toughen.tasks import TaskName

Row = dict[str, Any]
_PROBE = "a"


class Predictor(Protocol):
    """What answers: a ``Run``. Its ``classifier``, if it has one, says of which task it is and whether of pairs."""

    def predict(self, texts: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        """Return one answer per text, as `Classifier.predict` does."""


@dataclass(frozen=True)
class Chunk:
    """Neighbouring rows that are answered together.

    Attributes:
        index: of the chunk, from 0.
        columns: text, and text_pair of pairs: lists of N.
        named: {column of the source: ``text`` or ``text_pair``, or None where it is neither}, in the source's order.
        kept: {column: N values} of those that are neither, as they were read.
        kinds: {column: Arrow type} of the same.
    """

    index: int
    columns: Mapping[str, Sequence[Any]]
    named: Mapping[str, str | None] = field(default_factory=lambda: {"text": "text"})
    kept: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    kinds: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["text"])

    def asks(self, place: int) -> bool:
        """Tell a row with something to read in each of its texts."""
        texts = (values[place] for values in self.columns.values())
        return all(text.strip() if isinstance(text, str) else text and all(text) for text in texts)


@dataclass(frozen=True)
class Counted:
    """What a source came to.

    Attributes:
        rows: in all.
        chunks: into which they are divided.
        blank: rows without a text, whose answers are null.
        first: the number of the first such row, from 1.
    """

    rows: int
    chunks: int
    blank: int
    first: int | None


@dataclass(frozen=True)
class Job:
    """Which model answers, and how the answers are written.

    Attributes:
        folder: of a run or an export.
        graph: of an export; None is model.onnx.
        suffix: of the output file.
        abstain: write no label where the model abstains.
    """

    folder: Path
    graph: str | None
    suffix: str
    abstain: bool = False

    @contextmanager
    def opened(self) -> Iterator[Worker]:
        """Load the model, and let it compute with one thread: that gives the same digits however many cores there are.

        Raises:
            InputError: if there is none in the folder, or none that may abstain where that is asked for.
        """
        if is_export(self.folder):
            yield self._worker(load(self.folder, model=self.graph or MODEL, threads=1))
            return
        run = _run(self.folder, self.graph)
        with _use_one_thread():
            yield self._worker(run)

    def _worker(self, model: Predictor) -> Worker:
        fitted = getattr(getattr(model, "classifier", None), "abstention", None)
        if self.abstain and (fitted is None or fitted.threshold is None):
            raise InputError(
                f"the model in {self.folder} never abstains: toughen abstain RUN --error 0.05 fits from when on it "
                "does (an export is made anew afterwards); or leave out --abstain."
            )
        return Worker(model, self.suffix, abstain=self.abstain)


@dataclass(frozen=True)
class Known:
    """What has to be known of a model before texts are read.

    Attributes:
        task: what it answers.
        pairs: whether it takes pairs; None is not known.
        many: whether several processes may hold it: not on an accelerator.
        columns: of its training data; None is not known.
    """

    task: TaskName
    pairs: bool | None
    many: bool = True
    columns: Mapping[str, Any] | None = None


class Worker:
    """A model at work on chunks.

    Args:
        model: what answers.
        suffix: of the output file.
        abstain: write no label where an answer says ``abstained``.
    """

    def __init__(self, model: Predictor, suffix: str, *, abstain: bool = False) -> None:
        self.model, self._format, self._abstain = model, FORMATS[suffix], abstain
        self._shape: Row | None = None

    def known(self) -> Known:
        """Return what the model is."""
        classifier = getattr(self.model, "classifier", None)
        device = getattr(getattr(classifier, "model", None), "device", None)
        on_cpu = getattr(device, "type", "cpu") == "cpu"
        task: TaskName = getattr(classifier, "task", "single-label")
        return Known(task, getattr(classifier, "pairs", None), on_cpu, getattr(classifier, "columns", None))

    def part(self, chunk: Chunk) -> bytes:
        """Answer a chunk and return its part of the output file.

        Raises:
            InputError: if the model does not take these texts, or the format cannot hold an answer.
        """
        columns = chunk.columns
        entries = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        asked = [chunk.asks(place) for place in range(len(chunk))]
        answers = iter(self._answers([entry for entry, ask in zip(entries, asked, strict=True) if ask]))
        rows = [next(answers) if ask else None for ask in asked]
        like = next((row for row in rows if row is not None), None) or self._like(entries[0])
        filled = [_blank(like, entry) if row is None else row for entry, row in zip(entries, rows, strict=True)]
        if self._abstain:
            filled = [row | {"label": None} if row["abstained"] else row for row in filled]
        names = _names(chunk, like)
        rows_out = [_lay_out_row(chunk, names, row, place) for place, row in enumerate(filled)]
        kinds = {name: chunk.kinds[column] for column, name in names.items() if column in chunk.kinds}
        return self._format.part(
            rows_out, first=chunk.index == 0, like=_lay_out_row(chunk, names, like, 0), kinds=kinds
        )

    def _answers(self, entries: Sequence[Row]) -> list[Row]:
        texts = [tuple(entry.values()) if len(entry) > 1 else entry["text"] for entry in entries]
        found = self.model.predict(texts) if texts else []
        return [_row(entry, answer) for entry, answer in zip(entries, found, strict=True)]

    def _like(self, entry: Row) -> Row:
        """Return a row of the kind that this model gives, where none of a chunk could be asked."""
        if self._shape is None:
            tokens = self.known().task == "tokens"
            self._shape = self._answers([{name: [_PROBE] if tokens else _PROBE for name in entry}])[0]
        return self._shape


def _names(chunk: Chunk, like: Row) -> dict[str, str]:
    """Return what each column of the source is called in the output: as it was, unless an answer has that name."""
    answers = set(like) - {"text", "text_pair"}
    return {column: f"input_{column}" if column in answers else column for column in chunk.named}


def _lay_out_row(chunk: Chunk, names: Mapping[str, str], row: Row, place: int) -> Row:
    """Return every column of the source in its order, and then the answers."""
    source = {
        name: chunk.kept[column][place] if part is None else row.get(part)
        for (column, part), name in zip(chunk.named.items(), names.values(), strict=True)
    }
    return source | {name: value for name, value in row.items() if name not in ("text", "text_pair")}


def _blank(like: Row, entry: Row) -> Row:
    """Return the row of a text that is none: the text as it came, and null for every answer."""
    return {name: entry.get(name) for name in like}


def _row(entry: Row, answer: Mapping[str, Any]) -> Row:
    """Put a text and its answer into columns; the answer's keys tell the task."""
    if "tags" in answer:
        return {"text": list(answer["words"]), "tags": list(answer["tags"])}
    labels = {name: answer[name] for name in ("label", "labels", "abstained", "label_set") if name in answer}
    score = {"score": float(answer["score"])} if "score" in answer else {}
    probabilities = {f"probability_{label}": float(p) for label, p in answer.get("probabilities", {}).items()}
    return {**entry, **labels, **score, **probabilities}


def _run(folder: Path, graph: str | None) -> Predictor:
    require_run(folder, graph)
    from toughen.runs.finished import FinishedRun  # loads torch

    return FinishedRun.open(folder)


@contextmanager
def _use_one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
