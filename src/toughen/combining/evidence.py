"""The rows that may select: validation, out-of-fold or held-out ones. Test rows are read on their own, at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow.parquet as pq

from toughen.data import load_labelled, load_splits
from toughen.data.divide.overlap import text_hashes
from toughen.data.read.in_memory import split_of
from toughen.data.read.plain import inner, kind_of
from toughen.data.read.readers import READERS
from toughen.data.read.sources import HUB_ID
from toughen.errors import InputError
from toughen.runs.folder import OUT_OF_FOLD
from toughen.runs.members import find_trained_rows, seen_hashes

if TYPE_CHECKING:
    from toughen.runs.finished import FinishedRun
    from toughen.runs.members import Members
    from toughen.runs.rules import Outputs

Kind = Literal["validation", "out_of_fold", "held_out"]
WHAT = {
    "validation": "the validation rows, by which every member chose its own weights",
    "out_of_fold": "the rows of train, each scored by the models that never saw it",
    "held_out": "rows that no member has seen",
}


@dataclass(frozen=True)
class Evidence:
    """Labelled rows that no member was trained on, and what the members say of them.

    Attributes:
        kind: which rows.
        labels: [N], as in `toughen.data.Splits`.
        outputs: M members' outputs.
        digest: of texts (or row numbers) and labels.
        rows: the dataset; None out of fold.
    """

    kind: Kind
    labels: Sequence[Any]
    outputs: tuple[Outputs, ...]
    digest: str
    rows: Any = None

    def note(self) -> dict[str, Any]:
        """Return what ``combination.json`` says of the rows."""
        return {"rows": self.kind, "what": WHAT[self.kind], "n": len(self.labels), "sha256": self.digest}


def gather(members: Members, data: object) -> Evidence | None:
    """Ask all members about the rows that may select; None where there are none.

    Rows given come first; then, for runs in the same folds, those out of fold; then the first run's validation split.

    Raises:
        InputError: if a member was trained on one of the rows.
    """
    if data is None and members.same_folds():
        return _out_of_fold(members)
    found = selection_rows(members, data)
    if found is None:
        return None
    kind, rows = found
    size = members.runs[0].recipe.training.eval_batch_size
    outputs = tuple(run.classifier.outputs(rows, batch_size=size) for run in members.runs)
    return Evidence(kind, rows["label"][:], outputs, digest_of(rows), rows)


def selection_rows(members: Members, data: object) -> tuple[Kind, Any] | None:
    """Read the labelled rows that may select, with their kind; test is left unread.

    Raises:
        InputError: if a member was trained on one of them.
    """
    own = [own_validation(run, data) for run in members.runs]
    rows = own[0] if data is None else _read_labelled(members, data, "validation")
    if rows is None:
        return None
    seen = 0
    for run, validation in zip(members.runs, own, strict=True):
        trained = int(find_trained_rows(run, rows, validation).sum())
        if trained:
            raise InputError(
                f"{run.path} was trained on {trained:,} of the {len(rows):,} rows that would select, so its answers "
                "to them are memory; name labelled rows that no run has seen with --data, or train all runs with the "
                "same validation split."
            )
        seen += int(find_trained_rows(run, rows, None).sum())
    return ("validation" if seen else "held_out"), rows


def own_validation(run: FinishedRun, data: object = None) -> Any:
    """Read again the rows by which a run was selected; None where they are gone or have changed.

    Args:
        run: whose recipe says where they are.
        data: stands for the data of a run that learnt from memory.
    """
    try:
        rows = _validation_of(run, data)
    except InputError:
        return None
    if rows is None:
        return None
    expected = _count_selection_rows(run)
    same = expected in (None, len(rows)) and bool(np.isin(text_hashes(rows), seen_hashes(run)).all())
    return rows if same else None


def _validation_of(run: FinishedRun, data: object) -> Any:
    config = run.recipe.data
    source = config.source or (data if isinstance(data, Mapping) and part_of(data, "train") is not None else None)
    if source is None:
        return None
    part = part_of(source, "validation")
    if part is not None:
        return _read_split(run, part, "validation")
    if run.folds is not None:
        return None  # every fold held out rows of its own, on which the others were trained
    return load_splits(config, seed=run.recipe.training.seed, data=source).validation


def _count_selection_rows(run: FinishedRun) -> int | None:
    """Return how many validation rows a run had; None where its metrics do not say."""
    leaf = run.members[0].metrics
    selection = leaf.get("combination", {}).get("rows")
    found: int | None = leaf.get("validation", {}).get("n") if selection in (None, "validation") else None
    return found


def test_rows(members: Members, data: object, test: object) -> Any:
    """Read the labelled texts that are scored once, at the end: those named, or the test split; None without one."""
    if test is not None:
        return _read_labelled(members, test, "test")

    for source in (data, members.runs[0].recipe.data.source):
        part = None if source in (None, "") else part_of(source, "test")
        if part is not None:
            return _read_labelled(members, part, "test")
    named = members.runs[0].recipe.data.source
    at_hand = bool(named) and (Path(named).is_dir() or (HUB_ID.fullmatch(named) and not Path(named).exists()))
    if members.runs[0].metrics.get("test") and data is None and at_hand:
        return _read_labelled(members, named, "test")  # whose splits are no files that could be read one by one
    return None


test_rows.__test__ = False  # type: ignore[attr-defined]  # no test, whatever its name begins with


def part_of(source: object, split: str) -> Any:
    """Return one split of a folder or a mapping without reading the others; None where that cannot be done."""
    if isinstance(source, Mapping):
        return next((part for name, part in source.items() if split_of(str(name)) == split), None)
    if not isinstance(source, (str, Path)) or not Path(source).expanduser().is_dir():
        return None
    files = sorted(Path(source).expanduser().iterdir())
    found = [path for path in files if kind_of(path) in READERS and split_of(inner(path).stem) == split]
    return found[0] if len(found) == 1 else None


def _read_labelled(members: Members, source: object, split: str) -> Any:
    part = part_of(source, split)
    return _read_split(members.runs[0], source if part is None else part, split)


def _read_split(run: FinishedRun, source: object, split: str) -> Any:
    config, classifier = run.recipe.data, run.classifier
    return load_labelled(
        source,
        text=config.text,
        text_pair=config.text_pair,
        label=config.label,
        label_names=classifier.label_names,
        split=split,
        task=classifier.task,
        pairs=classifier.pairs,
        known=classifier.columns,
    )


def digest_of(rows: Any) -> str:
    """Return a hash of texts and labels."""
    return _digest(text_hashes(rows).tobytes(), rows["label"][:])


def _digest(texts: bytes, labels: Sequence[Any]) -> str:
    told = [label.tolist() if hasattr(label, "tolist") else label for label in labels]
    return hashlib.sha256(texts + repr(told).encode()).hexdigest()


# ---------------------------------------------------------------- out of fold


def _out_of_fold(members: Members) -> Evidence:
    """Read ``oof.parquet`` of every run.

    Raises:
        InputError: for tokens, or if the files are not about the same rows and labels.
    """
    classifier = members.first
    if classifier.task == "tokens":
        raise InputError("tags out of fold are not read; name labelled rows that no run has seen with --data.")
    tables = [pq.read_table(run.path / OUT_OF_FOLD) for run in members.runs]
    for run, table in zip(members.runs, tables, strict=True):
        if not (table["row"].equals(tables[0]["row"]) and table["label"].equals(tables[0]["label"])):
            raise InputError(f"{run.path / OUT_OF_FOLD} is not about the rows of {members.runs[0].path}; give runs of "
                             "the same data.")  # fmt: skip
    outputs = tuple(_columns(classifier, table) for table in tables)
    labels = _ids(classifier, tables[0]["label"].to_pylist())
    return Evidence("out_of_fold", labels, outputs, _digest(np.asarray(tables[0]["row"]).tobytes(), labels))


def _columns(classifier: Any, table: Any) -> Any:
    if classifier.task == "regression":
        return np.asarray(table["prediction"], dtype=np.float64)
    return np.stack([np.asarray(table[f"probability_{name}"]) for name in classifier.label_names], axis=1)


def _ids(classifier: Any, labels: Sequence[Any]) -> list[Any]:
    names = classifier.label_names
    if classifier.task == "regression":
        return list(labels)
    if classifier.task == "multi-label":
        return [[float(name in row) for name in names] for row in labels]
    return [names.index(label) for label in labels]
