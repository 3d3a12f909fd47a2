"""Addresses as other programs expect them: the open inference protocol (KServe's /v2), and /v1 before it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from toughen import __version__
from toughen.serve import openapi, render
from toughen.serve.refusals import Refusal
from toughen.serve.requests import InferBody, InstancesBody
from toughen.serve.service import Service

HEALTH = ("/v2/health/live", "/v2/health/ready")


def list_counted_paths(name: str) -> tuple[str, ...]:
    """Return the addresses of a model that are counted apart."""
    return (f"/v2/models/{name}/infer", f"/v1/models/{name}:predict")


def add(app: FastAPI, service: Service, *, guarded: bool) -> None:
    """Add the addresses to an application.

    Args:
        app: to which.
        service: what answers.
        guarded: whether a token is needed.
    """
    _add_state(app, service)

    def documented(name: str) -> dict[str, Any]:
        return openapi.document_operation(name, service.examples, service.kind, guarded=guarded)

    @app.post("/v2/models/{name}/infer", **documented("infer"))
    async def infer(name: str, request: Request) -> JSONResponse:
        _check_name(service, name)
        body = await service.body(request, InferBody)
        asked = body.as_predict(service.expected)
        rows = await service.outputs(asked.texts)
        outputs = render.tensors(service.served, asked.texts, rows)
        about = {"model_name": name} | ({} if body.id is None else {"id": body.id})
        return JSONResponse(about | {"outputs": outputs})

    @app.post("/v1/models/{name}:predict", **documented("instances"))
    async def predict(name: str, request: Request) -> Response:
        _check_name(service, name)
        asked = (await service.body(request, InstancesBody)).as_predict(service.expected)
        found = await service.predict(asked)
        return Response(b'{"predictions":' + found + b"}", media_type="application/json")


def _add_state(app: FastAPI, service: Service) -> None:
    name = service.served.name

    @app.get("/v2", summary="The service", tags=["open inference protocol"])
    async def server() -> dict[str, Any]:
        return {"name": "toughen serve", "version": __version__, "extensions": []}

    @app.get("/v2/health/live", summary="As /healthz", tags=["open inference protocol"])
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", summary="As /readyz", tags=["open inference protocol"])
    async def ready() -> dict[str, bool]:
        _check_ready(service)
        return {"ready": True}

    @app.get("/v2/models/{asked}", summary="The model's tensors", tags=["open inference protocol"])
    async def model(asked: str) -> dict[str, Any]:
        _check_name(service, asked)
        return {"name": name, "platform": service.served.runtime} | render.described_tensors(service.served)

    @app.get("/v2/models/{asked}/ready", summary="As /readyz", tags=["open inference protocol"])
    async def model_ready(asked: str) -> dict[str, Any]:
        _check_name(service, asked)
        _check_ready(service)
        return {"name": name, "ready": True}

    @app.get("/v1/models", summary="The models that there are", tags=["v1"])
    async def models() -> dict[str, list[str]]:
        return {"models": [name]}

    @app.get("/v1/models/{asked}", summary="Whether a model is ready", tags=["v1"])
    async def version_one(asked: str) -> dict[str, Any]:
        _check_name(service, asked)
        return {"name": name, "ready": service.batcher.ready}


def _check_ready(service: Service) -> None:
    if not service.batcher.ready:
        raise unready()


def unready() -> Refusal:
    """Return the refusal of who asks whether a request would be taken now, and it would not."""
    return Refusal(503, "The service is not ready: it is starting, stopping, or its queue is full.", "unhealthy")


def _check_name(service: Service, name: str) -> None:
    if name != service.served.name:
        raise Refusal(404, f"There is no model of that name here; the one that is served is {service.served.name}.")
