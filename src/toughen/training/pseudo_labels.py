"""Labels that a finished run gives to texts without any; it must not have seen what the new run is scored on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from toughen.data.columns.soft_labels import list_column
from toughen.data.config import SOFT_LABEL
from toughen.data.divide.overlap import text_hashes
from toughen.data.read.chunks import as_dataset
from toughen.errors import InputError
from toughen.files import read_json, write_json, write_whole
from toughen.machine.launch import main_process_alone
from toughen.runs.finished import FinishedRun
from toughen.runs.folder import CHOSEN, PSEUDO
from toughen.runs.members import seen_hashes
from toughen.training.extras import Extras

if TYPE_CHECKING:
    from toughen.data import Splits
    from toughen.runs.finished import FinishedRun

T = TypeVar("T")

WHY_NOT = {
    "multi-label": "every label would need a confidence of its own",
    "regression": "a number comes without a probability",
    "tokens": "every word would need a confidence of its own",
}


@dataclass(frozen=True)
class Lesson:
    """What one student learns from and is scored on.

    Attributes:
        splits: its data; the texts to label are ``splits.unlabelled``.
        scored: datasets on which the student is judged, by what they are called; no teacher may have seen their texts.
    """

    splits: Splits
    scored: Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """Texts that a teacher was sure of, in the order of their source.

    Attributes:
        rows: [M] row numbers in the source of texts without labels.
        labels: [M] ids in the student's label names.
        confidences: [M] the teacher's probability of that label, 0 to 1.
        report: how many texts there were and were kept, in all and per class.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    confidences: NDArray[np.float64]
    report: dict[str, Any]

    def line(self) -> str:
        """Say in one line what was kept."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.report["counts"].items())
        return f"{self.report['kept']:,} of {self.report['texts']:,} texts kept ({self.report['share']:.1%}); {counts}"


def choose(extras: Extras, lessons: Sequence[Lesson], *, batch_size: int) -> list[Chosen]:
    """Have the texts of every lesson labelled by a teacher that never saw what its student is scored on.

    Of a teacher with folds, member k answers for student k. Texts that the student has with a label, or is scored on,
    are passed over. With several processes the main one asks, and all get its answers.

    Args:
        extras: which run teaches, and how sure it must be.
        lessons: one per student: one, or one per fold.
        batch_size: texts per batch.

    Raises:
        InputError: if the task has no confidence, the teacher does not fit or has seen a scored text, or no text is
            left.
    """
    splits = lessons[0].splits
    _check_task(splits.task)
    _check_confidence(extras.confidence, splits.label_names)

    def ask() -> list[Chosen]:
        teachers = _teachers(Path(str(extras.pseudo_label)), len(lessons))
        for teacher, lesson in zip(teachers, lessons, strict=True):
            _check_teacher(teacher, lesson)
        return [
            _label(teacher, lesson, extras.confidence, batch_size)
            for teacher, lesson in zip(teachers, lessons, strict=True)
        ]

    return _in_main_process(ask)


def _check_task(task: str) -> None:
    if task in WHY_NOT:
        raise InputError(
            f"--pseudo-label is for texts with one label each; for {task} it is not offered, because {WHY_NOT[task]}: "
            "leave it out; texts without labels still teach rdrop and vat, where these take them."
        )


def _check_confidence(confidence: float, names: Sequence[str]) -> None:
    least = 1 / len(names)
    if not least < confidence <= 1:
        raise InputError(
            f"--min-confidence must be above 1/{len(names)} (the least that the likeliest of {len(names)} labels can "
            f"have) and at most 1, got {confidence}."
        )


def _teachers(path: Path, students: int) -> list[FinishedRun]:
    """Return the run that teaches each student."""
    teacher = FinishedRun.open(path)
    if students == 1 or teacher.folds is None:
        return [teacher] * students
    if teacher.folds != students:
        raise InputError(
            f"the teacher {path} has {teacher.folds} folds and this run {students}, so no member of it has missed the "
            f"rows of one fold here; give --folds {teacher.folds}."
        )
    return list(teacher.members)


def _check_teacher(teacher: FinishedRun, lesson: Lesson) -> None:
    """Refuse a teacher with other labels, or one that has seen a text on which its student is scored."""
    theirs, ours = teacher.classifier.label_names, lesson.splits.label_names
    if teacher.classifier.task != "single-label" or set(theirs) != set(ours):
        raise InputError(
            f"the teacher {teacher.path} knows the labels {', '.join(theirs)}, but the data has {', '.join(ours)}; "
            "give a teacher trained on the same labels."
        )
    seen = seen_hashes(teacher)
    for name, rows in lesson.scored.items():
        shared = int(np.isin(text_hashes(rows), seen).sum())
        if shared:
            raise InputError(
                f"the teacher {teacher.path} was trained or selected on {shared:,} of the {len(rows):,} texts of the "
                f"{name}, which would leak through its labels; train the teacher with --folds K and give the same "
                "--folds, seed and data here, or take a teacher trained on other texts."
            )


def _label(teacher: FinishedRun, lesson: Lesson, confidence: float, batch_size: int) -> Chosen:
    splits = lesson.splits
    known = (splits.train, splits.validation, *lesson.scored.values())
    hashes = np.concatenate([text_hashes(rows) for rows in known])
    texts: Any = splits.unlabelled
    if texts is not None:
        texts = texts.select(np.flatnonzero(~np.isin(text_hashes(texts), hashes)))
    if not texts:
        raise InputError("every text without a label also stands in the labelled data; give others as --unlabelled.")
    probabilities = teacher.classifier.probabilities(texts, batch_size=batch_size)
    names = teacher.classifier.label_names
    probabilities = probabilities[:, [names.index(name) for name in splits.label_names]]
    sure = probabilities.max(axis=1)
    kept = sure >= confidence
    if not kept.any():
        raise InputError(
            f"no text without a label reached the confidence {confidence} (the highest is {sure.max():.3f}); lower "
            "--min-confidence or give a better teacher."
        )
    labels = probabilities.argmax(axis=1)[kept]
    rows = np.asarray(texts["row"][:], dtype=np.int64)[kept]
    return Chosen(rows, labels, sure[kept], _report(labels, len(texts), splits.label_names))


def _report(labels: NDArray[np.int64], texts: int, names: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(labels, minlength=len(names)).tolist()
    share = len(labels) / texts
    return {"texts": texts, "kept": len(labels), "share": share, "counts": dict(zip(names, counts, strict=True))}


def _in_main_process(make: Callable[[], T]) -> T:
    """Make something in the main process and hand it to all; a refusal reaches all of them too."""
    answer: list[Any] = [None, None]
    with main_process_alone() as is_main:
        if is_main:
            try:
                answer[0] = make()
            except InputError as error:
                answer[1] = str(error)
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise InputError(answer[1])
    made: T = answer[0]
    return made


def add_pseudo_labels(splits: Splits, chosen: Chosen) -> Splits:
    """Add the texts that were chosen to train; the others are left out.

    Their ``row`` is ``-1 - row`` in the source of texts without labels, so that it is no row of train.

    Raises:
        InputError: if the source of texts without labels has changed since they were chosen.
    """
    table = None if splits.unlabelled is None else splits.unlabelled.with_format("arrow")[:]
    rows = np.asarray(table["row"]) if table is not None else np.empty(0)
    where = np.searchsorted(rows, chosen.rows)
    if table is None or where.max() >= len(rows) or (rows[where] != chosen.rows).any():
        raise InputError(
            "the texts without labels have changed since the run was started; give the same ones, or start again with "
            "--overwrite."
        )
    texts = table.take(pa.array(where))
    columns = {name: texts[name] for name in texts.column_names}
    columns |= {"label": pa.array(chosen.labels), "row": pa.array(-1 - chosen.rows)}
    columns |= {"weight": pa.array(np.ones(len(chosen.rows)))}
    columns |= {SOFT_LABEL: list_column(np.eye(len(splits.label_names))[np.asarray(chosen.labels, np.int64)])}
    train = splits.train.with_format("arrow")[:].select([n for n in splits.train.column_names if n in columns])
    new = pa.table({name: columns[name] for name in train.column_names}).cast(train.schema)
    return replace(splits, train=as_dataset(pa.concat_tables([train, new])), unlabelled=None)


def account(extras: Extras, chosen: Chosen) -> dict[str, Any]:
    """Return what a teacher's labels came to, for ``metrics.json``."""
    return {"teacher": extras.pseudo_label, "min_confidence": extras.confidence, **chosen.report}


