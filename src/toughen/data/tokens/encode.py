"""One batch of texts to token ids: the pieces of words found again, and what is kept of a text that is too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toughen.data.config import SOFT_LABEL
from toughen.data.tokens.beginnings import beginnings_of
from toughen.errors import InputError
from toughen.tasks import TaskName

Truncation = Literal["head", "tail", "head+tail", "windows"]
TRUNCATIONS: tuple[Truncation, ...] = ("head", "tail", "head+tail", "windows")
IGNORED = -100  # the label of a token that has none
NO_WORD = -1
Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Encoder:
    """Encode a batch of rows; arguments as for `tokenise`."""

    tokenizer: Any
    max_length: int
    task: TaskName = "single-label"
    truncation: Truncation = "head"
    overlap: int = 0

    def check(self, pairs: bool) -> None:
        """Refuse what does not fit together.

        Raises:
            InputError: see `tokenise`.
        """
        if self.truncation not in TRUNCATIONS:
            raise InputError(f"truncation must be one of {', '.join(TRUNCATIONS)}, got {self.truncation!r}.")
        if pairs and self.truncation != "head":
            raise InputError(
                f"truncation {self.truncation} is for single texts, but the data are pairs; use head, which cuts the "
                "longer text first."
            )
        if self.task == "tokens":
            self._check_tokens()
        if self.overlap and self.truncation != "windows":
            raise InputError(
                f"overlap is for truncation windows, got {self.overlap} with truncation {self.truncation}."
            )
        self._check_room()

    def _check_tokens(self) -> None:
        if self.truncation == "windows":
            raise InputError(
                "truncation windows averages the predictions for a text, and tokens have one per word; use head, tail "
                "or head+tail."
            )
        if not getattr(self.tokenizer, "is_fast", False):
            raise InputError(
                f"{type(self.tokenizer).__name__} does not say which word a token belongs to, which tokens need; use a "
                "model with a fast tokenizer."
            )

    def _check_room(self) -> None:
        if self.truncation != "head" and self._room() < 1:
            special = sum(_frame(self.tokenizer))
            raise InputError(
                f"training.max_length is {self.max_length}, but the tokenizer adds {special} special tokens to every "
                f"text; set it above {special}."
            )
        if self.truncation == "windows" and not 0 <= self.overlap < self._room():
            raise InputError(
                f"overlap must be at least 0 and below the {self._room()} tokens of text that a window of "
                f"{self.max_length} holds, got {self.overlap}."
            )

    def __call__(self, rows: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the columns of the encoded rows."""
        return self.encode(rows)[0]

    def encode(self, rows: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], int | None]:
        """Return the columns of the encoded rows, and how many texts were cut; None where the tokenizer keeps quiet."""
        # The tokenizer itself cuts to the head, and pairs, unless it is set to cut at the left.
        left = getattr(self.tokenizer, "truncation_side", "right") == "left"
        own = self.truncation == "head" and ("text_pair" in rows or not left)
        how = {"truncation": True, "max_length": self.max_length} if own else {"truncation": False, "verbose": False}
        given = texts_of(rows, self.tokenizer)
        if self.truncation == "head" and "text_pair" not in rows:
            given["text"] = self._beginnings(given["text"])
        encoded = self.tokenizer(**given, padding=False, **how)
        columns = {name: list(values) for name, values in encoded.items()}
        if self.task == "tokens":
            columns |= self._words(encoded, rows.get("label"))
        elif "label" in rows:
            columns["labels"] = list(rows.get(SOFT_LABEL, rows["label"]))
        cut = (
            self._count_overflowing(encoded) if own else sum(len(ids) > self.max_length for ids in columns["input_ids"])
        )
        if not own:
            columns = self._cut(columns, rows)
        columns["length"] = [len(ids) for ids in columns["input_ids"]]
        return columns, cut

    def _beginnings(self, texts: Sequence[Any]) -> list[Any]:
        """Return the texts without what stands far behind the last token that is kept."""
        find = beginnings_of(self.tokenizer)
        kept = self.max_length
        return [find.of(text, kept) if isinstance(text, str) else find.of_words(text, kept) for text in texts]

    def _count_overflowing(self, encoded: Any) -> int | None:
        """Count the texts of which the tokenizer itself left something out; slow tokenizers do not say."""
        found = getattr(encoded, "encodings", None)
        full = self.max_length
        return None if found is None else sum(len(one) >= full and bool(one.overflowing) for one in found)

    def _words(self, encoded: Any, labels: Sequence[Sequence[int]] | None) -> dict[str, list[Any]]:
        """Return the word, and the label, of every token: those of a word at its first piece only."""
        words = [_first_pieces(encoded.word_ids(row)) for row in range(len(encoded["input_ids"]))]
        if labels is None:
            return {"word": words}
        tags = [
            [IGNORED if word == NO_WORD else row[word] for word in found]
            for found, row in zip(words, labels, strict=True)
        ]
        return {"word": words, "labels": tags}

    def _room(self) -> int:
        return self.max_length - sum(_frame(self.tokenizer))

    def _cut(self, columns: dict[str, list[Any]], rows: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Cut encoded rows to length, special tokens apart; a row of windows becomes as many rows."""
        before, after = _frame(self.tokenizer)
        plans = [self._plan(len(ids) - before - after) for ids in columns["input_ids"]]
        per_token = [name for name in columns if name != "labels" or self.task == "tokens"]
        result = {
            name: [
                _keep_ranges(values, ranges, before, after)
                for values, plan in zip(columns[name], plans, strict=True)
                for ranges in plan
            ]
            for name in per_token
        }
        if "labels" not in per_token and "labels" in columns:
            result["labels"] = [v for v, plan in zip(columns["labels"], plans, strict=True) for _ in plan]
        return result | (_window_columns(rows, plans) if self.truncation == "windows" else {})

    def _plan(self, length: int) -> list[Ranges]:
        """Return, for every row that a text becomes, the ranges of its tokens that are kept."""
        room = self._room()
        if length <= room:
            return [[(0, length)]]
        if self.truncation == "head":
            return [[(0, room)]]
        if self.truncation == "tail":
            return [[(length - room, length)]]
        if self.truncation == "head+tail":
            tail = room // 2
            return [[(0, room - tail), (length - tail, length)]]
        step = room - self.overlap
        return [[(start, min(start + room, length))] for start in range(0, length - self.overlap, step)]


def texts_of(rows: Mapping[str, list[Any]], tokenizer: Any) -> dict[str, Any]:
    """Return the arguments by which a tokenizer takes the texts of some rows: texts, pairs of them, or words."""
    if rows["text"] and not isinstance(rows["text"][0], str):
        return {"text": [_space_words(words, tokenizer) for words in rows["text"]], "is_split_into_words": True}
    return {"text": rows["text"], "text_pair": rows["text_pair"]} if "text_pair" in rows else {"text": rows["text"]}


def _space_words(words: Sequence[str], tokenizer: Any) -> list[str]:
    """Put a space before all words but the first, for tokenizers (GPT-2's, RoBERTa's) to whom it is part of a word."""
    if getattr(tokenizer, "add_prefix_space", None) is not False:
        return list(words)
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)]


def _first_pieces(words: Sequence[int | None]) -> list[int]:
    """Return each token's word where it is the word's first piece, else -1."""
    before: Sequence[int | None] = [None, *words[:-1]]
    return [NO_WORD if word is None or word == last else word for word, last in zip(words, before, strict=True)]


def _frame(tokenizer: Any) -> tuple[int, int]:
    """Return how many special tokens stand before a text and after it."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    starts = range(len(full) - len(bare) + 1)
    before = next((start for start in starts if full[start : start + len(bare)] == bare), 0)
    return before, len(full) - len(bare) - before


def _keep_ranges(values: Sequence[Any], ranges: Ranges, before: int, after: int) -> list[Any]:
    """Return the special tokens and the ranges of the rest."""
    end = len(values) - after
    body = values[before:end]
    return [*values[:before], *(value for start, stop in ranges for value in body[start:stop]), *values[end:]]


def _window_columns(rows: Mapping[str, list[Any]], plans: Sequence[Sequence[Ranges]]) -> dict[str, list[Any]]:
    weights = rows.get("weight", [1.0] * len(plans))
    return {
        "row": [row for row, plan in zip(rows["row"], plans, strict=True) for _ in plan],
        "window": [number for plan in plans for number in range(len(plan))],
        "weight": [weight / len(plan) for weight, plan in zip(weights, plans, strict=True) for _ in plan],
    }
