"""Connections that send nothing, half of something, or two things at once keep nobody else out."""

import json
import time

import httpx
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from serve.fakes import served
from serve.servers import connect, rest, serving
from toughen.serve import Limits

HALF = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"inputs": "good"}'


def test_headers_that_do_not_arrive_end_the_connection():
    with serving(served(), patience=0.3) as address:
        silent, half = connect(address), connect(address)
        half.sendall(HALF)
        assert rest(silent) == b""
        answer = rest(half)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"The headers did not arrive within 0.3 seconds" in answer


def test_the_time_of_headers_begins_anew_with_each_request_and_ends_with_them():
    with serving(served(), patience=0.5) as address:
        connection = connect(address)
        whole = HALF + b"Content-Length: %d\r\n\r\n" % len(BODY)
        connection.sendall(whole)
        connection.settimeout(1.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)  # the body has --timeout, not this one
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(HALF)  # of a second request on the same connection
        assert b"HTTP/1.1 408" in rest(connection)


def test_those_who_only_hold_connections_make_room():
    with serving(served(), Limits(max_connections=8)) as address:
        held = [connect(address) for _ in range(40)]
        for connection in held:
            try:
                connection.sendall(HALF)
            except OSError:
                continue
        for _ in range(5):
            assert httpx.get(address + "healthz").status_code == 200
        for connection in held:
            connection.close()


def test_where_all_connections_are_at_work_one_more_is_refused():
    model = served()
    with serving(model, Limits(max_connections=1)) as address:
        model.classifier.gate.clear()
        busy = connect(address)
        busy.sendall(HALF + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        while model.classifier.passes[-1:] != [["good"]]:
            time.sleep(0.01)
        answer = rest(connect(address))
        model.classifier.gate.set()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"The service holds 1 connections at most" in answer
        assert busy.recv(65536).startswith(b"HTTP/1.1 200")
        busy.close()


def test_two_lengths_are_one_too_many():
    with serving(served()) as address:
        connection = connect(address)
        framing = b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
        connection.sendall(HALF + framing)
        head, _, body = rest(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert b"connection: close" in head.lower()
        assert json.loads(body)["error"].startswith("The request has both Transfer-Encoding and Content-Length")


def test_head_has_the_headers_of_get_and_nothing_else():
    with serving(served()) as address:
        for path in ("", "healthz", "info", "metrics", "page/page.js"):
            got, head = httpx.get(address + path), httpx.head(address + path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
            if path != "metrics":
                assert head.headers["content-length"] == got.headers["content-length"]
