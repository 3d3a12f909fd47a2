"""What is asked of a training beside its recipe: folds, a submission, a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toughen.errors import InputError
from toughen.files import read_json
from toughen.runs.folder import FOLDS, PSEUDO, RECIPE

DEFAULT_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Extras:
    """What was asked of a run beside its recipe.

    Attributes:
        folds: number of folds; None for an ordinary run.
        submit: texts to answer with all folds' models, a path, hub id or object.
        id_column: column of those texts that stands first in ``submission.csv``, in place of the row numbers.
        pseudo_label: run folder of the teacher that labels the texts without labels.
        min_confidence: least probability with which its label counts, above 1 / labels and at most 1.
    """

    folds: int | None = None
    submit: object = None
    id_column: str | None = None
    pseudo_label: str | None = None
    min_confidence: float | None = None

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise InputError(f"--folds must be at least 2, got {self.folds}; leave it out for a single model.")
        if self.submit is not None and self.folds is None:
            raise InputError("--submit is for --folds; label texts with one model by toughen predict.")
        if self.id_column is not None and self.folds is None:
            raise InputError(
                "--id-column is for --folds, whose submission.csv it heads; toughen predict keeps all columns."
            )
        if self.min_confidence is not None and self.pseudo_label is None:
            raise InputError("--min-confidence is for --pseudo-label RUN, the run that labels the texts.")
        if self.min_confidence is not None and not 0 < self.min_confidence <= 1:
            raise InputError(
                f"--min-confidence must be a probability above 1 / number of labels, got {self.min_confidence}."
            )

    @property
    def confidence(self) -> float:
        """The least probability that counts, where none was named too."""
        return DEFAULT_CONFIDENCE if self.min_confidence is None else self.min_confidence


def extras_of(folder: Path, *, resume: bool, **given: Any) -> Extras:
    """Return what was asked, or with ``resume`` what the run was started with, which nothing given may contradict.

    Raises:
        InputError: if something given makes no sense, or differs from what the run was started with.
    """
    if not (resume and (folder / RECIPE).exists()):
        return Extras(**given)
    stored = _read_stored(folder)
    for name, value in given.items():
        before = stored[name]
        if value is not None and name != "submit" and not _same(name, value, before):
            flag = f"--{name.replace('_', '-')}"
            with_before = "without it" if before is None else f"with {before}"
            raise InputError(
                f"{flag} is {value}, but the run in {folder} was started {with_before}; resume it with the same "
                "settings or choose another --output."
            )
    submit = given.get("submit")
    return Extras(**{**stored, "submit": stored["submit"] if submit is None else submit})


def _read_stored(folder: Path) -> dict[str, Any]:
    folds, pseudo = read_json(folder / FOLDS), read_json(folder / PSEUDO)
    return {
        "folds": folds.get("folds"),
        "submit": folds.get("submit"),
        "id_column": folds.get("id_column"),
        "pseudo_label": pseudo.get("teacher"),
        "min_confidence": pseudo.get("min_confidence"),
    }


def _same(name: str, value: Any, before: Any) -> bool:
    if name == "pseudo_label" and before is not None:
        return Path(value).absolute() == Path(before).absolute()
    return bool(value == before)