def save(folder: Path, chosen: Sequence[Chosen], names: Sequence[str], content: Mapping[str, Any]) -> None:
    """Write ``pseudo.parquet`` and ``pseudo.json`` into a run folder.

    The first holds fold (if there are several), row, label and confidence, and no texts; the second ``content``.
    """
    table = pa.table(
        {
            "row": np.concatenate([part.rows for part in chosen]),
            "label": [names[label] for part in chosen for label in part.labels],
            "confidence": np.concatenate([part.confidences for part in chosen]),
        }
    )
    if len(chosen) > 1:
        folds = np.repeat(np.arange(1, len(chosen) + 1), [len(part.rows) for part in chosen])
        table = table.add_column(0, "fold", pa.array(folds))
    write_whole(folder / CHOSEN, lambda part: pq.write_table(table, part))
    write_json(folder / PSEUDO, content)


def read(folder: Path, names: Sequence[str]) -> list[Chosen]:
    """Return what a run that goes on was started with: one, or one per fold."""
    content = read_json(folder / PSEUDO)
    reports = content.get("folds", [content])
    columns = pq.read_table(folder / CHOSEN).to_pandas()
    fold = columns["fold"].to_numpy() if "fold" in columns else np.ones(len(columns))
    labels = columns["label"].map({name: i for i, name in enumerate(names)}).to_numpy()
    rows, sure = columns["row"].to_numpy(), columns["confidence"].to_numpy()
    kept = [(fold == k, report) for k, report in enumerate(reports, 1)]
    return [Chosen(rows[mine], labels[mine], sure[mine], report) for mine, report in kept]
