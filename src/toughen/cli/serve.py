"""`toughen serve`: a trained model over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toughen.cli.app import app
from toughen.serve.limits import Limits

_DEFAULT = Limits()


@app.command()
def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN|DIR", help="Folder of a training or of an export.")],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 is a free one.")] = 8080,
    token: Annotated[
        str | None, typer.Option(metavar="ENV|FILE", help="Where the token is that clients must send.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="FILE", help="Graph of an exported folder, such as model.int8.onnx.")
    ] = None,
    max_batch_tokens: Annotated[int, typer.Option(help="Tokens of one pass, padding included.")] = (
        _DEFAULT.max_batch_tokens
    ),
    max_wait_ms: Annotated[
        float | None,
        typer.Option(help="Texts of several requests share passes; how long one may wait for others; 0 is not."),
    ] = _DEFAULT.max_wait_ms,
    max_texts: Annotated[int, typer.Option(help="Texts per request.")] = _DEFAULT.max_texts,
    max_body_bytes: Annotated[int, typer.Option(help="Bytes per request.")] = _DEFAULT.max_body_bytes,
    timeout: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = _DEFAULT.timeout,
    queue: Annotated[int, typer.Option(help="Texts that may wait; more are refused with 429.")] = _DEFAULT.queue,
) -> None:
    """Answer over HTTP, and show one page to people."""
    from toughen.serve.start import serve as start

    limits = Limits(
        max_batch_tokens=max_batch_tokens,
        max_wait_ms=max_wait_ms,
        max_texts=max_texts,
        max_body_bytes=max_body_bytes,
        timeout=timeout,
        queue=queue,
    )
    start(run, host=host, port=port, token=token, model=model, limits=limits)
