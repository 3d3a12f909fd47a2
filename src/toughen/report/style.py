"""One look for all figures: drawn in fixed colours, which as SVG become the page's own, light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2328", "#59636e", "#d1d9e0"
SERIES = ("#0b62a8", "#b34700", "#1a7f37", "#8250df", "#bf3989", "#7d4e00")
"""Each at least 4.5 to 1 on white."""
MARKS, DASHES = ("o", "s", "^", "D", "v", "P"), ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
"""So that no series is told apart by its colour alone."""
WIDTH = 4.6
"""Inches. As wide as a phone shows it, so that the letters keep their size there."""

_VARIABLES = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--grid)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)
}
_RULES: dict[str, Any] = {
    "svg.fonttype": "none",  # letters stay letters: they can be searched, read aloud and set in the page's font
    "svg.hashsalt": "toughen",
    "text.parse_math": False,  # a label may hold a dollar sign
    "axes.unicode_minus": False,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}


@contextmanager
def apply_style() -> Iterator[None]:
    """Let every figure made and drawn inside look alike.

    A letter that matplotlib's own font lacks is no matter: the reader's browser has a font for it.
    """
    from matplotlib import rc_context

    rules: Any = _RULES  # typed by matplotlib as a mapping of hundreds of literal names
    with rc_context(rules), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def new_figure(height: float, rows: int = 1) -> tuple[Figure, list[Any]]:
    """Return a figure of `WIDTH` x height inches, and its axes from top to bottom, which share x."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def as_svg(figure: Figure, name: str, title: str, alt: str) -> str:
    """Return a figure as an inline <svg>: named for readers that do not see it, coloured by the page.

    Args:
        figure: made inside `apply_style`.
        name: goes before every id, as ids of one page must differ.
        title: becomes the accessible name.
        alt: becomes the accessible description.
    """
    buffer = io.StringIO()
    with apply_style():
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = _rename(text, name)
    text = re.sub(r"(style|fill|stroke)=\"[^\"]*\"", _colour, text)
    box = re.search(r'viewBox="[^"]+"', text)
    if box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    body = text[text.index(">") + 1 :]
    head = f'<svg {box[0]} role="img" aria-labelledby="{name}-title {name}-alt" xmlns:xlink="http://www.w3.org/1999/xlink">'
    words = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-alt">{escape(alt)}</desc>'
    return head + words + body


def _rename(text: str, name: str) -> str:
    text = re.sub(r'(<[^>]*?\s)id="', rf'\1id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    return re.sub(r"url\(#", f"url(#{name}-", text)


def _colour(match: re.Match[str]) -> str:
    """Put the page's colours and font into one attribute."""
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: _VARIABLES.get(found[0], found[0]), match[0])
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    return re.sub(r"font: ([^;\"]*?\d[\d.]*px) [^;\"]*", r"font: \1 var(--font)", text)
