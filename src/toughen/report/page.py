"""What a report is made of, before it is HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, ...]
Piece = tuple[str, bool]
"""Part of a text, and whether it was changed."""


@dataclass(frozen=True)
class Table:
    """Cells under a caption; the first cell of each row names it.

    Attributes:
        caption: what the table holds.
        heads: one per column.
        rows: cells as text.
        narrow: whether it stands beside another block though it has more than three columns.
    """

    caption: str
    heads: Row
    rows: Sequence[Row]
    narrow: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A figure with its words.

    Attributes:
        key: short name, letters and dashes; that of the image in TensorBoard.
        title: what it shows.
        alt: what there is to see, for those who do not see it.
        figure: drawn in the colours of `toughen.report.style`.
        note: how to read it.
        numbers: the same as a table, folded up below the figure.
    """

    key: str
    title: str
    alt: str
    figure: Figure
    note: str = ""
    numbers: Table | None = None
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Pair:
    """A text and what was made of it, in pieces.

    Attributes:
        name: which text it is.
        answer: what the model says of both.
        left: the original.
        right: the changed text.
    """

    name: str
    answer: str
    left: Sequence[Piece]
    right: Sequence[Piece]


@dataclass(frozen=True)
class Pairs:
    """Texts side by side under a caption."""

    caption: str
    pairs: Sequence[Pair]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "note"


Block = Table | Chart | Pairs | Note


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        kind: "training run", "evaluation", ...
        name: of what is reported.
        summary: sentences in plain words, the most important first.
        facts: (name, value) of what it is about.
        sections: in order; those without blocks are left out.
        basis: what the numbers are, for the footer.
    """

    kind: str
    name: str
    summary: Sequence[str]
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    basis: str = "measured values"

    @property
    def shown(self) -> list[Section]:
        """The sections that hold something."""
        return [section for section in self.sections if section.blocks]

    def charts(self) -> Iterator[Chart]:
        """Yield every chart in order."""
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Chart):
                    yield block
