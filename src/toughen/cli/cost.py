"""`toughen cost`: what a recipe's step takes, before a long run."""

from __future__ import annotations

from typing import Annotated

import typer

import toughen
from toughen.cli import show
from toughen.cli.flags import OVERRIDES, RecipeCommand
from toughen.cli.root import AsJson, app
from toughen.recipe.shipped import DEFAULT


@app.command(cls=RecipeCommand, options_metavar="[OPTIONS] [--SLOT.FIELD VALUE ...]")
def cost(
    ctx: typer.Context,
    named: Annotated[str, typer.Argument(metavar="RECIPE", help="Shipped recipe or YAML file.")] = DEFAULT,
    batch: Annotated[int | None, typer.Option(metavar="N", min=1, help="Texts; default: the recipe's.")] = None,
    length: Annotated[int | None, typer.Option(metavar="T", min=1, help="Tokens; default: the recipe's.")] = None,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Make a few steps and compare.")] = True,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Timed steps of each kind.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Predict passes, operations, memory and time of a recipe's step, and measure them.

    toughen cost tough-stack --model roberta-base --batch 16 --length 256
    """
    with show.only_json(as_json):
        from toughen.cost import estimate  # loads torch

        recipe = toughen.load_recipe(named, ctx.meta[OVERRIDES])
        found = estimate.estimate(recipe, batch=batch, length=length, measure=measure, repeats=repeats)
    if as_json:
        show.print_json({"recipe": named, **found})
        return
    typer.echo(f"{named} on {estimate.title(found)}\n")
    show.print_table(("per step", "predicted", "measured"), estimate.rows_of(found))
    typer.echo()
    show.print_table(("slot", "units", "share"), estimate.slots_of(found))
    typer.echo("".join(f"\n{line}" for line in estimate.remarks(found)))
