"""From a body to an answer, nothing of which holds up the loop, or goes on when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

from toughen.classifier.core import EncodedText
from toughen.errors import InputError
from toughen.serve import explain, openapi, render
from toughen.serve.batching import Batcher, Rate
from toughen.serve.limits import Limits
from toughen.serve.meters import Meters
from toughen.serve.model import Row, Served, Text, is_finite
from toughen.serve.refusals import Refusal, invalid
from toughen.serve.requests import Body, Expected, ExplainBody, Kind, PerturbBody, PredictBody, inputs_of, read
from toughen.serve.spans import Spans

Result = TypeVar("Result")

_SHORT = 16 * 1024  # bytes that are read between two other things; longer bodies in a thread
_ROUNDS = 3  # passes by which the rate is measured before the first request


class Service:
    """A model that is asked over HTTP.

    Args:
        served: the model.
        limits: of requests.
        meters: count.
        spans: of the passes.

    Raises:
        InputError: if the model's outputs are not numbers.
    """

    def __init__(self, served: Served, limits: Limits, meters: Meters, spans: Spans) -> None:
        self.served, self.limits, self.meters = served, limits, meters
        self.examples = self._examples()
        self.batcher = Batcher(self._run, limits, meters, self._rate(), spans)
        # One thread reads what came and writes what goes, another makes texts of a text, which takes longer.
        self._reading, self._making = (ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("read", "make"))

    async def close(self) -> None:
        """Finish what waits, and stop."""
        await self.batcher.close()
        for thread in (self._reading, self._making):
            thread.shutdown()

    def _run(self, texts: Sequence[EncodedText], wanted: Callable[[], bool]) -> list[Row]:
        limits, windows = self.limits, self.served.reads_all
        rows = max(1, limits.max_batch_tokens // self.served.max_length) if windows else len(texts)
        return self.served.outputs(texts, rows, wanted)

    @property
    def kind(self) -> Kind:
        """What a text is to the model: texts, pairs or tokens."""
        if self.served.task == "tokens":
            return "tokens"
        return "pairs" if self.served.pairs else "texts"

    @property
    def expected(self) -> Expected:
        """What the model takes."""
        return Expected(self.kind, self.limits.max_texts)

    async def body(self, request: Request, shape: type[Body]) -> Body:
        """Read a request.

        Raises:
            Refusal: see `toughen.serve.requests.read`.
        """
        body = await request.body()
        if len(body) <= _SHORT:
            return read(shape, body, self.expected)
        return await self._in(self._reading, lambda _: read(shape, body, self.expected))

    async def one(self, request: Request, shape: type[Body]) -> tuple[Body, Text]:
        """Read a request about one text.

        Raises:
            Refusal: likewise, and of lists, and models that tag words.
        """
        if self.kind == "tokens":
            raise invalid("This model tags words; only a whole text's answer can be taken apart; use /predict.")
        body = await self.body(request, shape)
        inputs = getattr(body, "inputs")  # noqa: B009  # of both shapes that are asked for here
        if inputs.many:
            raise invalid("This address takes one text (or one pair) at a time; send the texts one after the other.")
        return body, inputs.texts[0]

    async def outputs(self, texts: Sequence[Text], *, truncate: bool = True) -> list[Row]:
        """Return the model's outputs for some texts.

        Raises:
            Refusal: if a text is too long and must not be cut, or the service is too busy.
        """
        with self.batcher.reserve_room(len(texts), sum(map(self.served.size, texts))):
            encoded = await self._in(self._reading, lambda _: self.served.encode(texts, truncate=truncate))
        rows = await self.batcher.submit(encoded, [text.tokens for text in encoded])
        for i, row in enumerate(rows):
            if not is_finite(row):
                raise Refusal(424, f"The model's output for text {i + 1} is not a number; leave it out.", "backend")
        return rows

    async def predict(self, asked: PredictBody) -> bytes:
        """Answer /predict."""
        self._check_direction(asked.truncation_direction)
        rows = await self.outputs(asked.texts, truncate=asked.truncate)

        def answer(_: Callable[[], bool]) -> bytes:
            many, raw = asked.inputs.many, asked.raw_scores
            return render.predictions(self.served, asked.texts, rows, many=many, raw=raw, top_k=asked.top_k)

        if sum(row.size for row in rows) <= _SHORT // 64:
            return answer(lambda: True)
        return await self._in(self._reading, answer)

    def _check_direction(self, wanted: str | None) -> None:
        own = {"head": "right", "tail": "left"}.get(self.served.part)
        if wanted not in (None, own):
            how = {"head+tail": "keeps both ends of a long text", "windows": "reads all of a long text"}
            does = how.get(self.served.part, f"cuts at the {own}")
            raise invalid(f"truncation_direction is {wanted}, and this model {does}, as in its training; leave it out.")

    async def explain(self, asked: ExplainBody, text: Text) -> bytes:
        """Answer /explain."""
        explain.check_label(self.served, asked.label)
        self._check_made(text, 2)
        budget = self._budget // max(self.served.size(text), 1)

        def make(_: Callable[[], bool]) -> explain.Occluded:
            parts = [self.served.cut(part, 2) for part in ([text] if isinstance(text, str) else text)]
            return explain.occlude_words(parts, min(self.limits.max_texts, budget))

        made = await self._in(self._making, make)
        rows = await self.outputs(made.texts)
        return render.as_json(explain.explanation(self.served, asked.label, made, rows))

    async def perturb(self, asked: PerturbBody, text: Text) -> bytes:
        """Answer /perturb."""
        self._check_made(text, explain.MOST_KINDS + 1)
        severity, seed = asked.severity, asked.seed

        def make(wanted: Callable[[], bool]) -> tuple[Text, list[tuple[str, Text]]]:
            kept = explain.join_parts([self.served.cut(part) for part in ([text] if isinstance(text, str) else text)])
            return kept, explain.corrupt_text(kept, severity=severity, seed=seed, wanted=wanted)

        kept, made = await self._in(self._making, make)
        made = made[: max(self.limits.max_texts - 1, 0)]
        rows = await self.outputs([kept, *(text for _, text in made)])
        found = {"severity": severity, "seed": seed} | explain.robustness(self.served, kept, made, rows)
        return render.as_json(found)

    @property
    def _budget(self) -> int:
        """Tokens that the texts that are made of one may have together."""
        return 8 * self.limits.max_batch_tokens

    def _check_made(self, text: Text, count: int) -> None:
        size = self.served.size(text)
        if size * count > self._budget:
            sentence = f"The text has about {size:,} tokens, and {self._budget // count:,} are taken here; shorten it."
            raise Refusal(413, sentence)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[Callable[[], bool]], Result]) -> Result:
        """Do some work in a thread; it is given a function that says whether the result is still waited for."""
        left = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work, lambda: not left.is_set())
        except asyncio.CancelledError:
            left.set()
            raise

    def _examples(self) -> dict[str, Any]:
        """Let the model answer an example, which also warms it up."""
        given = openapi.example_text(self.kind)
        (text,) = inputs_of(given, Expected(self.kind, 1)).texts
        (row,) = self.served.outputs(self.served.encode([text]), 1)
        if not is_finite(row):
            raise InputError(
                f"the output of the model {self.served.name} for the text {openapi.EXAMPLE!r} is not a number, so its "
                "weights are damaged or too large; train or export it again."
            )
        return {"inputs": given, "predictions": self.served.predictions(text, row)}

    def _rate(self) -> Rate:
        """Measure what a pass and a token cost."""
        words = openapi.EXAMPLE.split()
        return Rate(self._time_pass(words), self._time_pass(words * -(-self.served.max_length // len(words))))

    def _time_pass(self, words: list[str]) -> tuple[int, float]:
        """Return the tokens of a text and the seconds of its pass: the quickest of some, for others are at work."""
        one = " ".join(words)
        text: Text = words if self.kind == "tokens" else (one, one) if self.kind == "pairs" else one
        encoded = self.served.encode([text])
        seconds = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            self.served.outputs(encoded, 1)
            seconds.append(time.perf_counter() - start)
        return encoded[0].tokens, min(seconds)
