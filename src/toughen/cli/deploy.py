"""`toughen predict`: a trained model at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toughen.cli import show
from toughen.cli.app import AsJson, PairColumn, RunFolder, TextColumn, app


@app.command()
def predict(
    run: RunFolder,
    source: Annotated[str, typer.Option("--input", metavar="FILE", help="Texts: .csv .tsv .jsonl .json .parquet.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write labels and probabilities.")],
    text: TextColumn = None,
    text_pair: PairColumn = None,
    as_json: AsJson = False,
) -> None:
    """Label a file of texts: label, score and one probability per class."""
    with show.only_json(as_json):
        from toughen.predict_file import predict_file
        from toughen.run import Run

        rows = predict_file(Run.open(run), source, output, text=text, text_pair=text_pair)
    if as_json:
        show.print_json({"output": str(output), "rows": rows})
    else:
        typer.echo(f"{rows:,} rows in {output}")
