"""`toughen check`: what is wrong with data, all at once, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import toughen
from toughen.cli import show
from toughen.cli.flags import OVERRIDES, RecipeCommand
from toughen.cli.root import AsJson, app

REFUSED = 2


@app.command(cls=RecipeCommand, options_metavar="[OPTIONS] [--data.FIELD VALUE ...]")
def check(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Labelled texts: hub id, file or folder.")],
    as_json: AsJson = False,
) -> None:
    """Tell everything that is wrong or odd about labelled texts, and the flag that mends it.

    toughen check reviews.csv

    Exit status 0 if a training would take the data as they are, else 2.
    """
    with show.only_json(as_json):
        from toughen.data.check import check as look  # loads datasets

        recipe = toughen.load_recipe("plain", {**ctx.meta[OVERRIDES], "data.source": source})
        found = look(recipe.data, seed=recipe.training.seed)
    if as_json:
        problems = [asdict(problem) for problem in found.problems]
        show.print_json({"source": source, "stops": found.stops, "problems": problems, "summary": list(found.lines)})
    else:
        for problem in found.problems:
            typer.echo(f"{'stops a training' if problem.stops else 'worth knowing'}: {problem.line()}")
        if not found.problems:
            typer.echo("nothing wrong and nothing odd was found")
        if found.lines:
            rest = ", bad rows left out" if found.stops else ""
            typer.echo("\n".join(["", f"What a training would get{rest}:", *found.lines]))
    if found.stops:
        raise typer.Exit(REFUSED)
