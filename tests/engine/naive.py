"""The naive loops: each recipe as an article would write it, in float64, one obvious line after the other.

Nothing here comes from the product. Losses are written out with their formulas, R-Drop is two separate forwards,
norms are taken example by example in a Python loop, and the vocabulary scope really writes the perturbation into the
embedding table and restores it, as the well-known `attack()` / `restore()` classes do.
"""

from contextlib import contextmanager, nullcontext

import torch
from torch.autograd import grad

from engine import naive_tasks

SITES = {
    "bert": lambda m: m.bert.encoder.layer,
    "roberta": lambda m: m.roberta.encoder.layer,
    "distilbert": lambda m: m.distilbert.transformer.layer,
    "electra": lambda m: m.electra.encoder.layer,
    "deberta": lambda m: m.deberta.encoder.layer,
    "modernbert": lambda m: m.model.layers,
    "gpt2": lambda m: m.transformer.h,
}
"""The encoder layers of each family, by name."""


def mean_row(embedding):
    """The mean L2 norm of the rows of an embedding table."""
    norms = [float(row.pow(2).sum().sqrt()) for row in embedding.weight.detach()]
    return sum(norms) / len(norms)


class Loop:
    """One batch, one model, one objective: how to run a pass, and how to send a loss back."""

    def __init__(
        self, model, batch, *, smoothing=0.0, weights=None, alpha=None, pin=None, merged=False, site=None, special=(),
        relative=False, noise=None, still=False, task="single-label", change=None,
    ):  # fmt: skip
        """`task`: see naive_tasks. `change`: what happens to the embeddings of a pass, (output, loop) -> output.

        `alpha`: R-Drop. `merged`: its two copies in one forward (with real dropout). `still`: the canary, delta = 0.

        `relative`: lengths are in units of the mean embedding row, as it is now (True) or was (a number).
        """
        self.model, self.labels = model, batch["labels"]
        self.inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        self.smoothing, self.weights, self.alpha = smoothing, weights, alpha
        self.losses, self.kl = naive_tasks.LOSSES[task], naive_tasks.divergence(task, self.labels)
        self.counts = naive_tasks.counts(task, self.labels)
        self.known = naive_tasks.known(task, self.labels)
        self.change = change
        self.pin, self.merged, self.still, self.noise = pin, merged, still, noise
        self.embedding = model.get_input_embeddings()
        self.site = site or self.embedding
        ids = batch["input_ids"]
        self.mask = batch["attention_mask"].bool() & torch.tensor([[int(i) not in special for i in row] for row in ids])
        self.unit = {False: 1.0, True: mean_row(self.embedding)}.get(relative, relative)
        self.rng = None

    # passes

    @contextmanager
    def hook(self, delta):
        """Add delta to the output of the site, by the plainest hook there is."""

        def add(_module, _inputs, output):
            moved = (output[0] if isinstance(output, tuple) else output) + (delta * 0 if self.still else delta)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        def change(_module, _inputs, output):
            return self.change(output, self)

        handles = [self.embedding.register_forward_hook(change)] if self.change else []
        handles += [self.site.register_forward_hook(add)] if delta is not None else []
        yield
        for handle in handles:
            handle.remove()

    def logits(self, delta=None, copy=0):
        if self.rng is not None:
            torch.set_rng_state(self.rng)
        with self.hook(delta), self.pin.copy(copy) if self.pin else nullcontext():
            return self.model(**self.inputs).logits

    def two(self, delta):
        if not self.merged:
            return self.logits(delta, copy=0), self.logits(delta, copy=1)
        doubled = {name: torch.cat([value, value]) for name, value in self.inputs.items()}
        if self.rng is not None:
            torch.set_rng_state(self.rng)
        with self.hook(None if delta is None else torch.cat([delta, delta])):
            return self.model(**doubled).logits.chunk(2)

    # losses, one number per row

    def ce(self, logits):
        """The task loss, a mean over the rows that have a label where other terms run over all rows."""
        return self.losses(logits, self.labels, self.smoothing, self.weights) * len(self.labels) / self.known

    def task(self, delta=None):
        return self.ce(self.logits(delta))

    def objective(self, delta=None):
        if self.alpha is None:
            return self.task(delta)
        z1, z2 = self.two(delta)
        return (self.ce(z1) + self.ce(z2)) / 2 + self.alpha / 2 * (self.kl(z1, z2) + self.kl(z2, z1))

    def loss(self, which, delta=None):
        return self.objective(delta) if which == "objective" else self.task(delta)

    def learn(self, loss):
        """loss.backward() of the mean over rows (tokens: over labelled words)."""
        mean = loss.sum() / self.counts
        mean.backward()
        return mean.detach()

    # geometry, example by example

    def direction(self, g, kind):
        out = torch.zeros_like(g)
        g = g * self.mask.unsqueeze(-1)  # padding takes no part in the norm either
        for i in range(len(g)):
            size = {"l2": g[i].pow(2).sum().sqrt(), "max": g[i].abs().max(), "sign": 1.0}[kind]
            if size > 0:
                out[i] = g[i].sign() if kind == "sign" else g[i] / size
        return out

    def project(self, delta, radius, norm):
        out = delta.clone()
        for i in range(len(delta)):
            if norm == "linf":
                out[i] = delta[i].clamp(-radius, radius)
            elif delta[i].pow(2).sum().sqrt() > radius:
                out[i] = delta[i] * radius / delta[i].pow(2).sum().sqrt()
        return out

    def width(self):
        return self.embedding.weight.shape[1] if self.site is self.embedding else self.model.config.hidden_size

    def zero(self):
        return torch.zeros(*self.mask.shape, self.width(), dtype=torch.float64)

    def random_start(self, size, norm):
        start = self.noise("uniform", self.zero()) * size
        for i in range(len(start)):
            start[i] *= self.mask[i].unsqueeze(-1)
            if norm == "l2":
                start[i] /= (max(1, int(self.mask[i].sum())) * start.shape[2]) ** 0.5
        return start


