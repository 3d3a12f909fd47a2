"""A real process on a real port: many clients at once, large bodies, and an end that loses no answer."""

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from serve.fakes import JSON
from serve.folders import save_exported, save_pretrained
from toughen.cli import main
from toughen.errors import InputError
from toughen.machine.services import read_token
from toughen.serve.limits import Limits

TEXTS = ["a good film", "a bad film", "the room was warm and bright", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pretrained = save_pretrained(tmp_path_factory.mktemp("pretrained"))
    return save_exported(pretrained, tmp_path_factory.mktemp("made"))[1]


@contextmanager
def running(folder, *arguments, **environment):
    """Run the command; yields the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "toughen", "serve", str(folder), "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found, line + process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def wait_ready(address):
    for _ in range(600):
        try:
            if httpx.get(address + "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("never ready")


async def crowd(address, clients, seconds):
    """Let so many clients ask one after the other; return the statuses of all answers."""
    statuses = []
    until = time.monotonic() + seconds

    async def one(http, number):
        while time.monotonic() < until:
            text = TEXTS[number % len(TEXTS)]
            statuses.append((await http.post("/predict", json={"inputs": text})).status_code)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as http:
        await asyncio.gather(*(one(http, number) for number in range(clients)))
    return statuses


def test_a_crowd_a_huge_body_and_the_end(folder):
    """One process for all of it, because starting one is what takes the time."""
    with running(folder, "--max-wait-ms", "2") as (process, address):
        wait_ready(address)
        statuses = asyncio.run(crowd(address, 64, 3))
        assert set(statuses) <= {200, 429}
        assert statuses.count(200) > 64
        refused = httpx.post(address + "/predict", content=b"x" * 100 * 2**20, headers=JSON, timeout=60)
        assert (refused.status_code, refused.json()["error_type"]) == (413, "validation")
        assert "100MB" not in refused.text
        assert httpx.post(address + "/predict", json={"inputs": "a good film"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        assert "Traceback" not in error


MANY = ("--max-texts", "1000", "--queue", "1000", "--timeout", "120")
"""So many texts that a signal cannot come too late, one per pass."""


def test_what_was_asked_before_the_end_is_answered(folder):
    """The last text of a long request is waited for although the signal came while the first was computed."""
    with running(folder, "--max-batch-tokens", "1", *MANY) as (process, address):
        wait_ready(address)

        async def go():
            async with httpx.AsyncClient(base_url=address, timeout=120) as http:
                asked = asyncio.create_task(http.post("/predict", json={"inputs": ["a good film " * 8] * 1000}))
                while "toughen_batch_texts_count 0.0" in (await http.get("/metrics")).text:
                    await asyncio.sleep(0)
                process.send_signal(signal.SIGTERM)
                busy = not asked.done()
                return busy, await asked

        busy, answer = asyncio.run(go())
        assert busy, "the signal came too late to show anything"
        assert len(answer.json()) == 1000
        assert process.wait(60) == 0


def test_settings_by_environment_logs_in_json_and_counters_at_a_port_of_their_own(folder):
    settings = {"TOUGHEN_SET_MAX_TEXTS": "3", "TOUGHEN_SET_METRICS_PORT": "0", "TOUGHEN_TOKEN": "s3cret"}
    with running(folder, "--json-logs", **settings) as (process, counters):
        address = re.search(r"http://\S+:\d+", process.stdout.readline())[0]
        wait_ready(address)
        assert httpx.get(address + "/info").status_code == 401
        token = {"authorization": "Bearer s3cret"}
        assert httpx.get(address + "/info", headers=token).json()["max_client_batch_size"] == 3
        assert httpx.get(address + "/metrics", headers=token).status_code == 404
        assert 'path="/info",status="401"' in httpx.get(counters + "/metrics").text
        refused = httpx.get(address + "/info", headers=token | {"host": "evil.example", "x-request-id": "mine"})
        assert refused.status_code == 421
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        lines = [json.loads(line) for line in error.splitlines()]
        (line,) = [line for line in lines if line["request_id"] == "mine"]
        assert (line["path"], line["status"]) == ("/info", 421)
        assert "s3cret" not in error


@contextmanager
def collecting():
    """A collector of spans; yields its address and the requests that it got."""
    trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):  # the name is http.server's
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            got.append((self.path, trace_service.ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector_before_the_process_ends(folder):
    with collecting() as (collector, got):
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_SERVICE_NAME": "reviews"}
        with running(folder, "--otel", **settings) as (process, address):
            wait_ready(address)
            parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            answer = httpx.post(address + "/predict", json={"inputs": TEXTS[0]}, headers={"traceparent": parent})
            assert answer.status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, process.stderr.read()
    assert {path for path, _ in got} == {"/v1/traces"}
    (resource,) = [resource for _, request in got for resource in request.resource_spans]
    assert {"reviews"} == {
        pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
    }
    called, request = [span for scope in resource.scope_spans for span in scope.spans]
    assert (called.name, request.name) == ("model pass", "POST /predict")
    assert called.trace_id.hex() == request.trace_id.hex() == parent.split("-")[1]


def test_a_collector_that_is_not_there_delays_no_answer_and_not_the_end(folder):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with running(folder, "--otel", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as (process, address):
        wait_ready(address)
        assert httpx.post(address + "/predict", json={"inputs": TEXTS[0]}, timeout=20).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.stderr.read()


def test_wrong_settings_are_refused_before_anything_starts(folder, tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 2
    assert "neither a run folder nor an exported one" in capsys.readouterr().err
    for arguments, said in (
        (["--port", "70000"], "port must be from 0 to 65535"),
        (["--queue", "10"], "could never be taken"),
        (["--timeout", "0"], "timeout must be above 0"),
        (["--metrics-port", "-1"], "metrics_port must be from 0"),
        (["--allow-origin", "example.org"], "is no origin"),
        (["--max-connections", "0"], "max_connections must be at least 1"),
        (["--token", "NO_SUCH_NAME"], "neither an environment variable nor a file"),
        (["--host", "203.0.113.1"], "cannot listen at 203.0.113.1"),
    ):
        assert main(["serve", str(folder), *arguments]) == 2
        assert said in capsys.readouterr().err


def test_where_tokens_come_from(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setenv("SERVICE_TOKEN", "from-env")
    assert read_token(str(tmp_path / "token")) == "from-file"
    assert read_token("SERVICE_TOKEN") == "from-env"
    for bad in ("", "two words", "é"):
        monkeypatch.setenv("SERVICE_TOKEN", bad)
        with pytest.raises(InputError, match="visible ASCII"):
            read_token("SERVICE_TOKEN")


def test_limits_name_what_is_wrong():
    for name in ("max_batch_tokens", "max_texts", "max_body_bytes", "queue", "max_connections"):
        with pytest.raises(InputError, match=f"{name} must be at least 1"):
            Limits(**{name: 0})
    with pytest.raises(InputError, match="max_wait_ms must be 0 or more"):
        Limits(max_wait_ms=-1)
