"""What a label is, written out for each task: one loss and one divergence per row, in plain Python loops."""

import math

import torch


def cross_entropy(logits, labels, smoothing=0.0, weights=None):
    """-w_y sum_c q_c log p_c of each row, 0 where the label is -100."""
    losses = []
    for z, y in zip(logits, labels.tolist(), strict=True):
        if y == -100:
            losses.append(z.sum() * 0)
            continue
        log_p = z - z.exp().sum().log()
        q = torch.full_like(z, smoothing / len(z))
        q[y] += 1 - smoothing
        losses.append(-(q * log_p).sum() * (1 if weights is None else weights[y]))
    return torch.stack(losses)


def binary_cross_entropy(logits, labels, smoothing=0.0, weights=None):
    """Mean over classes of -(w t log p + (1 - t) log(1 - p)) of each row, t the target moved towards 1/2."""
    losses = []
    for z, y in zip(logits, labels, strict=True):
        p, t = 1 / (1 + (-z).exp()), y * (1 - smoothing) + smoothing / 2
        w = torch.ones_like(z) if weights is None else torch.tensor(weights, dtype=z.dtype)
        losses.append(-(w * t * p.log() + (1 - t) * (1 - p).log()).sum() / len(z) * (y[0] != -100))
    return torch.stack(losses)


def squared_error(logits, labels, smoothing=0.0, weights=None):
    """(z - y)^2 of each row, 0 where there is no number."""
    rows = zip(logits, labels.tolist(), strict=True)
    return torch.stack([z.sum() * 0 if math.isnan(y) else (z[0] - y) ** 2 for z, y in rows])


def token_cross_entropy(logits, labels, smoothing=0.0, weights=None):
    """Cross-entropy of each labelled word, summed over the words of a row."""
    rows = zip(logits, labels, strict=True)
    return torch.stack([cross_entropy(z, y, smoothing, weights).sum() for z, y in rows])


LOSSES = {
    "single-label": cross_entropy,
    "multi-label": binary_cross_entropy,
    "regression": squared_error,
    "tokens": token_cross_entropy,
}


def kl(z, w):
    """sum_c p_c (log p_c - log q_c) of each row, p and q the softmax of z and w."""
    p, q = z.exp() / z.exp().sum(1, keepdim=True), w.exp() / w.exp().sum(1, keepdim=True)
    return (p * (p.log() - q.log())).sum(1)


def bernoulli_kl(z, w):
    """Mean over classes of p log(p/q) + (1-p) log((1-p)/(1-q)), p and q the sigmoid of z and w."""
    p, q = 1 / (1 + (-z).exp()), 1 / (1 + (-w).exp())
    return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean(1)


def half_squared_difference(z, w):
    """KL of two Gaussians of variance 1 around z and w."""
    return (z[:, 0] - w[:, 0]) ** 2 / 2


def divergence(task, labels):
    """The divergence of two sets of logits, per row; for tokens only where a word has a label."""

    def of_tokens(z, w):
        kept = [(a[y != -100], b[y != -100]) for a, b, y in zip(z, w, labels, strict=True)]
        return torch.stack([kl(a, b).sum() for a, b in kept])

    by_task = {"single-label": kl, "multi-label": bernoulli_kl, "regression": half_squared_difference}
    return by_task.get(task, of_tokens)


def counts(task, labels):
    """What a mean divides by: rows, or labelled words."""
    return int((labels != -100).sum()) if task == "tokens" else len(labels)


def known(task, labels):
    """How many rows have a label (tokens: all, because a word without one counts nowhere)."""
    rows = labels if task != "multi-label" else labels[:, 0]
    return len(labels) if task == "tokens" else int(((rows != -100) & (rows == rows)).sum())
