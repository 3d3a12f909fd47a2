"""`toughen evaluate`: what a trained model is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from toughen.cli import show
from toughen.cli.app import AsJson, PairColumn, RunFolder, TextColumn, app
from toughen.errors import InputError


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[str, typer.Option(metavar="SOURCE", help="Labelled texts: hub id, file or folder.")],
    also: Annotated[list[str] | None, typer.Option(metavar="NAME=SOURCE", help="More of them; repeatable.")] = None,
    text: TextColumn = None,
    label: Annotated[
        str | None, typer.Option("--data.label", metavar="COLUMN", help="Label column; default: found.")
    ] = None,
    text_pair: PairColumn = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained model on labelled texts."""
    more = _named_sources(also or ())
    named = {"text": text, "label": label, "text_pair": text_pair}
    columns = {name: column for name, column in named.items() if column}
    with show.only_json(as_json):
        from toughen.run import Run

        result = Run.open(run).evaluate(data, also=more, **columns)
    if as_json:
        show.print_json(result)
    else:
        show.print_metrics(result if more else {"data": result})


def _named_sources(pairs: Sequence[str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for pair in pairs:
        name, equals, source = pair.partition("=")
        if not (name and equals and source):
            raise InputError(f"--also {pair}: must be NAME=SOURCE, such as reviews=reviews.csv.")
        if name in sources:
            raise InputError(f"--also {pair}: the name {name} is taken; choose another.")
        sources[name] = source
    return sources
