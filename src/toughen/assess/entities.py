"""Scores of tagged words: entities as the CoNLL evaluation and seqeval count them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toughen.assess.definition import Metrics, Rule, apply_rules, checked_names, checked_weights, refuse_non_finite
from toughen.classifier.tags import Entity, entity_types, find_entities


def entity_metrics(
    probabilities: Sequence[Any],
    labels: Sequence[Sequence[int]],
    label_names: Sequence[str],
    *,
    weights: ArrayLike | None = None,
) -> Metrics:
    """Score tagged words.

    An entity is right if its type, first and last word are. The likeliest tag of each word is the predicted one.

    Args:
        probabilities: N arrays [words, K] of floats.
        labels: N lists of a tag id in 0..K-1 per word.
        label_names: K tags such as B-PER.
        weights: [N] above 0, what each text's words and entities count for; None = all alike.

    Returns:
        f1, precision, recall of entities (micro average: all types together, as seqeval has it), accuracy of words,
        f1_TYPE of each type, n (texts) and undefined.

    Raises:
        RuntimeError: if a probability is not finite.
        ValueError: if shapes or tag ids do not fit.
    """
    tagged = replace(Tagged.of(probabilities, labels, label_names), weights=checked_weights(weights, len(labels)))
    per_type = {
        f"f1_{kind}": (partial(_type_absent, position=i), partial(_f1, position=i))
        for i, kind in enumerate(tagged.types)
    }
    return apply_rules(tagged, {**_RULES, **per_type})


@dataclass(frozen=True)
class Tagged:
    """Checked inputs: tag ids per text, as labelled and as predicted, the names of the tags, weights of the texts."""

    labels: tuple[NDArray[np.int64], ...]
    predictions: tuple[NDArray[np.int64], ...]
    names: tuple[str, ...]
    weights: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, probabilities: Sequence[Any], labels: Sequence[Sequence[int]], label_names: Sequence[str]) -> Tagged:
        """Check and convert; raises as `entity_metrics` says."""
        if len(probabilities) != len(labels):
            raise ValueError(f"{len(probabilities)} texts of probabilities do not fit {len(labels)} of labels")
        rows = [np.asarray(p, dtype=np.float64) for p in probabilities]
        truth = [np.asarray(tags, dtype=np.int64) for tags in labels]
        classes = len(label_names)
        for i, (p, y) in enumerate(zip(rows, truth, strict=True)):
            if p.shape != (len(y), classes) and (p.size or y.size):
                raise ValueError(f"text {i} has {len(y)} tags of {classes} kinds, but probabilities {list(p.shape)}")
            if len(y) and not (y.min() >= 0 and y.max() < classes):
                raise ValueError(f"tag ids must lie in 0..{classes - 1}, text {i} has {y.min()}..{y.max()}")
        if rows:
            refuse_non_finite(np.array([p.sum() for p in rows]))
        found = tuple(p.argmax(axis=1) if len(p) else np.empty(0, np.int64) for p in rows)
        return cls(tuple(truth), found, checked_names(label_names, classes))

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.labels)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of entities that the tags name, sorted; none where they are no entity tags (parts of speech)."""
        return entity_types(self.names)

    @cached_property
    def counts(self) -> NDArray[Any]:
        """[N, types, 3] entities of each text and type, by its weight: right, predicted, labelled."""
        counts = np.zeros((self.n, len(self.types), 3), dtype=np.int64)
        position = {kind: i for i, kind in enumerate(self.types)}
        for i, (labels, predictions) in enumerate(zip(self.labels, self.predictions, strict=True)):
            truth, found = self._entities(labels), self._entities(predictions)
            for column, entities in enumerate((truth & found, found, truth)):
                for entity in entities:
                    counts[i, position[entity.type], column] += 1
        return counts if self.weights is None else counts * self.weights[:, None, None]

    def _entities(self, ids: NDArray[np.int64]) -> set[Entity]:
        return set(find_entities([self.names[i] for i in ids])) if self.types else set()

    @cached_property
    def words(self) -> NDArray[Any]:
        """[N, 2] words of each text, by its weight: rightly tagged, all."""
        pairs = zip(self.labels, self.predictions, strict=True)
        counts = np.array([((y == found).sum(), len(y)) for y, found in pairs], dtype=np.int64).reshape(self.n, 2)
        return counts if self.weights is None else counts * self.weights[:, None]


def _no_entities(s: Tagged) -> str | None:
    return None if s.types else "the tags name no entities (none begins with B-, I-, E- or S-); see accuracy"


def _never_predicted(s: Tagged) -> str | None:
    return _no_entities(s) or (None if s.counts[..., 1].any() else "no entity was predicted")


def _no_support(s: Tagged) -> str | None:
    return _no_entities(s) or (None if s.counts[..., 2].any() else "the labels have no entity")


def _neither(s: Tagged) -> str | None:
    found = s.counts[..., 1:].any()
    return _no_entities(s) or (None if found else "the labels have no entity and none was predicted")


def _type_absent(s: Tagged, position: int) -> str | None:
    if s.counts[:, position, 1:].any():
        return None
    return f"the labels have no entity of type {s.types[position]!r} and none was predicted"


def _no_words(s: Tagged) -> str | None:
    return None if s.words.any() else "the texts have no words"


def _f1(s: Tagged, position: int | None = None) -> float:
    counts = s.counts if position is None else s.counts[:, [position]]
    right, predicted, labelled = counts.sum(axis=(0, 1))
    return float(2 * right / (predicted + labelled))


def _share(s: Tagged, column: int) -> float:
    right = s.counts[..., 0].sum()
    return float(right / s.counts[..., column].sum())


_RULES: dict[str, Rule[Tagged]] = {
    "f1": (_neither, _f1),
    "precision": (_never_predicted, partial(_share, column=1)),
    "recall": (_no_support, partial(_share, column=2)),
    "accuracy": (_no_words, lambda s: float(s.words[:, 0].sum() / s.words[:, 1].sum())),
}
