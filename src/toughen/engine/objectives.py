"""The objective slot: the loss. Losses per example, never reduced here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from toughen.engine.likelihood import IGNORED, LIKELIHOODS, Target
from toughen.settings import require, setting

__all__ = ["IGNORED", "CrossEntropy", "Objective", "RDrop", "resolve_class_weights", "weights_per_class"]

ClassWeights = tuple[float, ...] | Literal["balanced", "effective-number"] | None


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross-entropy of the task's own likelihood, with label smoothing, class weights, focus and dropout samples.

    One class per text or per word: L_i = -w_y (1 - p_y)^gamma sum_c q_c log p_c, with q = (1-s) onehot(y) + s/K.
    A row that has a probability r_y of each class in place of its class: sum_y r_y L_i(y).
    Several classes per text: binary cross-entropy, mean over classes. A number per text: squared error.

    Sources: label smoothing, Szegedy et al., "Rethinking the Inception Architecture" (1512.00567). Focal loss, Lin et
    al., "Focal Loss for Dense Object Detection" (1708.02002). ``effective-number`` class weights, Cui et al.,
    "Class-Balanced Loss Based on Effective Number of Samples" (1901.05555). Multi-sample dropout, Inoue (1905.09788):
    the mean of the *losses*, not of the logits.
    A smoothed loss is not a negative log likelihood: its smallest reachable value is the entropy of q. Class weights
    multiply the loss of each example and the mean still runs over the examples, so that a loss does not depend on which
    rows share its batch (``torch``'s weighted mean divides by the batch's sum of weights instead).
    Cost: one forward, one backward (3 units); dropout samples repeat the last linear layer alone.
    """

    name: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: float = setting(0.0, "share of the target spread evenly over all classes (0 to below 1)")
    class_weights: ClassWeights = setting(
        None, "weight per class, in label order; balanced = rows / (classes x count); effective-number (see its beta)"
    )
    effective_beta: float = setting(0.999, "beta of effective-number class weights: (1 - beta) / (1 - beta^count)")
    focal_gamma: float = setting(0.0, "focal loss: multiply by (1 - p of the right class)^gamma; 0 = off (try 2)")
    dropout_samples: int = setting(1, "dropout masks before the last linear layer, their losses averaged; 1 = off")

    copies = 1
    """How often the batch goes through the model in one pass."""
    label_free = False
    """Whether a row without a label still has a loss."""

    def __post_init__(self) -> None:
        require(0 <= self.label_smoothing < 1, "objective.label_smoothing", self.label_smoothing, "must be in [0, 1)")
        weights = self.class_weights
        words = ("balanced", "effective-number")
        known = weights in words if isinstance(weights, str) else all(float(w) > 0 for w in weights or ())
        rule = "must be null, balanced, effective-number, or a number above 0 per class"
        require(known, "objective.class_weights", weights, rule)
        require(0 <= self.effective_beta < 1, "objective.effective_beta", self.effective_beta, "must be in [0, 1)")
        require(self.focal_gamma >= 0, "objective.focal_gamma", self.focal_gamma, "must not be negative")
        require(self.dropout_samples >= 1, "objective.dropout_samples", self.dropout_samples, "must be at least 1")

    def weights_like(self, loss: Tensor) -> Tensor | None:
        """Return the class weights [K] as a tensor, or None.

        Raises:
            RuntimeError: if they are still a word (see :func:`resolve_class_weights`).
        """
        if isinstance(self.class_weights, str):
            raise RuntimeError(f"class_weights {self.class_weights!r} must be resolved (see resolve_class_weights)")
        if self.class_weights is None:
            return None
        return torch.tensor(self.class_weights, dtype=loss.dtype, device=loss.device)

    def task(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each example of a single-label task.

        Args:
            logits: [B, K], float32 or wider.
            labels: [B] class ids, or [B, K] probabilities of the classes; ``IGNORED`` rows get exactly 0.

        Returns:
            [B], at least 0.
        """
        return single_label(labels).loss(logits, self)

    def terms(self, copies: Sequence[Tensor], target: Target) -> dict[str, Tensor]:
        """Return the named losses [B] whose sum is the objective; ``copies`` holds the logits of each copy.

        ``task`` is 0 on rows without a label; every other term is defined on all rows.
        """
        return {"task": target.loss(copies[0], self)}


@dataclass(frozen=True, kw_only=True)
class RDrop(CrossEntropy):
    """R-Drop: two passes under different dropout must agree.

    L_i = 1/2 [CE(p1) + CE(p2)] + alpha/2 [KL(p1||p2) + KL(p2||p1)], gradient through both sides.

    Source: Liang et al., "R-Drop: Regularized Dropout for Neural Networks" (2106.14448). The paper (and its fairseq
    RoBERTa code) takes CE(p1) + CE(p2) without the half: twice our loss at alpha is the paper's at 2 alpha. We keep the
    half so that the loss has the scale of plain cross-entropy and a learning rate carries over. The two passes are one
    forward over the batch twice; in evaluation there is one pass. The divergence is that of the task's likelihood:
    Bernoulli for several labels, the squared difference for a number, per labelled token.
    Cost: 6 units (plain training: 3). Needs dropout: without any, the two passes are equal and the term is 0.
    """

    name: Literal["rdrop"] = "rdrop"  # type: ignore[assignment]
    alpha: float = setting(1.0, "weight of the divergence between the two passes (0.5 to 5)")

    copies = 2
    label_free = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha >= 0, "objective.alpha", self.alpha, "must not be negative")

    def terms(self, copies: Sequence[Tensor], target: Target) -> dict[str, Tensor]:
        """Return ``task`` (mean over both copies) and ``rdrop`` (the weighted divergence), each [B]."""
        first, second = copies
        task = (target.loss(first, self) + target.loss(second, self)) / 2
        return {"task": task, "rdrop": self.alpha / 2 * target.symmetric_kl(first, second)}


Objective = CrossEntropy | RDrop
"""Every loss; ``name`` tells them apart in YAML and flags."""


def single_label(labels: Tensor) -> Target:
    """Return what labels [B] of a single-label task say about logits."""
    return Target(LIKELIHOODS["single-label"], labels)


def weights_per_class(objective: CrossEntropy) -> bool:
    """Whether the class weights are still a word that needs the training counts."""
    return isinstance(objective.class_weights, str)


def resolve_class_weights(objective: CrossEntropy, counts: Sequence[int], *, rows: int | None = None) -> CrossEntropy:
    """Replace ``balanced`` or ``effective-number`` by numbers for these training counts per class.

    ``balanced``: rows / (classes x count); with several labels per text, (rows - count) / count, the weight of a
    positive. ``effective-number``: (1 - beta) / (1 - beta^count), scaled to a mean of 1 over the classes.

    Args:
        objective: whose weights.
        counts: training rows (or words) of each class.
        rows: training rows in all, where a row may have several labels; None: one label each.

    Raises:
        InputError: if there are not as many weights as classes, or a class to balance has no rows.
    """
    weights = objective.class_weights
    if isinstance(weights, str):
        rule = f"needs rows of every class (rows per class: {', '.join(map(str, counts))})"
        require(all(counts), "objective.class_weights", weights, rule)
        return replace(objective, class_weights=_balanced_weights(weights, objective.effective_beta, counts, rows))
    if weights is not None:
        rule = f"must have one weight per class ({len(counts)})"
        require(len(weights) == len(counts), "objective.class_weights", weights, rule)
    return objective


def _balanced_weights(how: str, beta: float, counts: Sequence[int], rows: int | None) -> tuple[float, ...]:
    if how == "effective-number":
        raw = [(1 - beta) / (1 - beta**n) for n in counts]
        return tuple(w * len(raw) / sum(raw) for w in raw)
    if rows is not None:
        # A class that every row has would get weight 0, which is no weight at all.
        return tuple(max(rows - n, 1) / n for n in counts)
    return tuple(sum(counts) / (len(counts) * n) for n in counts)
