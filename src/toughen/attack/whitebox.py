"""White-box: the gradient at the model's word embeddings, for replacing words (HotFlip) and for moving them (PGD)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toughen.arrays import Floats, Ints
from toughen.attack.goals import decide
from toughen.attack.search_requests import Gains
from toughen.attack.subject import Examples
from toughen.data.words import Words
from toughen.engine.site import Site
from toughen.errors import InputError
from toughen.settings import require

_TINY = 1e-12


def require_white_box(classifier: Any, what: str) -> None:
    """Refuse a classifier whose gradient cannot be had.

    Raises:
        InputError: if it is several models, reads windows, or has no model and fast tokenizer.
    """
    if getattr(classifier, "members", ()):
        raise InputError(
            f"{what} needs the gradient of one model, but this run is several (in folds, or a combination); attack one "
            "of them, or use an attack that needs no gradient."
        )
    if getattr(classifier, "truncation", "head") != "head":
        raise InputError(
            f"{what} follows the gradient through the head of a text, but this model reads {classifier.truncation}; "
            "use an attack that needs no gradient."
        )
    fast = getattr(getattr(classifier, "tokenizer", None), "is_fast", False)
    if not (fast and hasattr(classifier, "model") and hasattr(classifier, "max_length")):
        raise InputError(f"{what} needs the model and a fast tokenizer; use an attack that needs no gradient.")


@dataclass
class WhiteBox:
    """A classifier opened up: token ids, logits and gradients. Its model must be in evaluation mode.

    Attributes:
        classifier: with ``model``, ``tokenizer`` and ``max_length``.
        batch_size: texts per pass.
        passes: forward passes so far, each followed by a backward pass.
    """

    classifier: Any
    batch_size: int = 32
    passes: int = field(default=0, init=False)
    _pieces: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False)

    @property
    def table(self) -> Tensor:
        """The word-embedding table [V, D]."""
        weight: Tensor = self.classifier.model.get_input_embeddings().weight
        return weight.detach()

    def encode(self, texts: Sequence[str], *, places: bool = False) -> dict[str, Any]:
        """Return padded tensors [B, T]; with ``places`` also "places" [B, T, 2] and "special" [B, T]."""
        tokenizer = self.classifier.tokenizer
        encoded = tokenizer(
            list(texts),
            truncation=True,
            max_length=self.classifier.max_length,
            padding=True,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        device = self.table.device
        batch = {name: encoded[name].to(device) for name in tokenizer.model_input_names if name in encoded}
        return batch | (
            {"places": encoded["offset_mapping"], "special": encoded["special_tokens_mask"].bool()} if places else {}
        )

    def gradient(self, site: Site, batch: dict[str, Tensor], delta: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient [B, T, D] of the margins at delta, and the logits [B, C]; parameters are left alone."""
        self.passes += 1
        leaf = delta.detach().requires_grad_()
        with torch.enable_grad(), site.perturbed(leaf, batch["input_ids"]):
            logits = self.classifier.model(**batch).logits
            (gradient,) = torch.autograd.grad(_margins(logits, labels).sum(), leaf)
        return gradient, logits.detach()

    def answer(self, requests: Sequence[Gains]) -> list[Floats]:
        """Return first-order gains of replacements; see `Gains`."""
        answers: list[Floats] = [np.empty(0)] * len(requests)
        order = sorted(range(len(requests)), key=lambda i: -len(requests[i].words.text))
        site = Site(self.classifier.model)
        try:
            for start in range(0, len(order), self.batch_size):
                part = order[start : start + self.batch_size]
                for i, gains in zip(part, self._gains(site, [requests[i] for i in part]), strict=True):
                    answers[i] = gains
        finally:
            site.close()
        return answers

    def _gains(self, site: Site, requests: Sequence[Gains]) -> Iterator[Floats]:
        batch = self.encode([request.words.text for request in requests], places=True)
        places, special = batch.pop("places"), batch.pop("special")
        ids = batch["input_ids"]
        labels = torch.tensor([request.label for request in requests], device=ids.device)
        zeros = torch.zeros(*ids.shape, site.width, dtype=site.dtype, device=ids.device)
        gradient, _ = self.gradient(site, batch, zeros, labels)
        now = (gradient * self.table[ids]).sum(-1).cpu()  # [B, T] what each token adds to the margin, linearised
        for row, request in enumerate(requests):
            tokens = _tokens_of_words(request.words, places[row].tolist(), special[row].tolist())
            yield self._gains_of(request, gradient[row], now[row], tokens)

    def _gains_of(self, request: Gains, gradient: Tensor, now: Tensor, tokens: dict[int, list[int]]) -> Floats:
        """Return [M]: gradient at the word's first piece times the new word's pieces, less what the old ones add."""
        news = list(dict.fromkeys(new for _, new in request.replacements))
        number = {new: i for i, new in enumerate(news)}
        vectors = torch.stack([self.table[self._ids(new)].sum(0) for new in news])  # [N, D]
        read = [i for i in dict.fromkeys(i for i, _ in request.replacements) if i in tokens]
        if not read:
            return np.full(len(request.replacements), -np.inf)
        adds = (gradient[[tokens[i][0] for i in read]].to(vectors.dtype) @ vectors.T).cpu()  # [positions, N]
        line = {i: k for k, i in enumerate(read)}
        return np.array(
            [
                float(adds[line[i], number[new]] - now[tokens[i]].sum()) if i in line else -np.inf
                for i, new in request.replacements
            ]
        )

    def _ids(self, word: str) -> list[int]:
        """Return the token ids of a word inside a sentence."""
        if word not in self._pieces:
            tokenizer = self.classifier.tokenizer
            ids: list[int] = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            self._pieces[word] = ids or [tokenizer.unk_token_id or 0]
        return self._pieces[word]


