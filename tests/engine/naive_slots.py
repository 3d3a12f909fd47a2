"""Naive loops, continued: smoothness, weight space and changed inputs, one obvious line after the other."""

import torch
from scipy.stats import beta
from torch.autograd import grad
from torch.nn.attention import SDPBackend, sdpa_kernel

# ---- smoothness


def smart(loop, *, radius, start_size, step_size, steps=1, weight=1.0, bregman=0.0, teacher=None, frozen=False):
    """Smoothness in a box and, with a ``teacher`` (another model), a proximal term."""
    radius, start_size, step_size = radius * loop.unit, start_size * loop.unit, step_size * loop.unit
    delta = loop.noise("normal", loop.zero()) * start_size * loop.mask.unsqueeze(-1)
    delta = delta.clamp(-radius, radius)
    loop.rng = torch.get_rng_state() if frozen else None

    def symmetric(z, w):
        return loop.kl(z, w) + loop.kl(w, z)

    if loop.alpha is None:
        clean = loop.logits()
        task = loop.ce(clean)
    else:
        task = loop.objective()
        clean = loop.logits()
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (g,) = grad(symmetric(clean.detach(), loop.logits(delta)).sum(), delta)
        delta = (delta.detach() + step_size * loop.direction(g, "max")).clamp(-radius, radius)
    total = task + weight * symmetric(clean, loop.logits(delta))
    if bregman:
        student, loop.model = loop.model, teacher
        with torch.no_grad():
            there = loop.logits()
        loop.model = student
        total = total + bregman * symmetric(clean, there)
    return loop.learn(total)


def rat(loop, *, radius, alpha=1.0, detached=False):
    """Half the clean loss, half the adversarial one, and the divergence between them."""
    delta = loop.zero().requires_grad_()
    clean = loop.logits(delta)
    (g,) = grad(loop.ce(clean).sum(), delta, retain_graph=True)
    delta = radius * loop.unit * loop.direction(g, "l2")
    moved = loop.logits(delta)
    other = clean.detach() if detached else clean
    divergence = loop.kl(other, moved) + loop.kl(moved, other)
    return loop.learn((loop.ce(clean) + loop.ce(moved)) / 2 + alpha / 2 * divergence)


def gradient_penalty(loop, *, radius):
    """The loss and half the squared gradient of each row's own loss, row by row."""
    delta = loop.zero().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
        losses = loop.objective(delta)
    (g,) = grad(losses.sum(), delta, create_graph=True)
    penalty = torch.stack([row.pow(2).sum() for row in g * loop.mask.unsqueeze(-1)])
    # of each row's own loss: loop.ce has scaled it to a mean over the labelled rows
    penalty = penalty * loop.known / len(loop.labels)
    factor = 0.0 if loop.still else radius * loop.unit**2 / 2
    return loop.learn(losses + factor * penalty)


# ---- weight space


def sam(loop, *, radius):
    return at_moved_weights(loop, lambda w, g, all_g: radius * g / size(all_g), clean=False)


def asam(loop, *, radius, eta):
    start = {name: p.detach().clone() for name, p in loop.model.named_parameters()}

    def move(w, g, all_g):
        stretched = size({name: (start[name].abs() + eta) * g for name, g in all_g.items()})
        return radius * (w.abs() + eta) ** 2 * g / stretched

    return at_moved_weights(loop, move, clean=False)


def awp(loop, *, radius, radius_unit="relative", only="weight", clean=True):
    def move(w, g, all_g):
        relative = radius * w.norm() * g / g.norm() if g.norm() > 0 else g
        return relative if radius_unit == "relative" else radius * g / size(all_g)

    return at_moved_weights(loop, move, clean=clean, only=only)


def size(tensors):
    return sum(float(t.pow(2).sum()) for t in tensors.values()) ** 0.5


def at_moved_weights(loop, move, *, clean, only=""):
    """Gradient here, a move of the weights whose name contains ``only``, gradient there, and back."""
    parameters = dict(loop.model.named_parameters())
    before = {name: p.detach().clone() for name, p in parameters.items()}
    total = loop.learn(loop.objective())
    first = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    chosen = {name: g for name, g in first.items() if only in name}
    for name, g in chosen.items():
        if not loop.still:
            parameters[name].data += move(before[name], g, chosen)
    if not clean:
        total = 0.0
        loop.model.zero_grad()
    total = total + loop.learn(loop.objective())
    for name, p in parameters.items():
        p.data.copy_(before[name])
    return total


# ---- inputs


def neftune(alpha):
    """Noise U(-1, 1) alpha / sqrt(tokens x width) on each row's own tokens, drawn pass by pass."""

    def change(output, loop):
        out = output.clone()
        keep = loop.inputs["attention_mask"].bool()
        copies = len(output) // len(keep)
        for c in range(copies):
            drawn = loop.noise("uniform", output[c * len(keep) : (c + 1) * len(keep)])
            for i in range(len(keep)):
                tokens = int(keep[i].sum())
                scale = alpha / (tokens * output.shape[2]) ** 0.5
                out[c * len(keep) + i][keep[i]] += scale * drawn[i][keep[i]]
        return out

    return change


class Mixed:
    """Rows blended with partners; to be given to a loop as ``mixing(loop)`` before its passes."""

    def __init__(self, alpha):
        self.alpha = alpha

    def __call__(self, loop):
        quantile = (float(loop.noise("uniform", torch.zeros((), dtype=torch.float64))) + 1) / 2
        self.share = float(beta.ppf(quantile, self.alpha, self.alpha))
        keys = loop.noise("uniform", torch.zeros(len(loop.labels), dtype=torch.float64)).tolist()
        self.partner = sorted(range(len(keys)), key=keys.__getitem__)
        own = loop.inputs["attention_mask"]
        union = torch.stack([own[i] | own[j] for i, j in enumerate(self.partner)])
        if loop.model.config.model_type == "roberta":
            # From 2 on; the padding's position is 1. Where a row has no token, its partner's token stands at its own.
            counted = [[n + 1 if token else 0 for n, token in enumerate(row, start=1)] for row in own.tolist()]
            pairs = [zip(counted[i], counted[j], strict=True) for i, j in enumerate(self.partner)]
            loop.inputs["position_ids"] = torch.tensor([[a or b or 1 for a, b in pair] for pair in pairs])
        loop.inputs["attention_mask"], loop.mask = union, union.bool()
        loop.change = self.change
        losses, labels = loop.losses, loop.labels

        def soft(logits, _labels, smoothing, weights):
            if labels.is_floating_point():  # one target, blended
                return losses(logits, self.blend(labels), smoothing, weights)
            mine, other = (losses(logits, y, smoothing, weights) for y in (labels, labels[self.partner]))
            return self.share * mine + (1 - self.share) * other

        loop.losses = soft
        return loop

    def blend(self, rows):
        mixed = [self.share * rows[i] + (1 - self.share) * rows[j] for i, j in enumerate(self.partner)]
        return torch.stack(mixed)

    def change(self, output, loop):
        return torch.cat([self.blend(part) for part in output.split(len(self.partner))])
