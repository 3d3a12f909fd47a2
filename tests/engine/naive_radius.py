"""A training whose adversary's lengths follow the answers that it turns: plain floats, rows counted one by one."""

import math
import statistics

import torch

from engine import naive


class Heard(naive.Loop):
    """A loop that remembers the logits of its passes, in order."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.passes = []

    def logits(self, delta=None, copy=0):
        found = super().logits(delta, copy)
        self.passes.append(found.detach())
        return found


def answer(task, z):
    """What a row answers (tokens: a word)."""
    return tuple(bool(x > 0) for x in z) if task == "multi-label" else max(range(len(z)), key=lambda c: float(z[c]))


def right(task, z, y):
    if task == "multi-label":
        return answer(task, z) == tuple(bool(x == 1) for x in y)
    return answer(task, z) == int(y)


def words(task, logits, labels):
    """Pairs of logits and label: of rows, or of labelled words."""
    if task != "tokens":
        return list(zip(logits, labels, strict=True))
    pairs = [pair for row in zip(logits, labels, strict=True) for pair in zip(*row, strict=True)]
    return [(z, y) for z, y in pairs if int(y) != -100]


def share_turned(task, first, last, labels, label_free):
    """f of one step, None where nothing can be turned."""
    before, after = words(task, first, labels), words(task, last, labels)
    if task == "regression":
        rows = [(float((z[0] - y) ** 2), float((w[0] - y) ** 2)) for (z, y), (w, _) in zip(before, after, strict=True)]
        bound = statistics.median(a for a, _ in rows)
        turned = [b - a > bound for a, b in rows]
    elif label_free:
        turned = [answer(task, z) != answer(task, w) for (z, _), (w, _) in zip(before, after, strict=True)]
    else:
        both = zip(before, after, strict=True)
        turned = [not right(task, w, y) for (z, y), (w, _) in both if right(task, z, y)]
    return sum(turned) / len(turned) if turned else None


def train(model, batches, climb, settings, *, label_free, task="single-label", rate, **parts):
    """Train with SGD; return the scale and the smoothed share after each step.

    ``climb``: a naive loop. ``settings``: its arguments; every length among them is at the default radius.
    """
    lengths = {"radius", "step_size", "start_size", "probe_size"}
    scale, smoothed, history = 0.3, None, []
    for batch in batches:
        loop = Heard(model, batch, task=task, relative=parts["unit"], noise=parts["noise"])
        factor = scale / 0.2
        climb(loop, **{name: value * factor if name in lengths else value for name, value in settings.items()})
        f = share_turned(task, loop.passes[0], loop.passes[-1], batch["labels"], label_free)
        if f is not None:
            smoothed = f if smoothed is None else 0.8 * smoothed + 0.2 * f
            scale = min(4.0, max(0.02, scale * math.exp(0.09 * (0.2 - smoothed) / 0.2)))
        history.append((scale, smoothed, f))
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 0 if weight.grad is None else rate * weight.grad
                weight.grad = None
    return history
