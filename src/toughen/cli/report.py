"""`toughen report`: results as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toughen.cli import show
from toughen.cli.app import AsJson, app


@app.command()
def report(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|EVALUATION|ATTACK|COMPARISON|ABLATION",
            help="Folder that toughen train, evaluate, attack, compare, ablate or search wrote, or its JSON file.",
            show_default=False,
        ),
    ],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: report.html in the folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write results as one HTML file with figures, a plain summary and tables; of a run, the model card too."""
    with show.only_json(as_json):
        from toughen.report import card, write  # load every page there is

        written = write.write_report(source, output)
        model_card = card.refresh_card(source)
    if as_json:
        show.print_json({"report": str(written), "card": None if model_card is None else str(model_card)})
        return
    typer.echo(f"the report is {written}")
    if model_card is not None:
        typer.echo(f"the model card is {model_card}")