def plain(loop):
    return loop.learn(loop.objective())


def single_step(loop, *, radius, weight=1.0, loss="objective", kind="l2"):
    """FGM (l2) and FGSM (sign): clean loss, then the loss one step up its gradient; both gradients add."""
    delta = loop.zero().requires_grad_()
    clean = loop.objective(delta)
    (g,) = grad(clean.sum(), delta, retain_graph=True)
    total = loop.learn(clean)
    delta = radius * loop.unit * loop.direction(g, kind)
    return total + loop.learn(weight * loop.loss(loss, delta))


def fgm(loop, **settings):
    return single_step(loop, kind="l2", **settings)


def fgsm(loop, **settings):
    return single_step(loop, kind="sign", **settings)


def pgd(
    loop, *, radius, step_size, steps, norm="l2", start="zero", clean=True, search_loss="task", loss="objective",
    weight=1.0,
):  # fmt: skip
    radius, step_size, kind = radius * loop.unit, step_size * loop.unit, "l2" if norm == "l2" else "sign"
    delta = loop.zero() if start == "zero" else loop.random_start(radius, norm)
    total, g = 0.0, None
    if clean:
        at = torch.zeros_like(delta).requires_grad_()
        losses = loop.objective(at)
        if start == "zero":
            (g,) = grad(losses.sum(), at, retain_graph=True)
        total = loop.learn(losses)
    for _ in range(steps):
        if g is None:
            delta = delta.detach().requires_grad_()
            (g,) = grad(loop.loss(search_loss, delta).sum(), delta)
        delta = loop.project(delta.detach() + step_size * loop.direction(g, kind), radius, norm)
        g = None
    return total + loop.learn(weight * loop.loss(loss, delta))


def freelb(loop, *, radius, step_size, steps, start_size, norm="l2"):
    delta, total = loop.random_start(start_size * loop.unit, norm), 0.0
    for k in range(steps):
        delta = delta.detach().requires_grad_()
        # Scaled before the gradient is taken: ModernBERT rotates in float32, so its rounding depends on the scale.
        losses = loop.objective(delta) / steps
        (g,) = grad(losses.sum(), delta, retain_graph=True)
        total = total + loop.learn(losses)
        if k < steps - 1:
            delta = delta.detach() + step_size * loop.unit * loop.direction(g, "l2" if norm == "l2" else "max")
            delta = loop.project(delta, radius * loop.unit, norm) if radius else delta
    return total


