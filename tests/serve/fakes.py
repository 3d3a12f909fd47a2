"""A model that counts words, the application around it, and clients: everything of the service but a network."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import numpy as np

from toughen.classifier.core import EncodedText
from toughen.serve import Limits, Served, make_app

JSON = {"content-type": "application/json"}


class FakeTokenizer:
    def __call__(self, text, text_pair=None, **_):
        pairs = zip(text, text_pair or [""] * len(text), strict=True)
        words = [(one if isinstance(one, list) else one.split()) + two.split() for one, two in pairs]
        return {"input_ids": [[0] * (len(found) + 2) for found in words]}


@dataclass(frozen=True)
class FakeEncoded(EncodedText):
    text: object = None


class FakeClassifier:
    """Answers by the words good and bad; `gate` holds its passes up, `passes` says what they were."""

    def __init__(self, task="single-label", *, pairs=False, thresholds=None, labels=None, abstention=None):
        names = {"single-label": ("negative", "positive"), "multi-label": ("food", "staff", "room")}
        names |= {"regression": ("stars",), "tokens": ("O", "B-OPINION")}
        self.task, self.pairs, self.thresholds = task, pairs, thresholds
        self.abstention = abstention
        self.label_names = labels or names[task]
        self.max_length, self.tokenizer = 24, FakeTokenizer()
        self.gate, self.passes = threading.Event(), []
        self.gate.set()

    def encode_texts(self, texts):
        ids = self.tokenizer(*zip(*texts, strict=True)) if self.pairs else self.tokenizer(texts)
        cut = [row[: self.max_length] for row in ids["input_ids"]]
        return [FakeEncoded(({"input_ids": row},), text=text) for row, text in zip(cut, texts, strict=True)]

    def outputs_of_encoded(self, texts, batch_size, progress):
        given = [one.text for one in texts]
        columns = (
            dict(zip(("text", "text_pair"), zip(*given, strict=True), strict=True)) if self.pairs else {"text": given}
        )
        return self.outputs_of(columns, batch_size, progress)

    def outputs_of(self, columns, batch_size, progress):
        assert ("text_pair" in columns) == self.pairs
        texts = columns["text"]
        self.passes.append(list(texts))
        assert self.gate.wait(20)
        if any("crash" in text for text in texts):
            raise RuntimeError("secret detail")
        both = zip(texts, columns.get("text_pair", texts), strict=True)
        return [self._row(one if one == two else f"{one} {two}") for one, two in both]

    def _row(self, text):
        if self.task == "tokens":
            return np.array([[0.1, 0.9] if word in ("good", "bad") else [0.8, 0.2] for word in text]).reshape(-1, 2)
        opinion = text.split().count("good") - text.split().count("bad")
        if self.task == "regression":
            return np.float64(3 + opinion)
        share = 1 / (1 + np.exp(-float(opinion)))
        if self.task == "multi-label":
            return np.array([word in text for word in self.label_names]) * 0.8 + 0.1
        return np.array([1 - share, share])


def served(task="single-label", **how):
    return Served(FakeClassifier(task, **how), "fake", "none")


@asynccontextmanager
async def living(app):
    """Run an application's start and end around what is inside, as a server does."""
    inbox, outbox = asyncio.Queue(), asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    yield
    await inbox.put({"type": "lifespan.shutdown"})
    assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
    await task


@asynccontextmanager
async def client(model=None, *, token=None, origins=None, spans=None, **limits):
    limits = Limits(**{"max_texts": 32, "queue": 64} | limits)
    how = {"token": token, "origins": origins, "spans": spans}
    app = make_app(model or served(), limits, **how)
    transport = httpx.ASGITransport(app)
    async with living(app), httpx.AsyncClient(transport=transport, base_url="http://test") as found:
        yield found


def ask(path, body=None, model=None, *, token=None, origins=None, headers=None, limits=None, method="POST"):
    """Send one request to a fresh application, and return its response."""

    async def go():
        async with client(model, token=token, origins=origins, **limits or {}) as http:
            if method != "POST":
                return await http.request(method, path, headers=headers)
            content = body if isinstance(body, (bytes, str)) else json.dumps(body)
            return await http.post(path, headers=JSON | (headers or {}), content=content)

    return asyncio.run(go())
