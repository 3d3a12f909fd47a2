"""What an evaluation may be asked beyond its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from toughen.settings import require, require_seed


class Asked(TypedDict, total=False):
    """Keyword arguments of `Run.evaluate`: those of `Questions`, and ``details``, which asks for its defaults."""

    details: bool
    slices: Sequence[str]
    dropout_samples: int
    ood: object
    mistakes: int
    samples: int
    seed: int
    save: bool
    output: str | Path | None


@dataclass(frozen=True)
class Questions:
    """What to find out, beside intervals, calibration, the confusion matrix and slices by length and label.

    Attributes:
        slices: columns of the data, and filters (see `toughen.assess.filters.parse`).
        dropout_samples: passes with dropout on; 0 is none.
        ood: texts of another kind (any source; labels are not looked at), or None.
        mistakes: so many of the worst mistakes.
        samples: bootstrap resamples of the texts, for 95 % intervals.
        seed: of the resamples and of dropout.
        save: write evaluation.json and predictions.parquet into ``output``.
        output: folder to write to, which implies ``save``; None is RUN/evaluations/NAME after the data.
    """

    slices: Sequence[str] = ()
    dropout_samples: int = 0
    ood: object = None
    mistakes: int = 20
    samples: int = 1000
    seed: int = 0
    save: bool = False
    output: str | Path | None = None

    @classmethod
    def of(cls, asked: Asked) -> Questions:
        """Return what keyword arguments ask for."""
        given: dict[str, Any] = {name: value for name, value in asked.items() if name != "details"}
        return cls(**given)

    def __post_init__(self) -> None:
        for name in ("dropout_samples", "mistakes"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        require_seed(self.seed)
        require(self.samples >= 1, "samples", self.samples, "must be at least 1")
