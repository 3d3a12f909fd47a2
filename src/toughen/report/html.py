"""A page as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import toughen
from toughen.report.page import Chart, Page
from toughen.report.style import as_svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_NUMBER = re.compile(r"[-+]?[\d,.]+( ?%)?( \(.*\))?|–|[-+\d.]+ to [-+\d.]+")


@cache
def environment() -> Environment:
    """Return the templates of this package; what is put into HTML is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=PackageLoader("toughen.report"),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.tests["numeric"] = lambda cell: bool(_NUMBER.fullmatch(cell))
    return made


def render(page: Page) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    numbers = {id(chart): number for number, chart in enumerate(page.charts(), 1)}

    def svg(chart: Chart) -> Markup:
        # Safe: matplotlib escapes what it writes, and `as_svg` the words around it.
        return Markup(as_svg(chart.figure, f"figure-{numbers[id(chart)]}", chart.title, chart.alt))  # noqa: S704

    given: dict[str, Any] = {"page": page, "svg": svg, "version": toughen.__version__}
    return environment().get_template("page.html.j2").render(given)
