"""`toughen evaluate`, `calibrate` and `abstain`: what a trained model is worth, and whether it knows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import toughen
from toughen.cli import show
from toughen.cli.evaluation import print_evaluation
from toughen.cli.root import AsJson, Encoding, PairColumn, RunFolder, TextColumn, Verify, app
from toughen.errors import InputError

if TYPE_CHECKING:
    from toughen.assess.questions import Asked

LabelColumn = Annotated[
    str | None, typer.Option("--data.label", metavar="COLUMN", help="Label column; default: found.")
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
    run: RunFolder,
    data: Annotated[str, typer.Option(metavar="SOURCE", help="Labelled texts: hub id, file or folder.")],
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
    text_pair: PairColumn = None,
    encoding: Encoding = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Score a trained model on labelled texts: metrics with intervals, calibration, slices, mistakes."""
    more = _named_sources(also or ())
    named = {"text": text, "label": label, "text_pair": text_pair, "encoding": encoding}
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


def _named_sources(pairs: Sequence[str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for pair in pairs:
        name, equals, source = pair.partition("=")
        if not (name and equals and source):
            raise InputError(f"--also {pair}: must be NAME=SOURCE, such as reviews=reviews.csv.")
        if name in sources:
            raise InputError(f"--also {pair}: the name {name} is taken; choose another.")
        sources[name] = source
    return sources


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
