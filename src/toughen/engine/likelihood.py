"""What a label is to a loss: the likelihood behind each task, its loss and its divergences, one number per row."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from toughen.tasks import TaskName

IGNORED = -100
"""The label of a row, or of a word, without one: it joins only the terms that need no label (a word: none)."""


class LossSettings(Protocol):
    """What an objective says of the loss of a row; see :class:`toughen.engine.objectives.CrossEntropy`."""

    @property
    def label_smoothing(self) -> float:
        """Share of the target spread evenly over all classes."""

    @property
    def focal_gamma(self) -> float:
        """Exponent of focal loss; 0 is off."""

    def weights_like(self, loss: Tensor) -> Tensor | None:
        """Return the class weights [K] as a tensor of the loss's kind, or None."""


class Mixing(NamedTuple):
    """Rows mixed with partners: row i is share * row i + (1 - share) * row partner[i]."""

    share: float
    """In [0, 1]."""
    partner: Tensor
    """[B] row numbers."""

    def of(self, values: Tensor, copies: int = 1) -> Tensor:
        """Mix values [copies * B, ...], each copy of the batch within itself."""
        partner = torch.cat([self.partner + c * len(self.partner) for c in range(copies)])
        return self.share * values + (1 - self.share) * values[partner]


class Likelihood:
    """The likelihood of a label given logits.

    Every method returns one number per row, [B], that the engine sums and divides by the sum of :meth:`units`.
    """

    task: TaskName
    reads_targets: ClassVar[bool] = False
    """Whether a row of labels is more than the task's own label, such as a teacher's logits beside it."""

    def loss(self, logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
        """Return the loss of each row; exactly 0 where there is no label."""
        raise NotImplementedError

    def mixed_loss(self, logits: Tensor, labels: Tensor, mixing: Mixing, objective: LossSettings) -> Tensor:
        """Return the loss against the soft labels of mixed rows."""
        # Cross-entropy is linear in its target, so the soft label's loss is the mix of the two labels' losses.
        own, other = self.loss(logits, labels, objective), self.loss(logits, labels[mixing.partner], objective)
        return mixing.share * own + (1 - mixing.share) * other

    def kl(self, reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Return KL(reference || logits) of each row, in nats."""
        raise NotImplementedError

    def symmetric_kl(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """Return KL(first || second) + KL(second || first) of each row, in nats; gradient through both."""
        raise NotImplementedError

    def known(self, labels: Tensor) -> Tensor:
        """Return [B] bool, whether the row has a label."""
        raise NotImplementedError

    def units(self, labels: Tensor) -> Tensor:
        """Return [B] float, what each row counts for in a mean: 1, or its labelled words."""
        return torch.ones(len(labels), device=labels.device)

    def hits(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return what an accuracy counts, (right [N] bool, class ids [N], -100 = none), or None where it has none."""
        return None

    def counted(self, labels: Tensor) -> Tensor:
        """Return [N] bool, whether each answer has a label that it can be compared with."""
        return self.known(labels)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return [N] bool, whether each answer is right: a row's, or for tokens a token's; where it is counted."""
        raise NotImplementedError

    def same(self, first: Tensor, second: Tensor) -> Tensor:
        """Return [N] bool, whether two passes give the same answer."""
        raise NotImplementedError


class SingleLabel(Likelihood):
    """One class per row: soft-max. logits [B, K], labels [B] class ids or [B, K] probabilities of the classes.

    The loss of a row of probabilities is the mean of the losses of the classes, each weighted by its probability; its
    class, where one is counted, is the likeliest.
    """

    task = "single-label"

    def loss(self, logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
        """See :class:`toughen.engine.objectives.CrossEntropy`."""
        if labels.dim() == 2:
            return soft_loss(logits, labels, objective) * self.known(labels)
        smoothing = objective.label_smoothing
        loss = F.cross_entropy(logits, labels, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
        known = labels.clamp(min=0)
        if objective.focal_gamma:
            right = logits.softmax(-1).gather(-1, known.unsqueeze(-1)).squeeze(-1)
            loss = loss * focus(1 - right, objective.focal_gamma)
        weights = objective.weights_like(loss)
        return loss if weights is None else loss * weights[known]

    def kl(self, reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return kl(reference, logits)

    def symmetric_kl(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return symmetric_kl(first, second)

    def known(self, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`; a row of probabilities without a label is -100 in every class."""
        return (labels if labels.dim() == 1 else labels[:, 0]) != IGNORED

    def hits(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """See :class:`Likelihood`."""
        return self.right(logits, labels), self.classes(labels)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return logits.argmax(-1) == self.classes(labels)

    def classes(self, labels: Tensor) -> Tensor:
        """Return class ids [B], of probabilities the likeliest; -100 where there is no label."""
        return labels if labels.dim() == 1 else labels.argmax(-1).masked_fill(~self.known(labels), IGNORED)

    def same(self, first: Tensor, second: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return first.argmax(-1) == second.argmax(-1)


class MultiLabel(Likelihood):
    """Any number of K classes per row: independent Bernoullis. logits [B, K], labels [B, K] float in [0, 1].

    Loss and divergences are means over the classes, as in ``torch.nn.BCEWithLogitsLoss`` and transformers; the
    divergence of the whole row is the *sum* over classes (:func:`bernoulli_kl`). Dividing both by K keeps their ratio.
    """

    task = "multi-label"

    def loss(self, logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
        """Binary cross-entropy; smoothing moves targets towards 1/2; class weights multiply the positive part."""
        known = self.known(labels)
        target = torch.where(known.unsqueeze(-1), labels, 0).to(logits.dtype)
        smooth = target * (1 - objective.label_smoothing) + objective.label_smoothing / 2
        weights = objective.weights_like(logits)
        loss = F.binary_cross_entropy_with_logits(logits, smooth, reduction="none", pos_weight=weights)
        if objective.focal_gamma:
            p = logits.sigmoid()
            loss = loss * focus(target * (1 - p) + (1 - target) * p, objective.focal_gamma)
        return loss.mean(-1) * known

    def kl(self, reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return bernoulli_kl(reference, logits) / logits.shape[-1]

    def symmetric_kl(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return symmetric_bernoulli_kl(first, second) / first.shape[-1]

    def known(self, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`; a row without labels is -100 in every class."""
        return labels[:, 0] != IGNORED

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`; an answer is the whole set of classes whose probability is above 1/2."""
        return self.same(logits, labels - 0.5)

    def same(self, first: Tensor, second: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return ((first > 0) == (second > 0)).all(-1)


class Regression(Likelihood):
    """A number per row: squared error. logits [B, 1], labels [B] float, NaN where there is none.

    The divergences are those of unit-variance Gaussians: half the squared difference each way, so the symmetric one is
    the squared difference of the two passes.
    """

    task = "regression"

    def loss(self, logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
        """Squared error."""
        known = self.known(labels)
        return (logits.squeeze(-1) - torch.where(known, labels, 0)) ** 2 * known

    def mixed_loss(self, logits: Tensor, labels: Tensor, mixing: Mixing, objective: LossSettings) -> Tensor:
        """Squared error against the mixed number."""
        return self.loss(logits, mixing.of(labels), objective)

    def kl(self, reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (reference - logits).squeeze(-1) ** 2 / 2

    def symmetric_kl(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (first - second).squeeze(-1) ** 2

    def known(self, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return ~labels.isnan()


class Tokens(Likelihood):
    """A class per word: soft-max at each token. logits [B, T, K], labels [B, T] class ids, -100 on all other tokens.

    Sums over a row's labelled tokens, which are also what the row counts for: the engine's mean is one over tokens.
    """

    task = "tokens"

    def loss(self, logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
        """See :class:`SingleLabel`, at each labelled token."""
        per_token = SingleLabel().loss(logits.flatten(0, 1), labels.flatten(), objective)
        return per_token.view(labels.shape).sum(-1)

    def kl(self, reference: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`; tokens without a label take no part."""
        return (kl(reference, logits) * (labels != IGNORED)).sum(-1)

    def symmetric_kl(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`; tokens without a label take no part."""
        return (symmetric_kl(first, second) * (labels != IGNORED)).sum(-1)

    def known(self, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (labels != IGNORED).any(-1)

    def units(self, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (labels != IGNORED).sum(-1).float()

    def hits(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """See :class:`Likelihood`."""
        return self.right(logits, labels), labels.flatten()

    def counted(self, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (labels != IGNORED).flatten()

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (logits.argmax(-1) == labels).flatten()

    def same(self, first: Tensor, second: Tensor) -> Tensor:
        """See :class:`Likelihood`."""
        return (first.argmax(-1) == second.argmax(-1)).flatten()


LIKELIHOODS: dict[TaskName, Likelihood] = {c.task: c() for c in (SingleLabel, MultiLabel, Regression, Tokens)}


class Target:
    """The labels of one micro-batch, and what they say about logits."""

    def __init__(self, likelihood: Likelihood, labels: Tensor, mixing: Mixing | None = None) -> None:
        self.likelihood, self.labels, self.mixing = likelihood, labels, mixing

    def loss(self, logits: Tensor, objective: LossSettings) -> Tensor:
        """Return the task loss [B] of logits [B, ...]."""
        if self.mixing is None:
            return self.likelihood.loss(logits, self.labels, objective)
        return self.likelihood.mixed_loss(logits, self.labels, self.mixing, objective)

    def kl(self, reference: Tensor, logits: Tensor) -> Tensor:
        """Return KL(reference || logits) of each row, [B]."""
        return self.likelihood.kl(reference, logits, self.labels)

    def symmetric_kl(self, first: Tensor, second: Tensor) -> Tensor:
        """Return KL(first || second) + KL(second || first) of each row, [B]; gradient through both."""
        return self.likelihood.symmetric_kl(first, second, self.labels)


def soft_loss(logits: Tensor, labels: Tensor, objective: LossSettings) -> Tensor:
    """Return the mean of the losses of every class, weighted by the row's probabilities: [B].

    Args:
        logits: [B, K].
        labels: [B, K] probabilities.
        objective: what the loss of one class is.
    """
    log_p, smoothing = logits.log_softmax(-1), objective.label_smoothing
    losses = -((1 - smoothing) * log_p + smoothing * log_p.mean(-1, keepdim=True))
    if objective.focal_gamma:
        losses = losses * focus(1 - log_p.exp(), objective.focal_gamma)
    weights = objective.weights_like(losses)
    return (labels.to(losses.dtype) * (losses if weights is None else losses * weights)).sum(-1)


def focus(wrong: Tensor, gamma: float) -> Tensor:
    """Return wrong^gamma, the factor of the focal loss; ``wrong`` is 1 - p of the right class."""
    # At exactly 0 (float32: a margin of 17 logits) a gamma below 1 has an infinite slope, and inf * 0 is NaN.
    return wrong.clamp(min=1e-8) ** gamma


def kl(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(softmax(reference) || softmax(logits)), in nats: [..., K], [..., K] -> [...]."""
    log_p, log_q = reference.log_softmax(-1), logits.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    """KL(p||q) + KL(q||p) of soft-maxes, in nats: [..., K], [..., K] -> [...]; gradient through both."""
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def bernoulli_kl(reference: Tensor, logits: Tensor) -> Tensor:
    """Sum over classes of KL(Bernoulli(sigmoid(reference)) || Bernoulli(sigmoid(logits))): [..., K] -> [...]."""
    p = reference.sigmoid()
    positive = p * (F.logsigmoid(reference) - F.logsigmoid(logits))
    negative = (1 - p) * (F.logsigmoid(-reference) - F.logsigmoid(-logits))
    return (positive + negative).sum(-1)


def symmetric_bernoulli_kl(first: Tensor, second: Tensor) -> Tensor:
    """Sum over classes of both directions of :func:`bernoulli_kl`: [..., K] -> [...]; gradient through both."""
    # (p - q)(log p/q - log (1-p)/(1-q)), and log p/(1-p) is the logit.
    return ((first.sigmoid() - second.sigmoid()) * (first - second)).sum(-1)
