"""Spans of OpenTelemetry: one for each request, one for each pass through the model.

Names and attributes of a request follow OpenTelemetry's conventions for HTTP servers.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode

from toughen import __version__
from toughen.errors import InputError
from toughen.serve.refusals import Scope
from toughen.serve.spans import Answered, Spans

_METHODS = ("GET", "HEAD", "POST", "OPTIONS")  # others are as many as clients think of
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_FAILED = 500


class OpenTelemetrySpans(Spans):
    """Makes spans.

    Args:
        provider: that gets them.
    """

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("toughen.serve", __version__)

    @contextmanager
    def request(self, scope: Scope, request_id: str, answered: Answered) -> Iterator[None]:
        """Trace one request as part of the trace that its headers name."""
        path, method = scope["path"], scope["method"]
        if path in self.untraced:
            yield
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        known = method if method in _METHODS else "HTTP"
        about = {
            "http.request.method": method if known == method else "_OTHER",
            "url.path": path,
            "url.scheme": scope.get("scheme", "http"),
            "http.response.header.x-request-id": [request_id],
        }
        if path in self.paths:
            about["http.route"] = path
            known += f" {path}"
        span = self._tracer.start_as_current_span(known, extract(headers), SpanKind.SERVER, about)
        with span as started:
            try:
                yield
            finally:
                started.set_attribute("http.response.status_code", answered.status)
                if answered.status >= _FAILED:
                    started.set_attribute("error.type", str(answered.status))
                    started.set_status(StatusCode.ERROR)

    @property
    def current(self) -> SpanContext:
        """The span of the request that is being answered."""
        return trace.get_current_span().get_span_context()

    @contextmanager
    def model_pass(self, requests: Collection[SpanContext], texts: int, tokens: int) -> Iterator[None]:
        """Trace one pass: within the request whose turn it was, if it is sampled, with links to the others."""
        ordered = sorted(requests, key=lambda one: not one.trace_flags.sampled)
        parent = trace.set_span_in_context(trace.NonRecordingSpan(ordered[0]))
        about: dict[str, Any] = {"toughen.batch.texts": texts, "toughen.batch.tokens": tokens}
        links = [Link(other) for other in ordered[1:]]
        with self._tracer.start_as_current_span("model pass", parent, attributes=about, links=links):
            yield


def provider_from_environment() -> TracerProvider:
    """Return a provider as the environment variables of OpenTelemetry describe it; ``shutdown`` sends what is left.

    Raises:
        InputError: if OTEL_TRACES_EXPORTER or the protocol names what is not installed.
    """
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "toughen"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    names = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    for name in map(str.strip, names.split(",")):
        if name != "none":
            provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    return provider


def _exporter(name: str) -> SpanExporter:
    group = entry_points(group="opentelemetry_traces_exporter")
    wanted = name  # a package registers its exporter under a name of its own
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        wanted = _PROTOCOLS.get(protocol or "http/protobuf", protocol or "")
    found = list(group.select(name=wanted))
    if not found:
        there = ", ".join(sorted(group.names))
        raise InputError(
            f"OTEL_TRACES_EXPORTER or OTEL_EXPORTER_OTLP_PROTOCOL asks for {wanted}, which is not installed; there are "
            f"{there}. Install the exporter's package, or name another."
        )
    exporter: SpanExporter = found[0].load()()
    return exporter
