"""The application: every address of the service, from a request to its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from toughen import __version__
from toughen.errors import InputError
from toughen.serve.headers import Origins
from toughen.serve.limits import Limits
from toughen.serve.model import Served
from toughen.serve.refusals import App, Refusal, refuse_failed

if find_spec("fastapi") is None or find_spec("prometheus_client") is None:
    raise InputError("toughen serve needs fastapi, uvicorn and prometheus-client; pip install 'toughen[serve]'.")

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from toughen.serve import openapi, protocols, static_files
from toughen.serve.guard import Guard
from toughen.serve.meters import Meters
from toughen.serve.requests import ExplainBody, HostedBody, PerturbBody, PredictBody
from toughen.serve.service import Service
from toughen.serve.spans import Spans

_OPEN = ("/", "/healthz", "/readyz", "/health", *protocols.HEALTH, *static_files.FILES)
_UNTRACED = frozenset(("/healthz", "/readyz", "/health", *protocols.HEALTH, "/metrics"))
"""What machines ask every few seconds."""
_COUNTED = ("/predict", "/explain", "/perturb", "/info", "/metrics", "/openapi.json", *_OPEN)


def make_app(
    served: Served,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    origins: Origins | None = None,
    meters: Meters | None = None,
    spans: Spans | None = None,
) -> App:
    """Make the ASGI application.

    Args:
        served: the model, see `open_model`.
        limits: of requests.
        token: that clients must send as ``Authorization: Bearer``; None is that everybody may ask.
        origins: of pages that may call it beside its own; None is that there are none, and any header Host.
        meters: count; None is new ones, shown at /metrics.
        spans: what traces requests and passes, such as `toughen.serve.tracing.OpenTelemetrySpans`; None is nothing.
    """
    paths = frozenset((*_COUNTED, *protocols.list_counted_paths(served.name)))
    spans = spans or Spans()
    service = Service(served, limits or Limits(), meters or Meters(), spans)
    service.meters.paths, spans.paths, spans.untraced = paths, paths, _UNTRACED
    inner = FastAPI(
        title="toughen serve",
        version=__version__,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=_life(service),
    )
    _add_model(inner, service, guarded=token is not None)
    protocols.add(inner, service, guarded=token is not None)
    _add_state(inner, service)
    _add_page(inner, service, guarded=token is not None)
    _add_refusals(inner)
    return Guard(
        inner,
        limits=service.limits,
        meters=service.meters,
        token=token,
        open_paths=_OPEN,
        origins=origins or Origins(),
        spans=spans,
    )


def _life(service: Service) -> Any:
    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.close()

    return live


def _add_model(app: FastAPI, service: Service, *, guarded: bool) -> None:
    def documented(name: str) -> dict[str, Any]:
        return openapi.document_operation(name, service.examples, service.kind, guarded=guarded)

    @app.post("/predict", **documented("predict"))
    async def predict(request: Request) -> Response:
        return _json(await service.predict(await service.body(request, PredictBody)))

    @app.post("/", **documented("hosted"))
    async def hosted(request: Request) -> Response:
        asked = await service.body(request, HostedBody)
        found = await service.predict(asked.as_predict(service.served.activation))
        return _json(found if asked.inputs.many else b"[" + found + b"]")

    @app.post("/explain", **documented("explain"))
    async def explain(request: Request) -> Response:
        return _json(await service.explain(*await service.one(request, ExplainBody)))

    @app.post("/perturb", **documented("perturb"))
    async def perturb(request: Request) -> Response:
        return _json(await service.perturb(*await service.one(request, PerturbBody)))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether the process lives", tags=["state"])
    @app.get("/health", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether a request would be taken now", tags=["state"])
    async def readyz() -> JSONResponse:
        if not service.batcher.ready:
            raise protocols.unready()
        return JSONResponse({"status": "ready"})

    if service.meters.shown:

        @app.get("/metrics", summary="Counters for Prometheus", tags=["state"], response_class=Response)
        async def metrics() -> Response:
            return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/info", summary="What is served", tags=["state"])
    async def info() -> dict[str, Any]:
        limits = service.limits
        return service.served.describe() | {
            "version": __version__,
            "max_client_batch_size": limits.max_texts,
            "max_batch_tokens": limits.max_batch_tokens,
            "max_concurrent_requests": limits.queue,
        }


def _add_page(app: FastAPI, service: Service, *, guarded: bool) -> None:
    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        shown = service.served.describe() | {"kind": service.kind, "guarded": guarded}
        return static_files.index(shown, request.headers.get("accept-language", ""))

    for path in static_files.FILES:
        app.add_api_route(path, static_files.file(path), include_in_schema=False)


def _add_refusals(app: FastAPI) -> None:
    def refused(refusal: Refusal) -> Response:
        return Response(refusal.body, refusal.status, refusal.headers, "application/json")

    async def ours(_: Request, error: Exception) -> Response:
        return refused(error if isinstance(error, Refusal) else refuse_failed())

    async def wrong_input(_: Request, error: Exception) -> Response:
        return refused(Refusal(422, str(error), "tokenizer"))

    async def of_http(request: Request, error: Exception) -> Response:
        status, headers = getattr(error, "status_code", 404), getattr(error, "headers", None) or {}
        what = f"There is no {request.method} {request.url.path}; /openapi.json lists what there is."
        return refused(Refusal(status, what, "validation", **headers))

    app.add_exception_handler(Refusal, ours)
    app.add_exception_handler(InputError, wrong_input)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, ours)
