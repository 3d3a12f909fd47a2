"""`toughen train`, `toughen demo` and `toughen recipes`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import toughen
import toughen.data
from toughen.cli import show
from toughen.cli.flags import OVERRIDES, RecipeCommand
from toughen.cli.root import AsJson, FailIfCollapsed, Verify, app, fail_on_collapse
from toughen.errors import InputError
from toughen.recipe.shipped import DEFAULT, GOALS, shipped_recipes

if TYPE_CHECKING:
    from toughen.recipe.recipe import Recipe
    from toughen.run import Run

Folds = Annotated[int | None, typer.Option(metavar="K", help="Train K models, each scored on rows it never saw.")]
Submit = Annotated[str | None, typer.Option(metavar="SOURCE", help="With --folds: texts to answer with all K models.")]
IdColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Of the submitted texts, first in submission.csv; default: row.")
]
Teacher = Annotated[str | None, typer.Option(metavar="RUN", help="Run that labels the texts of --unlabelled.")]
Confidence = Annotated[
    float | None, typer.Option(metavar="P", help="Keep a pseudo-label only from probability P on [default: 0.9].")
]


@app.command(cls=RecipeCommand, options_metavar="[OPTIONS] [--SLOT.FIELD VALUE ...]")
def train(
    ctx: typer.Context,
    named: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help=f"Shipped recipe or YAML file; default {DEFAULT}.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="The same, as an option.")] = None,
    goal: Annotated[
        str | None, typer.Option(metavar="|".join(GOALS), help="What for, in place of a recipe's name.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="RUN", help="Folder for the result.")] = None,
    folds: Folds = None,
    submit: Submit = None,
    id_column: IdColumn = None,
    pseudo_label: Teacher = None,
    min_confidence: Confidence = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --output.")] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Measure a learning rate in 100 steps, print it and stop.")
    ] = False,
    fail_if_collapsed: FailIfCollapsed = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the resolved recipe and stop.")] = False,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model by a recipe and score the result.

    toughen train --model roberta-base --data reviews.csv --output run
    """
    chosen = _recipe_name(named, recipe, goal)
    if resume and overwrite:
        raise InputError("--resume and --overwrite contradict each other; choose one.")
    resolved = _recipe(chosen, output if resume else None, ctx.meta[OVERRIDES])
    if print_config:
        _print_config(resolved, as_json)
        return
    if find_lr and resolved.data.source:
        _print_rate(resolved, as_json)
        return
    if output is None or not resolved.data.source:
        missing = ["--data"] * (not resolved.data.source) + ["--output"] * (output is None and not find_lr)
        raise InputError(f"toughen train needs {' and '.join(missing)}; see 'toughen train --help'.")
    with show.only_json(as_json):
        run = toughen.train(
            recipe=resolved,
            output=output,
            folds=folds,
            submit=submit,
            id_column=id_column,
            pseudo_label=pseudo_label,
            min_confidence=min_confidence,
            resume=resume,
            overwrite=overwrite,
        )
    if show.is_main_process():
        _print_run(run, as_json)
    fail_on_collapse(fail_if_collapsed, run.metrics)


def _print_rate(recipe: Recipe, as_json: bool) -> None:
    from toughen.machine.launch import main_process_console  # loads torch
    from toughen.training.rate_test import find_rate  # loads transformers

    with show.only_json(as_json):
        splits = toughen.data.load_splits(recipe.data, seed=recipe.training.seed)
        found = find_rate(recipe, splits, main_process_console(quiet=False))
    if as_json:
        show.print_json(asdict(found))
    else:
        typer.echo("\n".join(found.lines()))


def _print_run(run: Run, as_json: bool) -> None:
    metrics = run.metrics
    if as_json:
        show.print_json({"run": str(run.path), **metrics})
        return
    show.print_run(metrics)
    if "folds" not in metrics:
        typer.echo(f"The model, metrics.json and the TensorBoard log are in {run.path}")
        return
    files = ("oof.parquet", "submission.csv", "metrics.json", "mistakes.json", "report.html")
    written = ", ".join(name for name in files if (run.path / name).exists())
    typer.echo(f"{len(metrics['folds'])} models (fold-1 and so on), {written} are in {run.path}")


def _recipe_name(named: str | None, recipe: str | None, goal: str | None) -> str | None:
    """Return the one recipe that was named, as an argument, an option or a goal; None if none was."""
    if goal is not None and goal not in GOALS:
        raise InputError(f"--goal must be one of {', '.join(GOALS)}, got {goal!r}.")
    names = list(dict.fromkeys(name for name in (named, recipe, goal) if name))
    if len(names) > 1:
        raise InputError(f"Two recipes are named, {names[0]} and {names[1]}; name one.")
    return names[0] if names else None


def _recipe(name: str | None, resumed: Path | None, overrides: dict[str, str]) -> Recipe:
    """Load the recipe named, or the one of the run that goes on, or the default."""
    own = resumed / "recipe.yaml" if resumed else None
    if name is None and own is not None and own.is_file():
        return toughen.load_recipe(own, overrides)
    return toughen.load_recipe(name or DEFAULT, overrides)


def _print_config(recipe: Recipe, as_json: bool) -> None:
    from toughen.recipe.recipe import as_tree, dump  # loads torch

    if as_json:
        show.print_json(as_tree(recipe))
    else:
        typer.echo(dump(recipe), nl=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the demo's runs go.")] = Path("demo-run"),
    fail_if_collapsed: FailIfCollapsed = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a small model on the sample corpus, plain and by default, over three seeds, and compare them."""
    with show.only_json(as_json):
        from toughen.demo import main  # loads torch

        result: dict[str, Any] = main(output=output)
    if as_json:
        show.print_json(result)
    fail_on_collapse(fail_if_collapsed, result)


@app.command(name="recipes")
def list_recipes(as_json: AsJson = False) -> None:
    """List the recipes that ship with toughen."""
    if as_json:
        show.print_json({"recipes": [{"name": name, "description": text} for name, text in shipped_recipes()]})
    else:
        show.print_pairs(shipped_recipes())
        typer.echo("\nSee one in full: toughen train NAME --print-config")
