"""The application: every address of the service, from a request to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from toughen import __version__
from toughen.errors import InputError
from toughen.serve.headers import Origins
from toughen.serve.limits import Limits
from toughen.serve.model import Row, Served, Text, is_finite
from toughen.serve.refusals import App, Refusal, failed, invalid

if find_spec("fastapi") is None or find_spec("prometheus_client") is None:
    raise InputError("toughen serve needs fastapi, uvicorn and prometheus-client; pip install 'toughen[serve]'.")

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from toughen.serve import explain, openapi, page
from toughen.serve.batching import Batcher
from toughen.serve.guard import Guard
from toughen.serve.meters import Meters
from toughen.serve.requests import Asked, read

_OPEN = ("/", "/healthz", "/readyz", "/health", *page.FILES)
_COUNTED = ("/predict", "/explain", "/perturb", "/info", "/metrics", "/openapi.json", *_OPEN)
_MOST_SEED = 2**31 - 1


class Service:
    """What the addresses have in common: the model, its queue, and the counters.

    Args:
        served: the model.
        limits: of requests.
        meters: count.
    """

    def __init__(self, served: Served, limits: Limits, meters: Meters) -> None:
        self.served, self.limits, self.meters = served, limits, meters
        meters.paths = frozenset(_COUNTED)
        self.batcher = Batcher(self._run, limits, self.meters)

    def _run(self, texts: Sequence[Text]) -> list[Row]:
        return self.served.outputs(texts, batch_size=len(texts))

    @property
    def kind(self) -> str:
        """What a text is to the model: texts, pairs or tokens."""
        if self.served.task == "tokens":
            return "tokens"
        return "pairs" if self.served.pairs else "texts"

    async def asked(self, request: Request, *, one: bool = False) -> Asked:
        """Read a request; with ``one`` refuse lists, and models that tag words."""
        if one and self.kind == "tokens":
            raise invalid("This model tags words; only a whole text's answer can be taken apart; use /predict.")
        found = read(await request.body(), self.kind, self.limits.max_texts)
        if one and found.many:
            raise invalid("This address takes one text (or one pair) at a time; send the texts one after the other.")
        return found

    async def outputs(self, texts: Sequence[Text], *, truncate: bool = True) -> list[Row]:
        """Return the model's outputs for some texts.

        Raises:
            Refusal: if a text is too long and must not be cut, or the service is too busy.
        """
        lengths = await asyncio.to_thread(self.served.lengths, texts)
        most = self.served.max_length
        for i, length in enumerate(lengths):
            if not truncate and length > most and not self.served.reads_all:
                raise Refusal(
                    413,
                    f"Text {i + 1} of inputs has {length:,} tokens and the model reads {most:,}; shorten it, or let it "
                    "be cut with truncate: true.",
                )
        windows = self.served.reads_all
        rows = await self.batcher.submit(texts, [length if windows else min(length, most) for length in lengths])
        if not all(map(is_finite, rows)):
            raise RuntimeError("the model's output is not a number")
        return rows

    async def predict(self, asked: Asked) -> Any:
        """Answer /predict."""
        raw = asked.flag("raw_scores", False)
        rows = await self.outputs(asked.texts, truncate=asked.flag("truncate", True))
        found = [self.served.predictions(text, row, raw=raw) for text, row in zip(asked.texts, rows, strict=True)]
        return found if asked.many else found[0]

    async def explain(self, asked: Asked) -> dict[str, Any]:
        """Answer /explain."""
        made = explain.occluded(asked.texts[0], self.limits.max_texts)
        rows = await self.outputs(made.texts)
        return explain.explanation(self.served, asked.options.get("label"), made, rows)

    async def perturb(self, asked: Asked) -> dict[str, Any]:
        """Answer /perturb."""
        severity, seed = asked.whole("severity", 2, 1, 5), asked.whole("seed", 0, 0, _MOST_SEED)
        made = explain.corrupted(asked.texts[0], severity=severity, seed=seed)[: max(self.limits.max_texts - 1, 0)]
        rows = await self.outputs([asked.texts[0], *(text for _, text in made)])
        return {"severity": severity, "seed": seed} | explain.robustness(self.served, asked.texts[0], made, rows)

    def examples(self) -> dict[str, Any]:
        """Let the model answer an example of each form, which also warms it up."""
        text = openapi.example_text(self.kind)
        asked = read(openapi.as_json({"inputs": text}), self.kind, 1)
        row = self.served.outputs(asked.texts, 1)[0]
        prediction = self.served.predictions(asked.texts[0], row)
        return {"inputs": text, "predictions": prediction}


def make_app(
    served: Served,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    origins: Origins | None = None,
    meters: Meters | None = None,
) -> App:
    """Make the ASGI application.

    Args:
        served: the model, see `open_model`.
        limits: of requests.
        token: that clients must send as ``Authorization: Bearer``; None is that everybody may ask.
        origins: of pages that may call it beside its own; None is that there are none, and any header Host.
        meters: count; None is new ones, shown at /metrics.
    """
    service = Service(served, limits or Limits(), meters or Meters())
    inner = FastAPI(
        title="toughen serve",
        version=__version__,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=_life(service),
    )
    _add_model(inner, service, service.examples(), guarded=token is not None)
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
    )


def _life(service: Service) -> Any:
    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.close()

    return live


def _add_model(app: FastAPI, service: Service, examples: dict[str, Any], *, guarded: bool) -> None:
    def documented(name: str) -> dict[str, Any]:
        return openapi.documented(name, examples, service.kind, guarded=guarded)

    @app.post("/predict", **documented("predict"))
    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(await service.predict(await service.asked(request)))

    @app.post("/explain", **documented("explain"))
    async def explain(request: Request) -> JSONResponse:
        return JSONResponse(await service.explain(await service.asked(request, one=True)))

    @app.post("/perturb", **documented("perturb"))
    async def perturb(request: Request) -> JSONResponse:
        return JSONResponse(await service.perturb(await service.asked(request, one=True)))


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether the process lives", tags=["state"])
    @app.get("/health", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether a request would be taken now", tags=["state"])
    async def readyz() -> JSONResponse:
        if not service.batcher.ready:
            raise Refusal(503, "The service is not ready: it is starting, stopping, or its queue is full.", "unhealthy")
        return JSONResponse({"status": "ready"})

    if service.meters.shown:

        @app.get("/metrics", summary="Counters for Prometheus", tags=["state"], response_class=Response)
        async def metrics() -> Response:
            return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/info", summary="What is served", tags=["state"])
    async def info() -> dict[str, Any]:
        limits = service.limits
        return service.served.described() | {
            "version": __version__,
            "max_client_batch_size": limits.max_texts,
            "max_batch_tokens": limits.max_batch_tokens,
            "max_concurrent_requests": limits.queue,
        }


def _add_page(app: FastAPI, service: Service, *, guarded: bool) -> None:
    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        shown = service.served.described() | {"kind": service.kind, "guarded": guarded}
        return page.index(shown, request.headers.get("accept-language", ""))

    for path in page.FILES:
        app.add_api_route(path, page.file(path), include_in_schema=False)


def _add_refusals(app: FastAPI) -> None:
    def refused(refusal: Refusal) -> Response:
        return Response(refusal.body, refusal.status, refusal.headers, "application/json")

    async def ours(_: Request, error: Exception) -> Response:
        return refused(error if isinstance(error, Refusal) else failed())

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
