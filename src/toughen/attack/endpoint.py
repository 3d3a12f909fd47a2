"""A classifier that answers over HTTP: what attacks that need no gradient can ask like any other."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import httpx
import numpy as np

from toughen.arrays import Floats
from toughen.errors import InputError, first_line
from toughen.machine.services import is_loopback
from toughen.settings import require

Shape = Literal["tei", "hosted"]
SHAPES = ("tei", "hosted")
BATCH_SIZE = 32
"""Texts of one request; what text-embeddings-inference takes unless it is told otherwise."""
_RETRIED = (429, 503)
_RETRIES = 5
_LONGEST_WAIT = 60.0
_PROBE = "A text."
_SUM = 1e-3
"""How far the probabilities of a text may be from 1 together: they are rounded on their way."""


class Endpoint:
    """A service that gives every label of a text with its probability.

    It is asked for its labels when it is made. Nothing is asked twice at the same time.

    Attributes:
        url: where it is, without what a query may hold.
        label_names: the C labels that its answers name, sorted.
        task: one class per text.
        pairs: it is asked about single texts.
        requests: sent so far.
    """

    task = "single-label"
    pairs = False

    def __init__(
        self,
        url: str,
        *,
        shape: Shape | None = None,
        requests_per_second: float | None = None,
        timeout: float = 30.0,
        token: str | None = None,
    ) -> None:
        """Ask a service for its labels.

        Args:
            url: of the service, http or https. On another machine it needs ``requests_per_second``.
            shape: "tei", of text-embeddings-inference's ``/predict``: {"inputs": [["a"], ["b"]]}; or "hosted", of
                hosted inference: {"inputs": ["a", "b"], "parameters": {"top_k": ...}}. Default "tei" where the path
                ends in /predict. Both answer a list of {"label", "score"} for each text.
            requests_per_second: at most so many; None is as many as are answered.
            timeout: seconds that an answer may take.
            token: sent as ``Authorization: Bearer``.

        Raises:
            InputError: if the address or a setting is wrong, the service cannot be reached, or its answers are no
                probabilities of every label.
        """
        self.url, local = _checked(url, requests_per_second, token)
        require(shape is None or shape in SHAPES, "shape", shape, f"must be {' or '.join(SHAPES)}")
        require(
            requests_per_second is None or 0 < requests_per_second < float("inf"),
            *("requests_per_second", requests_per_second, "must be above 0"),
        )
        require(0 < timeout < float("inf"), "timeout", timeout, "must be above 0")
        self.shape: str = shape or ("tei" if urlsplit(url).path.rstrip("/").endswith("/predict") else "hosted")
        self.requests = 0
        self._address, self._seconds = url, timeout
        self._pause = 0.0 if requests_per_second is None else 1 / requests_per_second
        self._next = 0.0
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # A proxy of the environment has no business between this machine and itself.
        self._client = httpx.Client(timeout=timeout, headers=headers, trust_env=not local)
        weakref.finalize(self, self._client.close)
        self.label_names: tuple[str, ...] = ()
        self.label_names = tuple(sorted(self._scores([_PROBE])[0]))

    def probabilities(self, dataset: Any, *, batch_size: int = BATCH_SIZE) -> Floats:
        """Return the probabilities [N, C] of a dataset with N rows and a ``text`` column, ``batch_size`` a request."""
        texts = list(dataset["text"])
        rows: list[list[float]] = []
        for start in range(0, len(texts), batch_size):
            found = self._scores(texts[start : start + batch_size])
            rows += [[scores[name] for name in self.label_names] for scores in found]
        return np.array(rows, dtype=np.float64).reshape(len(texts), len(self.label_names))

    def _scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        body: dict[str, Any] = {"inputs": [[text] for text in texts]}
        if self.shape == "hosted":
            body = {"inputs": list(texts), "parameters": {"top_k": 10_000}}  # the default is often the first label
        answer = self._ask(body)
        if not isinstance(answer, list) or len(answer) != len(texts):
            raise self._wrong(f"{len(texts)} texts were sent, and the answer is not a list of as many")
        return [self._labelled(one) for one in answer]

    def _labelled(self, answer: Any) -> dict[str, float]:
        """Return the probabilities of one text by label."""
        try:
            found = {str(one["label"]): float(one["score"]) for one in answer}
        except (TypeError, KeyError, ValueError):
            raise self._wrong("a text's answer is not a list of {label, score}") from None
        known = set(self.label_names)
        if len(found) < 2:
            raise self._wrong(
                f"a text gets {len(found)} label, and an attack needs the probability of every one; let the service "
                "give all (top_k)"
            )
        if known and known != set(found):
            raise self._wrong(
                f"one text gets the labels {', '.join(sorted(known))}, another {', '.join(sorted(found))}"
            )
        total = sum(found.values())
        if not abs(total - 1) <= _SUM or min(found.values()) < 0:
            raise self._wrong(
                f"the scores of a text sum to {total:.4g}: an attack needs the probabilities of all classes, one of "
                "which is right (no raw scores, no several labels)"
            )
        return found

    def _ask(self, body: Mapping[str, Any]) -> Any:
        """Post a request at its time, again while the service is busy; return the JSON of the answer."""
        for attempt in range(_RETRIES + 1):
            response = self._post(body)
            if response.status_code not in _RETRIED or attempt == _RETRIES:
                break
            time.sleep(_wait(response.headers.get("Retry-After"), attempt))
        code = response.status_code
        if code in _RETRIED:
            raise InputError(f"{self.url} answered {code} {_RETRIES + 1} times: it is busy; ask less often or later.")
        if response.is_redirect:
            raise InputError(f"{self.url} leads elsewhere ({code}); give the address that it leads to.")
        if code in (401, 403):
            raise InputError(f"{self.url} refuses who asks ({code}); name its token with --token.")
        if not response.is_success:
            said = " ".join(response.text.split())[:200]
            raise InputError(f"{self.url} answered {code}: {said or response.reason_phrase}.")
        try:
            return response.json()
        except ValueError:
            raise self._wrong("the answer is not JSON") from None

    def _post(self, body: Mapping[str, Any]) -> httpx.Response:
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + self._pause
        self.requests += 1
        try:
            return self._client.post(self._address, json=body)
        except httpx.TimeoutException:
            raise InputError(
                f"{self.url} did not answer within {self._seconds:g} s; allow more with --timeout, or send fewer "
                "texts at a time with --batch-size."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InputError(f"{self.url} cannot be reached ({first_line(error)}); is it running?") from None

    def _wrong(self, what: str) -> InputError:
        return InputError(f"{self.url}, asked in the shape {self.shape}: {what}.")


def _wait(told: str | None, attempt: int) -> float:
    """Return for how long to wait: as long as the service says, else twice as long each time."""
    try:
        seconds = float(told) if told is not None else 0.5 * 2**attempt
    except ValueError:  # a date
        seconds = 0.5 * 2**attempt
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else _LONGEST_WAIT


def _checked(url: str, requests_per_second: float | None, token: str | None) -> tuple[str, bool]:
    """Return the address to be shown, and whether it is on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"{url} is no address; give one such as http://127.0.0.1:8080/predict.")
    if parts.username is not None or parts.password is not None:
        raise InputError("the address holds a name or password, which would stand in the results; use --token.")
    local = is_loopback(host)
    if not local and requests_per_second is None:
        raise InputError(
            f"{host} is another machine: say how many requests per second it may get with --requests-per-second N, and "
            "attack only services that you may."
        )
    if not local and token is not None and parts.scheme == "http":
        raise InputError(f"the token would go to {host} for everybody to read; use https.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), local
