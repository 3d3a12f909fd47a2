"""`toughen try`, `compare`, `ablate` and `search`: does it help, is it real, what made it, can it be better."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import toughen
from toughen.assess.definition import describe_scored_class
from toughen.cli import show
from toughen.cli.flags import OVERRIDES, RecipeCommand
from toughen.cli.root import AsJson, FailIfCollapsed, PairColumn, TextColumn, Verify, app, fail_on_collapse
from toughen.errors import InputError
from toughen.machine.cluster import check_engine
from toughen.recipe.shipped import DEFAULT

Metric = Annotated[str | None, typer.Option(metavar="NAME", help="Score that is compared; default f1, or pearson.")]
Engine = Annotated[str, typer.Option(metavar="NAME", help="local, or ray: a Ray cluster.")]
Jobs = Annotated[int, typer.Option(metavar="N", min=1, help="Trainings at a time, each in a process of its own.")]


@app.command("try", cls=RecipeCommand, options_metavar="[OPTIONS] [--SLOT.FIELD VALUE ...]")
def try_(
    ctx: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled texts: hub id, file or folder.")],
    minutes: Annotated[float, typer.Option(metavar="N", help="For all calls on the output folder together.")] = 20.0,
    recipes: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Shipped recipes or YAML files; the first is the baseline.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the runs and the table.")] = Path("try-run"),
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Runs of each recipe at most.")] = None,
    metric: Metric = None,
    fail_if_collapsed: FailIfCollapsed = False,
    as_json: AsJson = False,
) -> None:
    """Find out whether the tricks help on your data: simple models, plain fine-tuning, the default and two others.

    toughen try reviews.csv --minutes 20 --model roberta-base
    """
    with show.only_json(as_json):
        from toughen.compare import tables, try_recipes  # load torch

        names = try_recipes.RECIPES if recipes is None else [name.strip() for name in recipes.split(",")]
        most = try_recipes.MOST_SEEDS if seeds is None else seeds
        asked: dict[str, Any] = {
            "minutes": minutes,
            "recipes": names,
            "seeds": most,
            "metric": metric,
            "say": typer.echo,
        }
        result = try_recipes.try_recipes(data, output=output, **asked, **ctx.meta[OVERRIDES])
        typer.echo(tables.try_table(result))
        show.say_report(output, typer.echo)
    if as_json:
        show.print_json(result)
    fail_on_collapse(fail_if_collapsed, result)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Two runs or more.", show_default=False)],
    data: Annotated[str, typer.Option(metavar="SOURCE", help="Labelled texts: hub id, file or folder.")],
    metric: Metric = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Run that the others are compared with; default the first.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for comparison.json and table.md.")] = None,
    samples: Annotated[int, typer.Option(metavar="N", min=100, help="Resamples of the bootstrap.")] = 2000,
    text: TextColumn = None,
    label: Annotated[
        str | None, typer.Option("--data.label", metavar="COLUMN", help="Label column; default: found.")
    ] = None,
    text_pair: PairColumn = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Score runs on the same texts: which differences are real, and what do they cost?"""
    named = {"text": text, "label": label, "text_pair": text_pair}
    columns = {name: column for name, column in named.items() if column}
    with show.only_json(as_json):
        from toughen.compare import comparison, tables  # load torch

        result = comparison.compare(
            runs, data, metric=metric, baseline=baseline, output=output, samples=samples, columns=columns
        )
        for difference in result["differences"]:
            typer.echo(difference["sentence"])
        for line in describe_scored_class(result):
            typer.echo(line)
        for line in tables.warnings_of(result):
            typer.echo(line, err=True)
        show.say_report(output, partial(typer.echo, err=True))
    if as_json:
        show.print_json(result)


