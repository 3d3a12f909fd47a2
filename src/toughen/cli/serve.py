"""`toughen serve`: a trained model over HTTP."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from toughen.cli.root import Verify, app
from toughen.serve.limits import Limits

TOKEN = "TOUGHEN_TOKEN"
_DEFAULT = Limits()
_option = partial(typer.Option, show_envvar=False)


@app.command(
    # Not TOUGHEN_SERVE: Kubernetes sets TOUGHEN_SERVE_PORT itself where a Service is called toughen-serve.
    context_settings={"auto_envvar_prefix": "TOUGHEN_SET"},
    epilog="Every option can be set by the environment: TOUGHEN_SET_MAX_TEXTS is --max-texts.",
)
def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN|DIR", help="Folder of a training or of an export.")],
    host: Annotated[str, _option(help="Address to listen at; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, _option(help="Port to listen at; 0 is a free one.")] = 8080,
    token: Annotated[
        str | None,
        _option(
            metavar="ENV|FILE",
            help=f"Where the token is that clients must send; default {TOKEN}, where it is set.",
            allow_from_autoenv=False,  # who reads of TOUGHEN_SET_TOKEN would put the token itself there
        ),
    ] = None,
    model: Annotated[
        str | None, _option(metavar="FILE", help="Graph of an exported folder, such as model.int8.onnx.")
    ] = None,
    provider: Annotated[
        str | None, _option(metavar="NAME", help="What computes an exported folder, such as CUDA; default: CPU.")
    ] = None,
    max_batch_tokens: Annotated[int, _option(help="Tokens of one pass, padding included.")] = (
        _DEFAULT.max_batch_tokens
    ),
    max_wait_ms: Annotated[
        float | None,
        _option(help="How long a text may wait for others to share a pass with; 0: batch only what is queued."),
    ] = _DEFAULT.max_wait_ms,
    max_texts: Annotated[int, _option(help="Texts per request.")] = _DEFAULT.max_texts,
    max_body_bytes: Annotated[int, _option(help="Bytes per request.")] = _DEFAULT.max_body_bytes,
    timeout: Annotated[float, _option(help="Seconds until a request is given up.")] = _DEFAULT.timeout,
    queue: Annotated[int, _option(help="Texts that may wait; more are refused with 429.")] = _DEFAULT.queue,
    max_connections: Annotated[int, _option(help="Connections that may be open at once.")] = (_DEFAULT.max_connections),
    allow_origin: Annotated[
        list[str] | None,
        _option(metavar="URL", help="A page elsewhere that may call, such as https://example.org; repeatable."),
    ] = None,
    metrics_port: Annotated[
        int | None, _option(metavar="PORT", help="Show /metrics at this port, and not at the service's.")
    ] = None,
    json_logs: Annotated[bool, _option("--json-logs", help="Log JSON, a line for every request.")] = False,
    otel: Annotated[
        bool,
        _option("--otel", help="Send spans to OpenTelemetry, as its environment variables OTEL_... say."),
    ] = False,
    verify: Verify = False,
) -> None:
    """Answer over HTTP, with a demo page."""
    from toughen.serve.server import serve as start  # loads asyncio and what answers texts

    limits = Limits(
        max_batch_tokens=max_batch_tokens,
        max_wait_ms=max_wait_ms,
        max_texts=max_texts,
        max_body_bytes=max_body_bytes,
        timeout=timeout,
        queue=queue,
        max_connections=max_connections,
    )
    start(
        run,
        host=host,
        port=port,
        token=token or (TOKEN if TOKEN in os.environ else None),
        model=model,
        provider=provider,
        limits=limits,
        allow_origin=allow_origin or (),
        metrics_port=metrics_port,
        json_logs=json_logs,
        otel=otel,
    )
