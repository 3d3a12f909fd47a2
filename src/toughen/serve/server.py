"""From a folder to a process that listens, and stops when it is told to, with nothing half answered."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toughen.errors import InputError
from toughen.machine.services import is_loopback, read_token
from toughen.serve import logs
from toughen.serve.headers import Origins
from toughen.serve.limits import Limits
from toughen.serve.model import open_model
from toughen.serve.spans import Spans
from toughen.settings import require

_DRAIN = 5.0  # seconds beyond the timeout after which a client that does not read is left
_TURN = 0.001  # seconds
_IDLE = 75  # seconds; longer than the proxies that may stand before it keep a connection, who else meet one just closed


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    limits: Limits | None = None,
    allow_origin: Sequence[str] = (),
    metrics_port: int | None = None,
    json_logs: bool = False,
    otel: bool = False,
) -> None:
    """Serve a model until the process is told to stop (SIGTERM, SIGINT), and finish what was begun.

    Args:
        folder: of a run or an export.
        host: to listen at.
        port: likewise; 0 is a free one.
        token: name of an environment variable, or a file, that holds the token; None is everybody may ask.
        model: graph of an exported folder.
        provider: that computes it, see `open_model`.
        limits: of requests.
        allow_origin: origins of pages that may call the service, beside its own. Who listens at a loopback address
            answers to the names of this machine and of these origins alone.
        json_logs: write the log as JSON, a line for every request.
        otel: send spans of requests and passes, as the environment variables of OpenTelemetry say.
        metrics_port: where counters are shown instead of at /metrics, without the token; None is at /metrics.

    Raises:
        InputError: if something given is wrong, or a port is taken.
    """
    for name, number in (("port", port), ("metrics_port", metrics_port or 0)):
        require(0 <= number <= 65535, name, number, "must be from 0 to 65535")
    if find_spec("uvicorn") is None:
        raise InputError("toughen serve needs fastapi, uvicorn and prometheus-client; pip install 'toughen[serve]'.")
    from toughen.serve import app, meters  # need the extra for the service

    limits = limits or Limits()
    secret = None if token is None else read_token(token)
    origins = Origins(allow_origin, local=is_loopback(host))
    counts = meters.Meters(shown=metrics_port is None)
    with _tracing(on=otel) as spans:
        served = open_model(folder, model, provider)
        answering = app.make_app(served, limits, token=secret, origins=origins, meters=counts, spans=spans)
        import uvicorn

        logs.set_up(as_json=json_logs)
        config = uvicorn.Config(answering, host=host, port=port, **_server_settings(limits))
        # The thread that answers /healthz waits for what makes texts or reads bodies so long, not five times that.
        sys.setswitchinterval(_TURN)
        with _counters(counts, host, metrics_port):
            _run(uvicorn.Server(config), config)


def _server_settings(limits: Limits) -> dict[str, Any]:
    """Return what uvicorn is told beside where it listens."""
    from toughen.serve.protocol import bound_protocol  # needs the extra for the service

    return {
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "http": bound_protocol(limits.max_connections, limits.header_seconds),
        "ws": "none",
        "timeout_keep_alive": _IDLE,
        "timeout_graceful_shutdown": int(limits.timeout + _DRAIN),
    }


@contextmanager
def _tracing(*, on: bool) -> Iterator[Spans]:
    """Give what traces; at the end the spans that it still has are sent."""
    if not on:
        yield Spans()
        return
    try:
        from toughen.serve import tracing  # needs the extra otel
    except ModuleNotFoundError as error:
        raise InputError(f"--otel needs {error.name}, which is not installed; pip install 'toughen[otel]'.") from None

    provider = tracing.provider_from_environment()
    try:
        yield tracing.OpenTelemetrySpans(provider)
    finally:
        provider.shutdown()


@contextmanager
def _counters(meters: Any, host: str, port: int | None) -> Iterator[None]:
    """Show the counters at a port of their own while the service lives."""
    if port is None:
        yield
        return
    try:
        server, thread = meters.listen(host, port)
    except OSError as error:
        raise _cannot_listen(host, port, error, "--metrics-port") from None
    print(f"counters at http://{_url_host(host)}:{server.server_port}/metrics", flush=True)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _run(server: Any, config: Any) -> None:
    listener = _listener(config)
    address = listener.getsockname()
    print(f"toughen serves http://{_url_host(address[0])}:{address[1]} (stop it with Ctrl+C)", flush=True)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it is done; by then it has been obeyed.
        signal.signal(signal.SIGTERM, lambda *_: None)
    with listener:
        server.run(sockets=[listener])


def _listener(config: Any) -> Any:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((config.host, config.port))
        found.listen(config.backlog)
    except OSError as error:
        found.close()
        raise _cannot_listen(config.host, config.port, error, "--port") from None
    return found


def _cannot_listen(host: str, port: int, error: OSError, option: str) -> InputError:
    return InputError(f"cannot listen at {host} port {port} ({error.strerror}); choose another --host or {option}.")


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
