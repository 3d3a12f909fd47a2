"""A real server in a thread, and raw connections to it."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import uvicorn

from toughen.serve import Limits, make_app
from toughen.serve.protocol import bound_protocol


@contextmanager
def serving(model, limits=None, *, patience=10.0, **how):
    """Run a server in a thread; yields its address."""
    limits = limits or Limits()
    listener = socket.create_server(("127.0.0.1", 0))
    protocol = bound_protocol(limits.max_connections, patience)
    config = uvicorn.Config(make_app(model, limits, **how), http=protocol, ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def connect(address):
    host, port = address.removeprefix("http://").strip("/").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def rest(connection):
    """Return all that comes until the other side closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    connection.close()
    return found
