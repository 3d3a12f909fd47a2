"""Models from local folders that an attack consults: a masked language model, a sentence encoder; and embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toughen.arrays import Floats
from toughen.attack.search_requests import Fills, Similarities
from toughen.data.words import is_one_word
from toughen.errors import InputError
from toughen.machine.launch import quiet_libraries
from toughen.machine.runtime import best_device


def _load(folder: str | Path, kind: str, what: str) -> tuple[Any, Any]:
    """Load a model and its tokenizer from a folder, in evaluation mode."""
    import transformers

    path = Path(folder)
    if not (path / "config.json").is_file():
        raise InputError(f"{folder} holds no {what} (no config.json); give a folder with one, nothing is downloaded.")
    with quiet_libraries():
        found = getattr(transformers, kind).from_pretrained(path, output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model, report = found
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key and "position_ids" not in key)
    if missing:
        raise InputError(
            f"{folder} holds no {what}: it lacks {', '.join(missing[:3])}; give a folder with all weights."
        )
    return model.to(best_device()).eval(), tokenizer


def _batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Yield positions of texts of similar length, the longest first."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@dataclass
class Encoder:
    """Answers `Similarities`: cosine of mean-pooled hidden states, of texts from a local encoder.

    Attributes:
        folder: the encoder's.
        batch_size: texts per pass.
    """

    folder: str | Path
    batch_size: int = 64
    _known: dict[str, Floats] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        return _load(self.folder, "AutoModel", "sentence encoder")

    def answer(self, requests: Sequence[Similarities]) -> list[Floats]:
        """Return [M] cosines per request."""
        originals = [request.original for request in requests]
        kept = set(originals)
        vectors = self.vectors([*originals, *(text for request in requests for text in request.texts)])
        answers, start = [], len(requests)
        for number, request in enumerate(requests):
            own = vectors[start : start + len(request.texts)]
            start += len(request.texts)
            answers.append(own @ vectors[number])
        self._known = {text: vector for text, vector in self._known.items() if text in kept}
        return answers

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Return unit vectors [N, D]."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for part in _batches(new, self.batch_size):
            pooled = self._pool([new[i] for i in part])
            self._known.update(zip((new[i] for i in part), pooled, strict=True))
        return np.array([self._known[text] for text in texts])

    @torch.inference_mode()
    def _pool(self, texts: Sequence[str]) -> Floats:
        model, tokenizer = self._parts
        batch = tokenizer(list(texts), truncation=True, max_length=256, padding=True, return_tensors="pt")
        hidden = model(**batch.to(model.device)).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        vectors: Floats = torch.nn.functional.normalize(mean, dim=-1).double().cpu().numpy()
        return vectors


@dataclass
class MaskedModel:
    """Answers `Fills` from a local masked language model: whole words only.

    Attributes:
        folder: the model's.
        most: words per position.
        batch_size: texts per pass.
    """

    folder: str | Path
    most: int = 50
    batch_size: int = 32

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        model, tokenizer = _load(self.folder, "AutoModelForMaskedLM", "masked language model")
        if tokenizer.mask_token is None:
            raise InputError(
                f"the tokenizer in {self.folder} has no mask token; give a masked language model's folder."
            )
        return model, tokenizer

    @cached_property
    def _words(self) -> dict[int, str]:
        return whole_words(self._parts[1])

    def answer(self, requests: Sequence[Fills]) -> list[list[list[str]]]:
        """Return per request and position the likeliest words."""
        mask = self._parts[1].mask_token
        texts = [r.words.masked([i], mask) for r in requests for i in r.positions]
        words: list[list[str]] = [[] for _ in texts]
        for part in _batches(texts, self.batch_size):
            for i, found in zip(part, self._fill([texts[i] for i in part]), strict=True):
                words[i] = found
        ends = np.cumsum([0, *(len(r.positions) for r in requests)]).tolist()
        return [words[start:end] for start, end in pairwise(ends)]

    @torch.inference_mode()
    def _fill(self, texts: Sequence[str]) -> Iterator[list[str]]:
        model, tokenizer = self._parts
        longest = min(512, tokenizer.model_max_length)
        batch = tokenizer(list(texts), truncation=True, max_length=longest, padding=True, return_tensors="pt")
        masked = batch["input_ids"] == tokenizer.mask_token_id
        logits = model(**batch.to(model.device)).logits.cpu()
        for row, at in enumerate(masked):
            if not at.any():  # cut off
                yield []
                continue
            ranked = logits[row, int(at.nonzero()[0])].topk(min(4 * self.most, logits.shape[-1])).indices.tolist()
            yield [self._words[i] for i in ranked if i in self._words][: self.most]


def whole_words(tokenizer: Any) -> dict[int, str]:
    """Return {token id: word} of the tokens that stand for a whole word by themselves."""
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    marks = ("Ġ", "▁")
    marked = any(token.startswith(marks) for token in vocabulary)
    special = set(tokenizer.all_special_ids)
    words = {}
    for token, number in vocabulary.items():
        if number in special or token.startswith("##") or (marked and not token.startswith(marks)):
            continue
        word = token.lstrip("Ġ▁")
        if word.isalpha() and is_one_word(word):
            words[number] = word
    return words


class EmbeddingNeighbours(Mapping[str, Sequence[str]]):
    """Neighbours of words by the cosine of a model's own word embeddings, worked out when they are asked for.

    Words that the model does not have as a single token have no neighbours.
    """

    def __init__(self, table: Tensor, tokenizer: Any, *, most: int = 50, least: float = 0.4) -> None:
        """Prepare.

        Args:
            table: [V, D] embeddings by token id.
            tokenizer: names the ids.
            most: neighbours per word.
            least: cosine that a neighbour must reach.
        """
        words = {i: word for i, word in whole_words(tokenizer).items() if i < len(table)}
        self._names = list(words.values())
        self._place = {word: k for k, word in reversed(list(enumerate(self._names)))}
        rows = table[list(words)].float().cpu()
        self._unit = torch.nn.functional.normalize(rows, dim=-1)
        self._most, self._least = most, least
        self._found: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __getitem__(self, word: str) -> tuple[str, ...]:
        if word not in self._place:
            raise KeyError(word)
        if word not in self._found:
            cosines = self._unit @ self._unit[self._place[word]]
            values, order = cosines.topk(min(self._most + 1, len(cosines)))
            near = [self._names[i] for i, cosine in zip(order, values, strict=True) if cosine >= self._least]
            self._found[word] = tuple(other for other in near if other.lower() != word.lower())[: self._most]
        return self._found[word]
