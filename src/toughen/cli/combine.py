"""`toughen combine`: several runs as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import toughen
from toughen.cli import show
from toughen.cli.flags import OVERRIDES, RecipeCommand
from toughen.cli.root import AsJson, FailIfCollapsed, Verify, app, fail_on_collapse
from toughen.files import read_json
from toughen.runs.folder import COMBINATION

if TYPE_CHECKING:
    from toughen.run import Run

HOW = "mean-probabilities, mean-logits, vote, weights, stack, uniform-soup, greedy-soup, wise-ft or distil."
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs of one task.", show_default=False)]
Selecting = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Labelled rows that may select; for distil, what the student learns from."),
]
Link = Annotated[bool, typer.Option("--link", help="Refer to the runs instead of copying them.")]
Heat = Annotated[float | None, typer.Option(metavar="T", help="With distil: divides both models' logits [default: 2].")]
Alpha = Annotated[
    float | None, typer.Option(metavar="A", help="With distil: the teacher's share of the loss [default: 0.5].")
]
Student = Annotated[str | None, typer.Option(metavar="NAME|FILE", help="With distil; default: the first run's.")]


@app.command(cls=RecipeCommand, options_metavar="[OPTIONS] [--SLOT.FIELD VALUE ...]")
def combine(
    ctx: typer.Context,
    runs: Runs,
    output: Annotated[Path, typer.Option(metavar="RUN", help="Folder for the result.")],
    how: Annotated[str, typer.Option(metavar="NAME", help=HOW)] = "mean-probabilities",
    data: Selecting = None,
    test: Annotated[str | None, typer.Option(metavar="SOURCE", help="Labelled texts scored once, at the end.")] = None,
    link: Link = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --output.")] = False,
    temperature: Heat = None,
    alpha: Alpha = None,
    recipe: Student = None,
    fail_if_collapsed: FailIfCollapsed = False,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Combine runs: by their outputs, by their weights, or by teaching one model (whose recipe the settings change).

    toughen combine runs/a runs/b runs/c --how greedy-soup --output runs/soup
    """
    with show.only_json(as_json):
        run = toughen.combine(
            list(runs),
            how=how,
            output=output,
            data=data,
            test=test,
            link=link,
            overwrite=overwrite,
            temperature=temperature,
            alpha=alpha,
            recipe=recipe,
            **ctx.meta[OVERRIDES],
        )
    if show.is_main_process():
        _print(run, as_json)
    fail_on_collapse(fail_if_collapsed, run.metrics)


def _print(run: Run, as_json: bool) -> None:
    metrics, content = run.metrics, read_json(run.path / COMBINATION)
    if as_json:
        show.print_json({"run": str(run.path), **metrics, "details": content})
        return
    names = ("out_of_fold", "validation", "held_out", "test")
    scored = {name.replace("_", " "): metrics[name] for name in names if metrics.get(name)}
    if scored:
        show.print_metrics(scored)
    lines = [("how", content["how"]), ("models per text", str(content["passes"]))]
    if content.get("weights"):
        lines.append(("weights", ", ".join(f"{weight:.3f}" for weight in content["weights"])))
    if content.get("soup"):
        lines.append(("in the soup", ", ".join(Path(name).name for name in content["soup"]["chosen"])))
    if content.get("share") is not None:
        lines.append(("share of the tuned weights", f"{content['share']:g}"))
    if metrics["combination"]["optimistic"]:
        lines.append(("optimistic", f"{metrics['combination']['rows']}: {metrics['combination']['optimistic']}"))
    show.print_pairs(lines)
    show.print_verdict(metrics)
    typer.echo(f"The combination is a run folder: {run.path}")
