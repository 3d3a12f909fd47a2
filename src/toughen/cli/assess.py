"""`toughen evaluate`, `calibrate` and `abstain`: what a trained model is worth, and whether it knows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import toughen
from toughen.assess.suite.evaluate_suite import evaluate_suite
from toughen.cli import show
from toughen.cli.evaluation import print_evaluation
from toughen.cli.root import AsJson, Encoding, PairColumn, RunFolder, TextColumn, Verify, app
from toughen.cli.suite_tables import print_suite
from toughen.deploy.files import is_export
from toughen.errors import InputError

if TYPE_CHECKING:
    from toughen.assess.questions import Asked

LabelColumn = Annotated[
    str | None, typer.Option("--data.label", metavar="COLUMN", help="Label column; default: found.")
]
LabelColumns = Annotated[
    str | None,
    typer.Option("--data.label_columns", metavar="A,B", help="A column of probabilities per class, instead."),
]
VoteColumns = Annotated[
    str | None, typer.Option("--data.vote_columns", metavar="A,B", help="Columns of annotators' votes, instead.")
]
HeldOut = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Labelled texts that it did not learn from; default its own validation."),
]
Slices = Annotated[
    list[str] | None,
    typer.Option("--slice", metavar="COLUMN|NAME:FILTER", help='Score a part, "long: length > 200"; repeatable.'),
]


@app.command()
def evaluate(
    ctx: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder of a training; with --suite of an export too.", show_default=False),
    ],
    data: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Labelled texts: hub id, file or folder.", show_default=False)
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="Behavioural tests instead: a YAML file, sentiment-en, sentiment-zh."),
    ] = None,
    suite_label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=LABEL", help="What the model calls a label of the suite; repeatable."),
    ] = None,
    also: Annotated[list[str] | None, typer.Option(metavar="NAME=SOURCE", help="More of them; repeatable.")] = None,
    slices: Slices = None,
    dropout_samples: Annotated[int, typer.Option(metavar="N", help="Passes with dropout left on.")] = 0,
    ood: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Out-of-distribution texts: how well confidence separates them (AUROC)."),
    ] = None,
    mistakes: Annotated[int, typer.Option(metavar="N", help="Show so many of the worst mistakes.")] = 20,
    samples: Annotated[int, typer.Option(metavar="N", help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Of resamples and dropout.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; default RUN/evaluations/NAME.")
    ] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    label_columns: LabelColumns = None,
    vote_columns: VoteColumns = None,
    text_pair: PairColumn = None,
    encoding: Encoding = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Score a trained model on labelled texts: metrics with intervals, calibration, slices, mistakes.

    With --suite, on behavioural tests: how often each fails, and on which texts.
    """
    if suite is not None:
        _refuse_beside_suite(ctx)
        _evaluate_suite(
            run, suite, _named_pairs("--suite-label", suite_label or (), "positive=5 stars"), output, as_json
        )
        return
    if data is None:
        raise InputError(
            "toughen evaluate needs --data SOURCE, labelled texts, or --suite FILE|NAME, behavioural tests."
        )
    if suite_label:
        raise InputError("--suite-label belongs to --suite; leave it out.")
    more = _named_pairs("--also", also or (), "reviews=reviews.csv")
    named = {"text": text, "label": label, "text_pair": text_pair, "encoding": encoding}
    named |= {"label_columns": label_columns, "vote_columns": vote_columns}
    columns = {name: column for name, column in named.items() if column}
    with show.only_json(as_json):
        asked: Asked = {"slices": slices or (), "dropout_samples": dropout_samples, "ood": ood, "mistakes": mistakes}
        asked |= {"samples": samples, "seed": seed, "save": True, "output": output}
        result = toughen.Run.open(run).evaluate(data, also=more, **columns, **asked)
        show.say_report(result.get("output"), partial(typer.echo, err=True))
    if as_json:
        show.print_json(result)
        return
    folder = result.pop("output", None)
    print_evaluation(result if more else {"data": result})
    if folder is not None:
        typer.echo(f"evaluation.json and predictions.parquet are in {folder}")


