"""The spans of requests and passes, as OpenTelemetry's own SDK gets them."""

import asyncio
import json

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the exporter is not installed")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from serve.fakes import JSON, client, served
from toughen.errors import InputError
from toughen.serve.tracing import OpenTelemetrySpans, provider_from_environment

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ({"traceparent": f"00-{TRACE}-{PARENT}-{flags}"} for flags in ("01", "00"))
FILM = json.dumps({"inputs": "a good film"})


@pytest.fixture
def spans():
    """The exporter, and what its provider is."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    exporter.provider = provider
    return exporter


def traced(spans, *requests, model=None, together=False, **how):
    """Send requests (method, path, headers, body); return the spans."""

    async def go():
        async with client(model, spans=OpenTelemetrySpans(spans.provider), **how) as http:
            asked = [
                http.request(method, path, headers=JSON | headers, content=body)
                for method, path, headers, body in requests
            ]
            if together:
                await asyncio.gather(*asked)
            else:
                for one in asked:
                    await one

    asyncio.run(go())
    return spans.get_finished_spans()


def test_a_request_and_its_pass_belong_to_the_trace_of_the_caller(spans):
    called, request = traced(spans, ("POST", "/predict", SAMPLED | {"x-request-id": "mine"}, FILM))
    assert (request.name, request.kind) == ("POST /predict", SpanKind.SERVER)
    assert (request.context.trace_id, request.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "url.path": "/predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "http.response.header.x-request-id": ("mine",),
    }
    assert request.status.status_code is StatusCode.UNSET
    assert (called.name, called.kind) == ("model pass", SpanKind.INTERNAL)
    assert (called.context.trace_id, called.parent.span_id) == (int(TRACE, 16), request.context.span_id)
    assert dict(called.attributes) == {"toughen.batch.texts": 1, "toughen.batch.tokens": 5}
    assert request.start_time <= called.start_time <= called.end_time <= request.end_time


def test_a_request_without_a_caller_s_trace_begins_one(spans):
    called, request = traced(spans, ("POST", "/predict", {}, json.dumps({"inputs": [["good"], ["a bad film"]]})))
    assert request.parent is None
    assert called.parent.span_id == request.context.span_id
    assert called.attributes["toughen.batch.texts"] == 2
    assert called.attributes["toughen.batch.tokens"] == 2 * 5, "padding counts"


def test_a_pass_for_several_requests_is_linked_to_those_it_is_not_part_of(spans):
    asked = [("POST", "/predict", headers, FILM) for headers in (UNSAMPLED, SAMPLED, {})]
    called, *requests = traced(spans, *asked, together=True, max_wait_ms=200)
    assert called.attributes["toughen.batch.texts"] == 3
    assert len(requests) == 2, "one caller does not want to be traced"
    linked = {link.context.span_id for link in called.links}
    assert called.parent.span_id not in linked
    assert {called.parent.span_id} | linked >= {request.context.span_id for request in requests}


def test_what_the_caller_does_not_sample_is_not_traced(spans):
    assert not traced(spans, ("POST", "/predict", UNSAMPLED, FILM))


def test_refusals_and_failures_have_spans(spans):
    crash = json.dumps({"inputs": "crash"})
    refused, missing, odd, called, failed = traced(
        spans,
        ("POST", "/predict", {}, FILM),
        ("GET", "/secret/of-nobody", {"authorization": "Bearer s"}, None),
        ("BREW", "/predict", {"authorization": "Bearer s"}, None),
        ("POST", "/predict", {"authorization": "Bearer s"}, crash),
        token="s",
    )
    assert refused.attributes["http.response.status_code"] == 401
    assert refused.status.status_code is StatusCode.UNSET, "the caller's fault"
    assert (missing.name, missing.attributes.get("http.route")) == ("GET", None)
    assert (odd.name, odd.attributes["http.request.method"]) == ("HTTP /predict", "_OTHER")
    assert called.status.status_code is StatusCode.ERROR
    assert (failed.attributes["http.response.status_code"], failed.attributes["error.type"]) == (500, "500")
    assert failed.status.status_code is StatusCode.ERROR


def test_probes_have_none(spans):
    asked = [("GET", path, {}, None) for path in ("/healthz", "/readyz", "/metrics", "/v2/health/live")]
    assert not traced(spans, *asked)


def test_nothing_is_traced_unless_asked(monkeypatch):
    """A provider that the process has for other things gets nothing from us."""
    made = []
    monkeypatch.setattr(TracerProvider, "get_tracer", lambda *_, **__: made.append(1))

    async def go():
        async with client(served()) as http:
            return await http.post("/predict", headers=JSON | SAMPLED, content=FILM)

    assert asyncio.run(go()).status_code == 200
    assert not made


def test_the_standard_variables_describe_the_provider(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    for name, service in (("", "toughen"), ("reviews", "reviews")):
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off" if name else "")
        provider = provider_from_environment()
        assert provider.resource.attributes["service.name"] == service
        assert provider.get_tracer("t").start_span("s").is_recording() != bool(name)
        provider.shutdown()


@pytest.mark.parametrize(
    "settings",
    [{"OTEL_TRACES_EXPORTER": "nowhere"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "nowhere"}],
)
def test_an_exporter_that_is_not_there_is_refused(monkeypatch, settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"asks for nowhere, which is not installed; there are .*otlp_proto_http"):
        provider_from_environment()
