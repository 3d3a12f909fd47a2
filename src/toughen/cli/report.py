"""`toughen report` and `toughen push`: results as one HTML file, and a model with its card on the hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toughen.cli import show
from toughen.cli.root import AsJson, RunFolder, Verify, app


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
    verify: Verify = False,
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


@app.command()
def push(
    run: RunFolder,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME, or a name of your own.")],
    private: Annotated[bool, typer.Option("--private", help="Make a private repository, where there is none.")] = False,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the commit.")] = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Upload a run's model, with its tokenizer and model card, to the Hugging Face hub.

    toughen push runs/reviews me/reviews --private
    """
    with show.only_json(as_json):
        from toughen.report.push import push as upload  # loads numpy

        pushed = upload(run, repository, private=private, message=message)
    if as_json:
        show.print_json(asdict(pushed))
    else:
        typer.echo(f"{', '.join(pushed.files)} are in {pushed.url}")