def _named_pairs(option: str, pairs: Sequence[str], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            shape = "NAME=SOURCE" if option == "--also" else "NAME=LABEL"
            raise InputError(f"{option} {pair}: must be {shape}, such as {example}.")
        if name in found:
            raise InputError(f"{option} {pair}: the name {name} is taken; choose another.")
        found[name] = value
    return found


_BESIDE_SUITE = ("run", "suite", "suite_label", "output", "verify", "as_json")


def _refuse_beside_suite(ctx: typer.Context) -> None:
    """Refuse what asks something of labelled texts, which a suite does not read."""
    for parameter in ctx.command.params:
        name = str(parameter.name)
        source = ctx.get_parameter_source(name)
        if name not in _BESIDE_SUITE and source is not None and source.name != "DEFAULT":
            raise InputError(
                f"--suite has texts of its own: {parameter.opts[0]} does not go with it; run both in turn."
            )


def _evaluate_suite(folder: Path, suite: str, names: dict[str, str], output: Path | None, as_json: bool) -> None:
    with show.only_json(as_json):
        # An export is sealed: nothing is written into it that was not asked for.
        exported = is_export(folder)
        model: Any = toughen.load(folder) if exported else toughen.Run.open(folder)
        result = evaluate_suite(model, suite, names=names, run=folder, save=not exported, output=output)
        show.say_report(result.get("output"), partial(typer.echo, err=True))
    if as_json:
        show.print_json(result)
        return
    print_suite(result)
    if "output" in result:
        typer.echo(f"suite.json, with every failing text, is in {result['output']}")


@app.command()
def calibrate(
    run: RunFolder,
    data: HeldOut = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Fit a temperature on validation rows and save it with the model; no answer changes, only probabilities."""
    with show.only_json(as_json):
        found = toughen.Run.open(run).calibrate(data)
    if as_json:
        show.print_json(found)
        return
    lines = [("temperature", f"{found['temperature']:.4f}"), ("validation rows", str(found["n"]))]
    names = ("log_loss", "ece", "brier")
    lines += [(name, f"{found[name]['before']:.4f} before, {found[name]['after']:.4f} after") for name in names]
    show.print_pairs(lines + [(name, found[name]) for name in ("worse", "warning", "note") if name in found])


@app.command()
def abstain(
    run: RunFolder,
    error: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Most wrong answers among those given, 0 to 1.")
    ] = None,
    confidence: Annotated[float, typer.Option(metavar="P", help="Chance with which --error holds.")] = 0.9,
    sets: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Texts whose set of labels holds the right one, 0 to 1.")
    ] = None,
    data: HeldOut = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Fit when the model gives no answer, and sets of labels that may be right; saved with the model."""
    with show.only_json(as_json):
        found = toughen.Run.open(run).abstain(data, error=error, confidence=confidence, sets=sets)
    if as_json:
        show.print_json(found)
        return
    lines = [("validation rows", f"{found['n']:,}")]
    if "answered" in found:
        told = found["answered"]
        lines += [
            ("threshold", f"{found['threshold']:g}"),
            ("answered", f"{told['n']:,} ({told['share']:.1%}), {told['errors']:,} of them wrong"),
            ("wrong among them", f"at most {found['error']:.1%}, with confidence {found['confidence']:.0%}"),
        ]
    if "sets" in found:
        told = found["sets"]
        lines += [
            ("set threshold", f"{found['set_threshold']:.4f}"),
            ("labels in a set", f"{told['mean_size']:.2f} on average, none in {told['empty']:.1%}"),
            ("right label in it", f"{told['covered']:.1%} of these rows, at least {found['coverage']:.1%} of others"),
        ]
    show.print_pairs(lines)
