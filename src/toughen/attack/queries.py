"""Ask the model: many searches at once, every text once; and the driver that runs the searches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch

from toughen.arrays import Floats
from toughen.attack.goals import distance
from toughen.attack.matrix_library import quick_linear
from toughen.attack.search_requests import Asked, Request, Scores, Service
from toughen.attack.subject import threshold_of
from toughen.classifier.answers import texts_dataset

T = TypeVar("T")
Answer = tuple[int, Any]
Precision = Literal["fp32", "bf16"]
PART = 4
"""Texts of a request that are asked about first, where one success is enough."""
_IN_DOUBT = 0.5  # log odds; bfloat16 moves those of a trained model by some hundredths
_REMEMBERED = 200_000  # texts; older ones are forgotten


@dataclass
class Queries:
    """Answers `Scores`: texts of all requests together, which the classifier runs in batches of similar length.

    Attributes:
        classifier: answers datasets; in evaluation mode.
        batch_size: texts per pass.
        cache: whether to remember answers.
        precision: "bf16" runs texts in bfloat16 first, and again in float32 where that leaves the decision in doubt:
            the margins that rank candidates are rounded, decisions near the border are not.
        joint: false runs each request by itself, ``batch_size`` texts at a time and in their order: the reference
            that the joint way is compared with.
        quick: whether to multiply matrices by the library that is faster on this machine: see `quick_linear`.
        texts_run: texts that went through the model so far.
        passes: passes of the model so far.
    """

    classifier: Any
    batch_size: int = 64
    cache: bool = True
    joint: bool = True
    precision: Precision = "fp32"
    quick: bool = True
    texts_run: int = field(default=0, init=False)
    passes: int = field(default=0, init=False)
    _known: dict[Asked, Floats] = field(default_factory=dict, init=False, repr=False)
    _rough: set[Asked] = field(default_factory=set, init=False, repr=False)

    def answer(self, requests: Sequence[Scores]) -> list[Floats]:
        """Return the probabilities [M, C] of each request's texts."""
        if not self.joint:
            return [self.probabilities(request.asked) for request in requests]
        decisive = {asked for request in requests if not request.roughly for asked in request.asked}
        flat = self.probabilities([asked for request in requests for asked in request.asked], decisive)
        ends = np.cumsum([len(request.texts) for request in requests])[:-1]
        return list(np.split(flat, ends))

    def probabilities(self, texts: Sequence[Asked], decisive: Set[Asked] | None = None) -> Floats:
        """Return the probabilities [N, C] of texts or pairs; decisions count on ``decisive`` alone (all)."""
        if not texts:
            return np.empty((0, len(self.classifier.label_names)))
        if not self.cache:
            return np.concatenate([self._run(part) for part in self._parts(texts)])
        distinct = list(dict.fromkeys(texts))
        self._learn([text for text in distinct if text not in self._known])
        self._settle([text for text in distinct if text in self._rough and (decisive is None or text in decisive)])
        found = np.array([self._known[text] for text in texts])
        for text in list(islice(self._known, max(0, len(self._known) - _REMEMBERED))):
            del self._known[text]
            self._rough.discard(text)
        return found

    def _learn(self, texts: Sequence[Asked]) -> None:
        """Remember the answers to new texts, and which of them bfloat16 leaves in doubt."""
        if not texts:
            return
        found = self._first(texts)
        self._known.update(zip(texts, found, strict=True))
        self._rough.update(texts[i] for i in self._doubtful(found))

    def _settle(self, texts: Sequence[Asked]) -> None:
        if texts:
            self._known.update(zip(texts, self._ask(texts), strict=True))
            self._rough.difference_update(texts)

    def _parts(self, texts: Sequence[Asked]) -> list[Sequence[Asked]]:
        size = len(texts) if self.joint else self.batch_size
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def _run(self, texts: Sequence[Asked]) -> Floats:
        found = self._first(texts)
        doubtful = self._doubtful(found)
        if doubtful:
            found[doubtful] = self._ask([texts[i] for i in doubtful])
        return found

    def _first(self, texts: Sequence[Asked]) -> Floats:
        """Ask in the precision of the search."""
        if self.precision == "fp32":
            return self._ask(texts)
        device = next(self.classifier.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16):
            return self._ask(texts)

    def _doubtful(self, probabilities: Floats) -> list[int]:
        if self.precision == "fp32":
            return []
        return np.flatnonzero(distance(probabilities, threshold_of(self.classifier)) < _IN_DOUBT).tolist()

    def _ask(self, texts: Sequence[Asked]) -> Floats:
        self.texts_run += len(texts)
        self.passes += -(-len(texts) // self.batch_size)
        rows = texts_dataset(texts, "single-label")  # without hashing them, which small requests would feel
        with quick_linear(self.classifier) if self.quick else nullcontext():
            return np.asarray(self.classifier.probabilities(rows, batch_size=self.batch_size), dtype=np.float64)


class _Task(Generic[T]):
    """One search: its generator, what it waits for, and the distinct texts it has asked about."""

    def __init__(
        self, number: int, generator: Generator[Request, Any, T], budget: int | None, part: int | None
    ) -> None:
        self.number, self.generator, self.budget, self.part = number, generator, budget, part
        self.asked: set[str] = set()
        self.result: T | None = None
        self.request: Request | None = None
        self.whole: Request | None = None
        self.answers: list[Floats] = []
        self._send(None)

    def resume(self, answer: Any) -> None:
        """Go on to the next part of a request, or to the next request, cut to the budget, or to the end."""
        if not isinstance(self.whole, Scores):
            return self._send(answer)
        self.answers.append(answer)
        done = sum(map(len, self.answers))
        cut = isinstance(self.request, Scores) and len(self.request.texts) < self._size(done - len(answer))
        served = self.whole.enough is not None and bool(self.whole.enough(answer).any())
        if served or cut or done == len(self.whole.texts):
            return self._send(np.concatenate(self.answers))
        return self._ask(done)

    def _send(self, answer: Any) -> None:
        try:
            self.whole = self.request = self.generator.send(answer)
        except StopIteration as stop:
            self.whole, self.request, self.result = None, None, stop.value
            return
        if isinstance(self.whole, Scores):
            self.answers = []
            self._ask(0)

    def _ask(self, start: int) -> None:
        """Wait for the answers to the next texts, as far as the budget goes."""
        assert isinstance(self.whole, Scores)
        texts = self._affordable(self.whole.texts[start : start + self._size(start)])
        self.request = replace(self.whole, texts=texts)

    def _size(self, start: int) -> int:
        """Return how many texts are asked about next: the first few, then as many as before them, or all."""
        assert isinstance(self.whole, Scores)
        left = len(self.whole.texts) - start
        return left if self.part is None or self.whole.enough is None else min(left, max(self.part, start))

    def _affordable(self, texts: Sequence[str]) -> tuple[str, ...]:
        for count, text in enumerate(texts):
            if text not in self.asked and self.budget is not None and len(self.asked) >= self.budget:
                return tuple(texts[:count])
            self.asked.add(text)
        return tuple(texts)


def drive(
    searches: Sequence[Generator[Request, Any, T]],
    services: Mapping[type, Service],
    *,
    budget: int | None = None,
    at_once: int = 64,
    part: int | None = PART,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[T, int]]:
    """Run searches side by side, so that what they ask at the same time is answered in one go.

    Args:
        searches: N generators; each depends on the answers to its own requests alone.
        services: who answers which kind of request.
        budget: distinct texts that each search may ask about; None is no limit. A request that would exceed it is
            answered for the texts that it still covers.
        at_once: searches that run side by side.
        part: texts of a request that are asked about first, where one answer may be enough; then as many again, and so
            on. None asks about all of them.
        progress: called with the number of searches that have just ended.

    Returns:
        Of each search its result, and the number of distinct texts that it asked about.
    """
    waiting = iter(enumerate(searches))
    results: dict[int, tuple[T, int]] = {}
    active: list[_Task[T]] = []
    while True:
        active += [_Task(i, search, budget, part) for i, search in islice(waiting, at_once - len(active))]
        ended = [task for task in active if task.request is None]
        results.update({task.number: (task.result, len(task.asked)) for task in ended})  # type: ignore[misc]
        active = [task for task in active if task.request is not None]
        if ended and progress is not None:
            progress(len(ended))
        if not active and len(results) == len(searches):
            return [results[i] for i in range(len(searches))]
        _serve(active, services)


def _serve(tasks: Sequence[_Task[T]], services: Mapping[type, Service]) -> None:
    """Answer what the tasks wait for, kind by kind."""
    for kind in Counter(type(task.request) for task in tasks):
        own = [task for task in tasks if type(task.request) is kind]
        answers = services[kind].answer([task.request for task in own])
        for task, answer in zip(own, answers, strict=True):
            task.resume(answer)
