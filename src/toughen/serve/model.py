"""The model that is served: texts in, rows of numbers out, and what they are called."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.classifier.abstention import Abstention
from toughen.classifier.core import EncodedText
from toughen.deploy.files import MODEL, is_export, require_run
from toughen.deploy.predictor import load
from toughen.errors import InputError
from toughen.serve.cut import PER_TOKEN, Cut, Cutter
from toughen.serve.refusals import Refusal
from toughen.tasks import TaskName

Text = str | tuple[str, str] | list[str]
"""A text, a pair of them, or of a model that tags tokens a list of words."""
Prediction = dict[str, Any]
Row = NDArray[np.float64]
"""Outputs for one text: [C], for regression [1], for tokens [words, K]."""

_TINY = 1e-300
_READ = 131_072  # characters of one text that are looked at to find what the model reads of it
_LOOKED = 16_384  # likewise, where texts are made of it
_WORDS, _WORDS_PER_TOKEN = 1024, 16  # of a text whose words are tagged
_HALF = 0.5


def open_model(folder: Path, model: str | None = None, provider: str | None = None) -> Served:
    """Open an exported folder (on ONNX Runtime, without PyTorch) or a run folder (on PyTorch).

    Args:
        folder: of either kind.
        model: another graph of an exported folder than model.onnx.
        provider: what computes an exported folder, by ONNX Runtime's name with or without ``ExecutionProvider``; None
            is the CPU.

    Raises:
        InputError: if it is neither, or has no such graph, or the provider is not there.
    """
    if is_export(folder):
        wanted = _provider(provider or "CPU")
        predictor = load(folder, model=model or MODEL, providers=[wanted])
        # ONNX Runtime goes over to the CPU without a word where a provider cannot start.
        if predictor.session.get_providers()[0] != wanted:
            raise InputError(f"--provider {provider} cannot start: its device or libraries are missing; use CPU.")
        return Served(predictor, folder.resolve().name, "onnxruntime")
    require_run(folder, model)
    if provider is not None:
        raise InputError("--provider is for exported folders; a run is served by PyTorch, on a GPU if there is one.")
    from toughen.runs.finished import FinishedRun  # loads torch, which an exported model does not need

    return Served(FinishedRun.open(folder).classifier, folder.resolve().name, "pytorch")


def _provider(wanted: str) -> str:
    """Return ONNX Runtime's name of a provider that is installed.

    Raises:
        InputError: if there is none of the name.
    """
    import onnxruntime  # slow to load, and a run folder needs none

    there: dict[str, str] = {
        name.removesuffix("ExecutionProvider").lower(): name for name in onnxruntime.get_available_providers()
    }
    found = there.get(wanted.removesuffix("ExecutionProvider").lower())
    if found is None:
        names = ", ".join(name.removesuffix("ExecutionProvider") for name in there.values())
        raise InputError(f"--provider {wanted} is not in the onnxruntime that is installed, which has: {names}.")
    return found


class UnwantedError(Exception):
    """Nobody waits for the answer that is being computed."""


class Served:
    """A classifier behind one lock: whoever asks, passes run one after the other.

    Args:
        classifier: a `toughen.deploy.predictor.Predictor` or `toughen.classifier.classifier.Classifier`.
        name: of the model.
        runtime: what computes.
    """

    def __init__(self, classifier: Any, name: str, runtime: str) -> None:
        self.classifier, self.name, self.runtime = classifier, name, runtime
        self.task: TaskName = classifier.task
        self.labels: tuple[str, ...] = tuple(classifier.label_names)
        self.max_length: int = classifier.max_length
        self.pairs = bool(classifier.pairs)
        known = classifier.thresholds
        self.abstention: Abstention | None = classifier.abstention
        self.thresholds: tuple[float, ...] | None = None if known is None else tuple(known)
        self._tokenizer = classifier.tokenizer
        # transformers' tokenizers must not be used by two threads at once.
        self._reading, self._running = threading.Lock(), threading.Lock()

    @property
    def activation(self) -> str:
        """What makes the model's outputs of its logits: softmax, sigmoid or none."""
        return {"multi-label": "sigmoid", "regression": "none"}.get(self.task, "softmax")

    @property
    def part(self) -> str:
        """Which part of a long text the model reads: head, tail, head+tail, or windows, which is all."""
        encode = getattr(self.classifier, "_encode", self.classifier)
        part = getattr(encode, "truncation", "head")
        # Pairs the tokenizer cuts itself, at its own side.
        left = self.pairs and part == "head" and getattr(self._tokenizer, "truncation_side", "right") == "left"
        return "tail" if left else part

    @property
    def reads_all(self) -> bool:
        """Whether nothing of a long text is left out, because the model reads it in windows."""
        return self.part == "windows"

    def size(self, text: Text) -> int:
        """Guess the tokens that are read of a text, without reading it: an English token has about four bytes."""
        parts = [text] if isinstance(text, str) else text
        found = sum(len(part) if part.isascii() else len(part.encode()) for part in parts) // 4 + 2
        return found if self.reads_all else min(found, self.max_length)

    def cut(self, text: str, times: int = 1) -> Cut:
        """Cut a text to what the model reads of it, and so many times more.

        Raises:
            Refusal: if that cannot be found in few characters.
        """
        if self.reads_all:
            return Cut(text, len(text), "")
        return self._cutter(times, _LOOKED)(text)

    def encode(self, texts: Sequence[Text], *, truncate: bool = True) -> list[EncodedText]:
        """Return texts as the token ids that the model reads, for `outputs`.

        Each is tokenised once. Long ones are shortened before, and for that their beginnings (ends) are counted.

        Args:
            texts: N of the model's kind, at least one.
            truncate: whether long texts are cut; else they are refused, unless the model reads them in windows.

        Raises:
            Refusal: if a text is too long and must not be cut, or so much of one must be looked at that it would hold
                up the others.
            InputError: if a text has no tokens.
        """
        kept = self.shortened(texts)
        with self._reading:
            found: list[EncodedText] = self.classifier.encode_texts(kept)
        if not truncate and not self.reads_all:
            for i, (text, encoded) in enumerate(zip(kept, found, strict=True)):
                # Whether something was left out of a text that fills the model, the ids do not say.
                if encoded.tokens >= self.max_length:
                    self._check_whole(text, i, shortened=text is not texts[i])
        return found

    def _check_whole(self, text: Text, number: int, *, shortened: bool) -> None:
        (length,) = self._lengths([text])
        if length > self.max_length:
            more = "more than " if shortened else ""
            raise Refusal(
                413,
                f"Text {number + 1} of inputs has {more}{length:,} tokens and the model reads {self.max_length:,}; "
                "shorten it, or let it be cut with truncate: true.",
            )

    def shortened(self, texts: Sequence[Text]) -> list[Text]:
        """Return texts without what stands far from the tokens that the model reads.

        Raises:
            Refusal: if of a text so much must be looked at that it would hold up the others.
        """
        return [self._shorten(text, i) for i, text in enumerate(texts)]

    def _cutter(self, times: int, most: int) -> Cutter:
        return Cutter(lambda text: self._lengths_of(text=[text])[0], times * self.max_length, self.part, most)

    def _shorten(self, text: Text, number: int) -> Text:
        if self.reads_all:
            return text
        if isinstance(text, list):
            if len(text) > max(_WORDS, _WORDS_PER_TOKEN * self.max_length):
                sentence = f"has {len(text):,} words and the model reads {self.max_length:,} tokens; send it in parts."
                raise Refusal(413, f"Text {number + 1} of inputs {sentence}")
            return text
        cutter = self._cutter(1, _READ)
        if isinstance(text, str):
            return cutter(text, number).text
        if max(map(len, text)) <= PER_TOKEN * self.max_length and sum(map(len, text)) <= _READ:
            return text  # of which nothing would be left out, so no part need be counted
        first, second = (self._is_short(part) for part in text)
        # Of two long parts the tokenizer keeps half each, and an odd token of the longer one: which needs both whole.
        if first or second:
            return (
                text[0] if first else cutter(text[0], number).text,
                text[1] if second else cutter(text[1], number).text,
            )
        if len(text[0]) + len(text[1]) > _READ:
            size = len(text[0]) + len(text[1])
            raise Refusal(
                413, f"Text {number + 1} of inputs has a pair of {size:,} characters; shorten one of the two."
            )
        return text

    def _is_short(self, part: str) -> bool:
        """Tell whether a part of a pair has no more tokens than the model reads, without reading a long one."""
        return len(part) <= PER_TOKEN * self.max_length and self._lengths_of(text=[part])[0] <= self.max_length

    def _lengths(self, texts: Sequence[Text]) -> list[int]:
        """Return the tokens of each text, special ones included."""
        if self.task == "tokens":
            return self._lengths_of(text=list(texts), is_split_into_words=True)
        if self.pairs:
            first, second = zip(*texts, strict=True)
            return self._lengths_of(text=list(first), text_pair=list(second))
        return self._lengths_of(text=list(texts))

    def _lengths_of(self, **given: Any) -> list[int]:
        with self._reading:
            ids = self._tokenizer(**given, truncation=False, padding=False, verbose=False)["input_ids"]
        return [len(row) for row in ids]

    def outputs(
        self, texts: Sequence[EncodedText], batch_size: int, wanted: Callable[[], bool] = lambda: True
    ) -> list[Row]:
        """Run the model.

        Args:
            texts: N from `encode`, at least one, not all of one call.
            batch_size: texts (or windows of them) per pass.
            wanted: asked after each pass whether the rest of the answer is still waited for.

        Raises:
            InputError: if an answer is NaN or infinite.
            UnwantedError: if it is not.
        """

        def go_on(_: int) -> None:
            if not wanted():
                raise UnwantedError

        with self._running:
            found = self.classifier.outputs_of_encoded(texts, batch_size=batch_size, progress=go_on)
        return [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in found]

    def predictions(self, text: Text, row: Row, *, raw: bool = False, top_k: int | None = None) -> list[Prediction]:
        """Say what the outputs for a text mean: labels with their scores, the largest first.

        Of tokens, one label and score per word, in the order of the words. ``predicted`` is there where the largest
        score is not the answer: with several labels, or thresholds, or where the model may abstain, and then predicts
        none. ``in_set`` says which labels may be right, where sets were fitted.

        Args:
            text: the text.
            row: the model's outputs for it.
            raw: give logits instead of probabilities. They are made from the probabilities, so single-label ones are
                the logits up to a constant.
            top_k: how many labels are given; of tokens one per word whatever it is.
        """
        if self.task == "tokens":
            best = row.argmax(axis=1) if len(row) else []
            scores = self._scores(row, raw)
            words = zip(text, best, scores, strict=True)
            return [{"label": self.labels[i], "score": float(s[i]), "word": word} for word, i, s in words]
        chosen = () if self.abstains(row) else self.chosen(row)
        told = self.task == "multi-label" or self.thresholds is not None or self.may_abstain
        among = None if self.abstention is None else self.abstention.label_set(row)
        found: list[Prediction] = [
            {"label": name, "score": float(score)}
            | ({"predicted": i in chosen} if told else {})
            | ({} if among is None else {"in_set": i in among})
            for i, (name, score) in enumerate(zip(self.labels, self._scores(row, raw), strict=True))
        ]
        return sorted(found, key=lambda one: -one["score"])[:top_k]

    def _scores(self, row: Row, raw: bool) -> Row:
        if not raw or self.task == "regression":
            return row
        logarithm = np.log(np.maximum(row, _TINY))
        if self.task != "multi-label":
            return np.asarray(logarithm)
        return np.asarray(logarithm - np.log(np.maximum(1 - row, _TINY)))

    def chosen(self, row: Row) -> tuple[int, ...]:
        """Return which labels are predicted for a text that is answered as a whole; of regression none."""
        if self.task == "regression":
            return ()
        if self.task == "multi-label":
            cuts = self.thresholds or (_HALF,) * len(self.labels)
            return tuple(i for i, cut in enumerate(cuts) if row[i] >= cut)
        return (int(row.argmax()) if self.thresholds is None else int(row[1] >= self.thresholds[0]),)

    @property
    def may_abstain(self) -> bool:
        """Whether there are texts for which the model gives no answer."""
        return self.abstention is not None and self.abstention.threshold is not None

    def abstains(self, row: Row) -> bool:
        """Tell whether the model gives no answer for a text; what it would be, `chosen` says all the same."""
        return self.abstention is not None and self.abstention.abstains(float(row[self.chosen(row)[0]]))

    def describe(self) -> dict[str, Any]:
        """Return what a client may want to know of the model."""
        return {
            "model_id": self.name,
            "task": self.task,
            "labels": list(self.labels),
            "thresholds": None if self.thresholds is None else list(self.thresholds),
            "abstention": None if self.abstention is None else self.abstention.note(),
            "pairs": self.pairs,
            "max_input_length": self.max_length,
            "runtime": self.runtime,
        }


def is_finite(row: Row) -> bool:
    """Tell whether a model's outputs are numbers that JSON knows."""
    return math.isfinite(float(row.sum()))
