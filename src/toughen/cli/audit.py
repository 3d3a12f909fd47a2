"""`toughen audit`: which training rows are worth a look."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import toughen
from toughen.cli import show
from toughen.cli.root import AsJson, RunFolder, Verify, app


@app.command()
def audit(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The rows it was trained on; default the recipe's source.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write; default RUN/audits/NAME.")] = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Find training rows that are worth a look, by a run in folds: wrong labels, copies, outliers, mixed-up classes.

    toughen audit runs/folds
    """
    with show.only_json(as_json):
        found = toughen.Run.open(run).audit(data, output=output)
        show.say_report(found["output"], partial(typer.echo, err=True))
    if as_json:
        show.print_json(found)
        return
    show.print_pairs(_lines(found))
    folder = found["output"]
    typer.echo(
        f"next: fill in the column label of {folder}/relabel.csv, then train with --data.relabel {folder}/relabel.csv"
    )


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    labels, copies = found["labels"], found["copies"]
    lines = [
        ("training rows", f"{found['n']:,}, {labels['out_of_fold_accuracy']:.1%} answered as they are labelled"),
        ("likely wrong labels", f"{labels['likely_wrong']:,}"),
        (
            "near-duplicates",
            f"{copies['rows']:,} rows in {copies['groups']:,} groups, {copies['contradicting_groups']:,} of them with "
            "several labels",
        ),
        (
            "outliers",
            "not sought: the models have no last layer" if found["outliers"] is None else str(found["outliers"]),
        ),
    ]
    for pair in found["overlap"][:3]:
        one, other = pair["labels"]
        lines.append(("mixed up", f"{one} and {other}: about {pair['rows']:,.0f} rows, {pair['share']:.1%} of both"))
    return lines
