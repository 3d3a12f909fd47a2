"""`toughen export` and `toughen predict`: a trained model packed up, and at work."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toughen.cli import show
from toughen.cli.root import AsJson, Encoding, PairColumn, RunFolder, TextColumn, Verify, app
from toughen.errors import InputError, count

Source = Annotated[str | None, typer.Option(metavar="SOURCE", help="Labelled texts to compare on; default: the run's.")]
Share = Annotated[float, typer.Option(metavar="SHARE", help="Texts whose label int8 and fp16 may change, 0 to 1.")]
Graph = Annotated[
    str | None, typer.Option(metavar="FILE", help="Graph of an exported folder, such as model.int8.onnx.")
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Processes with a model and one thread each; default: one per core.")
]


@app.command()
def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    int8: Annotated[bool, typer.Option("--int8", help="Add a variant with 8-bit weights.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Add a variant with 16-bit floats.")] = False,
    data: Source = None,
    max_changed_labels: Share = 0.02,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder.")] = False,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Pack a trained model as ONNX with its tokenizer, if it answers as the run does.

    A smaller variant that changes too many labels is left out and makes the exit status 2; the rest is kept.
    """
    with show.only_json(as_json), show.progress("reading") as told:
        from toughen.deploy import export as module  # loads torch

        made = module.export(
            run, to, int8=int8, fp16=fp16, data=data, max_changed=max_changed_labels, overwrite=overwrite, progress=told
        )
    if as_json:
        show.print_json(asdict(made))
    else:
        header, *body = module.rows(made)
        show.print_table(header, body)
        for remark in made.remarks:
            typer.echo(remark)
        typer.echo(f"{count(made.texts, 'text')} compared; {to} is complete")
    if made.refused:
        raise InputError(f"{' '.join(made.refused)} The rest is in {to}.")


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN|DIR", help="Folder of a training or of an export.")],
    source: Annotated[str, typer.Option("--input", metavar="FILE", help="Texts: .csv .tsv .jsonl .json .parquet.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write labels and probabilities.")],
    text: TextColumn = None,
    text_pair: PairColumn = None,
    encoding: Encoding = None,
    model: Graph = None,
    workers: Workers = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, or ray: a Ray cluster.")] = "local",
    chunk_rows: Annotated[
        int, typer.Option(metavar="N", help="Rows per chunk; an interrupted worker repeats at most one.")
    ] = 512,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what a killed start has finished.")] = False,
    abstain: Annotated[bool, typer.Option("--abstain", help="Write no label where the model abstains.")] = False,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Label a file of texts of any size: label, score and one probability per class.

    After a kill the same command goes on where it was.
    """
    with show.only_json(as_json):
        from toughen.bulk.predict import predict_folder  # loads pyarrow

        rows = predict_folder(
            run,
            source,
            output,
            text=text,
            text_pair=text_pair,
            encoding=encoding,
            model=model,
            workers=workers,
            engine=engine,
            chunk_rows=chunk_rows,
            restart=restart,
            abstain=abstain,
        )
    if as_json:
        show.print_json({"output": str(output), "rows": rows})
    else:
        typer.echo(f"{count(rows, 'row')} in {output}")
