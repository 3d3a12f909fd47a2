"""The objective slot: what is a mistake? Losses per example, never reduced here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from toughen.fields import require, setting

IGNORED = -100
"""The label of a row without one: it joins only the terms that need no label."""

ClassWeights = tuple[float, ...] | Literal["balanced"] | None


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross-entropy with label smoothing and class weights.

    L_i = -w_y sum_c q_c log p_c, with q = (1-s) onehot(y) + s/K.

    Source: label smoothing, Szegedy et al., "Rethinking the Inception Architecture" (1512.00567). A smoothed loss is
    not a negative log likelihood: its smallest reachable value is the entropy of q. Class weights multiply the loss of
    each example and the mean still runs over the examples, so that a loss does not depend on which rows share its batch
    (``torch``'s weighted mean divides by the batch's sum of weights instead).
    Cost: one forward, one backward (3 units).
    """

    name: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: float = setting(0.0, "share of the target spread evenly over all classes (0 to below 1)")
    class_weights: ClassWeights = setting(None, "weight per class, in label order; balanced = rows / (classes x count)")

    copies = 1
    """How often the batch goes through the model in one pass."""
    label_free = False
    """Whether a row without a label still has a loss."""

    def __post_init__(self) -> None:
        require(0 <= self.label_smoothing < 1, "objective.label_smoothing", self.label_smoothing, "must be in [0, 1)")
        weights = self.class_weights
        known = weights is None or weights == "balanced" or all(float(w) > 0 for w in weights)
        require(known, "objective.class_weights", weights, "must be null, balanced, or a number above 0 per class")

    def task(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each example.

        Args:
            logits: [B, K], float32 or wider.
            labels: [B] class ids; ``IGNORED`` rows get exactly 0.

        Returns:
            [B], at least 0.
        """
        if isinstance(self.class_weights, str):
            raise RuntimeError("class_weights 'balanced' must be resolved to numbers (see resolve_class_weights)")
        loss = F.cross_entropy(
            logits, labels, reduction="none", ignore_index=IGNORED, label_smoothing=self.label_smoothing
        )
        if self.class_weights is None:
            return loss
        weights = torch.tensor(self.class_weights, dtype=loss.dtype, device=loss.device)
        return loss * weights[labels.clamp(min=0)]

    def terms(self, copies: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the named losses [B] whose sum is the objective; ``copies`` holds one [B, K] per copy.

        ``task`` is 0 on rows without a label; every other term is defined on all rows.
        """
        return {"task": self.task(copies[0], labels)}


@dataclass(frozen=True, kw_only=True)
class RDrop(CrossEntropy):
    """R-Drop: two passes under different dropout must agree.

    L_i = 1/2 [CE(p1) + CE(p2)] + alpha/2 [KL(p1||p2) + KL(p2||p1)], gradient through both sides.

    Source: Liang et al., "R-Drop: Regularized Dropout for Neural Networks" (2106.14448). The paper (and its fairseq
    RoBERTa code) takes CE(p1) + CE(p2) without the half: twice our loss at alpha is the paper's at 2 alpha. We keep the
    half so that the loss has the scale of plain cross-entropy and a learning rate carries over. The two passes are one
    forward over the batch twice; in evaluation there is one pass.
    Cost: 6 units (plain training: 3). Needs dropout: without any, the two passes are equal and the term is 0.
    """

    name: Literal["rdrop"] = "rdrop"  # type: ignore[assignment]
    alpha: float = setting(1.0, "weight of the divergence between the two passes (0.5 to 5)")

    copies = 2
    label_free = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha >= 0, "objective.alpha", self.alpha, "must not be negative")

    def terms(self, copies: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return ``task`` (mean over both copies) and ``rdrop`` (the weighted divergence), each [B]."""
        first, second = copies
        task = (self.task(first, labels) + self.task(second, labels)) / 2
        return {"task": task, "rdrop": self.alpha / 2 * symmetric_kl(first, second)}


Objective = CrossEntropy | RDrop
"""Every answer to "what is a mistake?"; ``name`` tells them apart in YAML and flags."""


def kl(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(softmax(reference) || softmax(logits)) of each row, in nats: [B, K], [B, K] -> [B]."""
    log_p, log_q = reference.log_softmax(-1), logits.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    """KL(p||q) + KL(q||p) of each row, in nats: [B, K], [B, K] -> [B]; gradient through both."""
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def resolve_class_weights(objective: CrossEntropy, counts: Sequence[int]) -> CrossEntropy:
    """Replace ``balanced`` by rows / (classes x count) for these training counts per class.

    Raises:
        InputError: if there are not as many weights as classes, or a class to balance has no rows.
    """
    weights = objective.class_weights
    if weights == "balanced":
        rule = f"cannot be balanced without rows of every class (rows per class: {', '.join(map(str, counts))})"
        require(all(counts), "objective.class_weights", weights, rule)
        return replace(objective, class_weights=tuple(sum(counts) / (len(counts) * n) for n in counts))
    if weights is not None:
        rule = f"must have one weight per class ({len(counts)})"
        require(len(weights) == len(counts), "objective.class_weights", weights, rule)
    return objective