@app.command(cls=RecipeCommand, options_metavar="[OPTIONS] [--SLOT.FIELD VALUE ...]")
def ablate(
    ctx: typer.Context,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Shipped recipe or YAML file.", show_default=False)],
    over: Annotated[
        str, typer.Option(metavar="SLOT,...", help="What to switch: slots, settings like objective.label_smoothing.")
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the runs and the table.")],
    seeds: Annotated[int, typer.Option(metavar="N", help="Runs of each combination, at least 2.")] = 5,
    design: Annotated[
        str, typer.Option(metavar="full|one-off|whole", help="All combinations; each alone and left out; all or none.")
    ] = "full",
    metric: Metric = None,
    sd: Annotated[
        float | None, typer.Option(metavar="X", min=0, help="Standard deviation of the score over seeds, if known.")
    ] = None,
    jobs: Jobs = 1,
    engine: Engine = "local",
    plan: Annotated[bool, typer.Option("--plan", help="Print cost and power of the plan and stop.")] = False,
    fail_if_collapsed: FailIfCollapsed = False,
    as_json: AsJson = False,
) -> None:
    """Switch parts of a recipe on and off over several seeds: what did each of them buy?

    toughen ablate tough-stack --over objective,adversary,average --model roberta-base --data reviews --output ablation
    """
    slots = [slot.strip() for slot in over.split(",") if slot.strip()]
    with show.only_json(as_json):
        result = _ablate(_recipe(recipe, ctx), slots, output, seeds, design, metric, sd, jobs, plan, engine)
    if as_json:
        show.print_json(result)
    fail_on_collapse(fail_if_collapsed, result)


def _ablate(
    recipe: Any,
    slots: list[str],
    output: Path,
    seeds: int,
    design: str,
    metric: str | None,
    sd: float | None,
    jobs: int,
    only_plan: bool,
    engine: str,
) -> dict[str, Any]:
    from toughen.compare import ablation, ablation_plan, tables  # load torch

    chosen = check_engine(engine)
    asked = ablation.Ablation(ablation_plan.make_plan(recipe, slots, design=design, seeds=seeds), output, metric, sd)
    described = asked.describe()
    for line in tables.plan_lines(described):
        typer.echo(line)
    if only_plan:
        return described
    result = ablation.ablate(
        asked, jobs=jobs, say=typer.echo, planned=lambda: show.say_report(output, typer.echo), engine=chosen
    )
    for effect in result["effects"]:
        typer.echo(f"{effect['kind']}: {tables.effect_sentence(effect, result['metric'])}")
    for line in describe_scored_class(result):
        typer.echo(line)
    show.print_verdict(result)
    typer.echo(f"The table is in {output / ablation.TABLE}")
    show.say_report(output, typer.echo)
    return result


def _recipe(name: str, ctx: typer.Context) -> Any:
    """Load the recipe with the flags on top; data must be named."""
    recipe = toughen.load_recipe(name, ctx.meta[OVERRIDES])
    if not recipe.data.source:
        raise InputError(f"{ctx.command_path} needs --data; see '{ctx.command_path} --help'.")
    return recipe


@app.command(cls=RecipeCommand, options_metavar="[OPTIONS] [--SLOT.FIELD VALUE ...]")
def search(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the trials and the best recipe.")],
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help=f"Shipped recipe or YAML file; default {DEFAULT}.")
    ] = DEFAULT,
    over: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUES", help="LOW:HIGH, LOW:HIGH:log or A,B,C; repeatable.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same as YAML, one KEY: VALUES a line.")
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="Finished trials of the study in all.")] = 20,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Optuna's storage; default SQLite in the output folder.")
    ] = None,
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the study in the storage.")] = "toughen",
    engine: Engine = "local",
    fail_if_collapsed: FailIfCollapsed = False,
    as_json: AsJson = False,
) -> None:
    """Search settings of a recipe for the best validation score; the test split stays unread.

    toughen search plain --over training.learning_rate=1e-5:1e-4:log --trials 20 --data reviews --output search
    """
    with show.only_json(as_json):
        from toughen.compare import search as searches  # loads torch
        from toughen.compare.search_space import make_space, read_space  # loads torch

        base = _recipe(recipe, ctx)
        wanted = searches.Search(
            base, make_space(base, [*(read_space(space) if space else ()), *(over or ())]), output, storage, study
        )
        result = searches.search(wanted, trials=trials, say=typer.echo, engine=check_engine(engine))
        best = result["best"]
        typer.echo(
            f"best: trial {best['number']}, validation {result['metric']} {best['value']:.4f}: {output / searches.BEST}"
        )
        for line in describe_scored_class(result):
            typer.echo(line)
        show.print_verdict(result)
        show.say_report(output, typer.echo)
    if as_json:
        show.print_json(result)
    fail_on_collapse(fail_if_collapsed, result)