def _margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return [B]: the highest logit of another class less that of the label."""
    own = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(1) - logits[own]


def _tokens_of_words(words: Words, places: Sequence[Sequence[int]], special: Sequence[bool]) -> dict[int, list[int]]:
    """Return the tokens that lie in each word; words that were cut off have none."""
    word_at = {at: i for i, (start, end) in enumerate(words.spans) for at in range(start, end)}
    tokens: dict[int, list[int]] = {}
    for token, ((start, end), skip) in enumerate(zip(places, special, strict=True)):
        # Some tokenizers count the space before a word as the token's: its last character is the word's.
        if not skip and end > start and end - 1 in word_at:
            tokens.setdefault(word_at[end - 1], []).append(token)
    return tokens


@dataclass(frozen=True)
class EmbeddingPgd:
    """Projected gradient ascent on the margin, in the space of word embeddings: a bound, not a text.

    delta <- project(delta + step g / ||g||_2), step = 2.5 radius / steps. The first start is zero, later ones random.
    The norm is L2 over a text's tokens and width; special tokens and padding are not moved. A text is fooled if any
    point on the way fools the model.

    Source: Madry et al. (1706.06083); on embeddings Miyato et al. (1605.07725). Deviation: the margin of logits is
    climbed instead of the cross-entropy, whose gradient vanishes where the model is sure.

    Attributes:
        radius: in units of the mean norm of the embedding table's rows.
        steps: of each start.
        starts: number of starts.
    """

    radius: float = 0.5
    steps: int = 10
    starts: int = 1

    def __post_init__(self) -> None:
        require(self.radius > 0, "radius", self.radius, "must be above 0")
        require(self.steps >= 1, "steps", self.steps, "must be at least 1")
        require(self.starts >= 1, "starts", self.starts, "must be at least 1")

    def describe(self) -> str:
        """Say it in words."""
        return f"embeddings moved by L2 {self.radius} (relative), {self.steps} steps, {self.starts} start(s)"

    def run(self, box: WhiteBox, examples: Examples, threshold: float | None, seed: int) -> tuple[Ints, Ints]:
        """Attack texts.

        Returns:
            [N] the class that each text was moved to (its own label where none was found), and [N] the passes made.
        """
        found, passes = examples.labels.copy(), np.zeros(len(examples), dtype=np.int64)
        order = sorted(range(len(examples)), key=lambda i: -len(examples.texts[i]))
        generator = torch.Generator().manual_seed(seed)
        site = Site(box.classifier.model)
        try:
            for start in range(0, len(order), box.batch_size):
                part = np.array(order[start : start + box.batch_size])
                texts = [examples.texts[i] for i in part]
                found[part], passes[part] = self._batch(box, site, texts, examples.labels[part], threshold, generator)
        finally:
            site.close()
        return found, passes

    def _batch(
        self,
        box: WhiteBox,
        site: Site,
        texts: Sequence[str],
        labels: Ints,
        threshold: float | None,
        generator: torch.Generator,
    ) -> tuple[Ints, Ints]:
        batch = box.encode(texts, places=True)
        batch.pop("places")
        movable = (~batch.pop("special")).to(batch["input_ids"].device).unsqueeze(-1).to(site.dtype)
        radius, targets = self.radius * site.unit, torch.tensor(labels, device=movable.device)
        found, passes = labels.copy(), np.zeros(len(labels), dtype=np.int64)
        shape = (*movable.shape[:2], site.width)
        for start in range(self.starts):
            noise = torch.randn(shape, generator=generator).to(movable) if start else torch.zeros(shape).to(movable)
            delta = _onto_ball(noise * movable, radius) if start else noise
            for step in range(self.steps + 1):
                gradient, logits = box.gradient(site, batch, delta, targets)
                passes += found == labels
                probabilities = logits.double().softmax(-1).cpu().numpy()
                softened = getattr(box.classifier, "temperature", None)
                answered = decide(
                    probabilities if softened is None else softened.apply("single-label", probabilities), threshold
                )
                found = np.where(found == labels, answered, found)
                if (found != labels).all() or step == self.steps:
                    break
                delta = _onto_ball(delta + 2.5 * radius / self.steps * _unit(gradient * movable), radius)
            if (found != labels).all():
                break
        return found, passes


def _norm(delta: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2), keepdim=True)
    return norm


def _unit(delta: Tensor) -> Tensor:
    return delta / _norm(delta).clamp(min=_TINY)


def _onto_ball(delta: Tensor, radius: float) -> Tensor:
    """Pull each example's perturbation [B, T, D] back into the ball."""
    return delta * (radius / _norm(delta).clamp(min=_TINY)).clamp(max=1.0)
