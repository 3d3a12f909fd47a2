"""From a folder to a process that listens, and stops when it is told to, with nothing half answered."""

from __future__ import annotations

import logging
import os
import signal
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toughen.errors import InputError
from toughen.serve.limits import Limits
from toughen.serve.model import open_model
from toughen.settings import require

_DRAIN = 5.0  # seconds beyond the timeout after which a client that does not read is left
_IDLE = 75  # seconds; longer than the proxies that may stand before it keep a connection, who else meet one just closed


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    model: str | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve a model until the process is told to stop (SIGTERM, SIGINT), and finish what was begun.

    Args:
        folder: of a run or an export.
        host: to listen at.
        port: likewise; 0 is a free one.
        token: name of an environment variable, or a file, that holds the token; None is everybody may ask.
        model: graph of an exported folder.
        limits: of requests.

    Raises:
        InputError: if something given is wrong, or the port is taken.
    """
    require(0 <= port <= 65535, "port", port, "must be from 0 to 65535")
    if find_spec("uvicorn") is None:
        raise InputError("toughen serve needs fastapi, uvicorn and prometheus-client; pip install 'toughen[serve]'.")
    from toughen.serve.app import make_app

    limits = limits or Limits()
    secret = None if token is None else read_token(token)
    app = make_app(open_model(folder, model), limits, token=secret)
    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=int(limits.timeout + _DRAIN),
    )
    _run(uvicorn.Server(config), config)


def _run(server: Any, config: Any) -> None:
    listener = _listener(config)
    address = listener.getsockname()
    print(f"toughen serves http://{_shown(address[0])}:{address[1]} (stop it with Ctrl+C)", flush=True)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it is done; by then it has been obeyed.
        signal.signal(signal.SIGTERM, lambda *_: None)
    with listener:
        server.run(sockets=[listener])


def _listener(config: Any) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((config.host, config.port))
        found.listen(config.backlog)
    except OSError as error:
        found.close()
        raise InputError(
            f"cannot listen at {config.host} port {config.port} ({error.strerror}); choose another --host or --port."
        ) from None
    return found


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def read_token(where: str) -> str:
    """Return the token that an environment variable or a file holds.

    Raises:
        InputError: if there is neither, or it is empty, or has what a header cannot.
    """
    path = Path(where)
    if where in os.environ:
        found = os.environ[where].strip()
    elif path.is_file():
        found = path.read_text(encoding="utf-8", errors="replace").strip()
    else:
        raise InputError(
            f"--token {where} is neither an environment variable nor a file; put the token into one of them, not into "
            "the command, which others can see."
        )
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise InputError(f"the token in {where} is empty or has other characters than visible ASCII; choose another.")
    return found