def vat(loop, *, radius, probe_size, steps=1, weight=1.0, frozen=False):
    """`frozen`: all passes from the same state of the global generator, so that they draw the same dropout."""
    loop.rng = torch.get_rng_state() if frozen else None
    delta = probe_size * loop.unit * loop.direction(loop.noise("normal", loop.zero()), "l2")
    if loop.alpha is None:  # one copy: the clean pass is the reference
        clean = loop.logits()
        total, reference = loop.learn(loop.ce(clean)), clean.detach()
    else:
        total = loop.learn(loop.objective())
        with torch.no_grad():
            reference = loop.logits()
    for k in range(steps):
        delta = delta.detach().requires_grad_()
        (g,) = grad(loop.kl(reference, loop.logits(delta)).sum(), delta)
        delta = (radius if k == steps - 1 else probe_size) * loop.unit * loop.direction(g, "l2")
    return total + loop.learn(weight * loop.kl(reference, loop.logits(delta)))


class Table:
    """`scope: vocabulary` as in the listings: the perturbation is written into the embedding table itself."""

    def __init__(self, loop):
        self.loop = loop
        self.weight = loop.embedding.weight
        self.backup = self.weight.data.clone()
        ids, padding = loop.inputs["input_ids"], loop.embedding.padding_idx
        self.ids = sorted({int(i) for i in ids[loop.mask]} - {padding})
        self.all_ids = sorted({int(i) for i in ids.flatten()})
        self.shape = (ids.numel(), self.weight.shape[1])

    def gradient(self, losses, retain=False):
        (g,) = grad(losses.sum(), self.weight, retain_graph=retain)
        kept = torch.zeros_like(g)
        kept[self.ids] = g[self.ids]
        return kept

    def start(self, size, norm):
        """A random start, drawn for the distinct ids of the batch in ascending order."""
        drawn, start = self.loop.noise("uniform", torch.zeros(self.shape, dtype=torch.float64)), self.zero()
        for row, i in enumerate(self.all_ids):
            if i in self.ids:
                start[i] = drawn[row] * size / ((len(self.ids) * self.shape[1]) ** 0.5 if norm == "l2" else 1)
        return start

    def zero(self):
        return torch.zeros_like(self.backup)

    def write(self, delta):
        if not self.loop.still:
            self.weight.data.copy_(self.backup + delta)

    def restore(self):
        self.weight.data.copy_(self.backup)


def project_table(delta, radius, norm):
    if norm == "linf":
        return delta.clamp(-radius, radius)
    size = delta.pow(2).sum().sqrt()
    return delta * radius / size if size > radius else delta


def pgd_table(
    loop, *, radius, step_size, steps, norm="l2", start="zero", clean=True, search_loss="task", loss="objective",
    weight=1.0,
):  # fmt: skip
    table, radius, step_size = Table(loop), radius * loop.unit, step_size * loop.unit
    delta = table.zero() if start == "zero" else table.start(radius, norm)
    total, g = 0.0, None
    if clean:
        losses = loop.objective()
        g = table.gradient(losses, retain=True) if start == "zero" else None
        total = loop.learn(losses)
    for _ in range(steps):
        if g is None:
            table.write(delta)
            g = table.gradient(loop.loss(search_loss))
        size = g.pow(2).sum().sqrt()
        step = g.sign() if norm == "linf" else (g / size if size > 0 else g)
        delta = project_table(delta + step_size * step, radius, norm)
        g = None
    table.write(delta)
    total = total + loop.learn(weight * loop.loss(loss))
    table.restore()
    return total


def fgm_table(loop, *, radius, **settings):
    return pgd_table(loop, radius=radius, step_size=radius, steps=1, **settings)


def fgsm_table(loop, *, radius, **settings):
    return pgd_table(loop, radius=radius, step_size=radius, steps=1, norm="linf", **settings)
