"""A tiny model under an engine with all randomness injected as a function of each row's own content."""

import zlib
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn

from contract.table import ADVERSARIES, AVERAGES, INPUTS, OBJECTIVES
from engine.models import BOS, EOS, gradients, tiny
from toughen.engine.engine import Engine
from toughen.engine.radius import AutoRadius
from toughen.engine.weight_average import make_average

P = 0.2
SHARE = -0.2
"""What mixup draws for the quantile of its share."""
STEPS = 4
"""Optimiser steps of the longest training here, by which SWA reckons."""


class FeatureDropout(nn.Dropout):
    """Dropout whose mask depends on (module, copy of the batch, draw in this pass, feature) alone: not on the row.

    Under R-Drop the two copies draw different masks, so that its divergence is not 0; so do dropout samples.
    """

    def __init__(self, index, injected):
        super().__init__(P)
        self.index, self.injected = index, injected
        self.draw, self.drawn_in = 0, None

    def forward(self, hidden):
        if not self.training:
            return hidden
        copies = self.injected.copies
        self.draw = self.draw + 1 if self.drawn_in == self.injected.passes else 0
        self.drawn_in = self.injected.passes
        seeds = [1000 * self.draw + self.index * 2 + copy for copy in range(copies)]
        masks = [_feature_mask(seed, hidden.shape[-1]).to(hidden.dtype) for seed in seeds]
        return torch.cat([part * mask for part, mask in zip(hidden.chunk(copies), masks, strict=True)])


@cache
def _feature_mask(seed, width):
    generator = torch.Generator().manual_seed(100 + seed)
    return (torch.rand(width, generator=generator, dtype=torch.float64) >= P) / (1 - P)


class Injected:
    """The randomness of one model: replaces its dropout, and is the engine's source of random starts."""

    def __init__(self, model):
        self.copies, self.passes = 1, 0
        spots = [
            (module, name)
            for module in model.modules()
            for name, child in module.named_children()
            # The attention reads only the probability of its dropout module, which stays 0.
            if isinstance(child, nn.Dropout) and not type(module).__name__.endswith("SelfAttention")
        ]
        for index, (module, name) in enumerate(spots):
            setattr(module, name, FeatureDropout(index, self))
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def about(self, batch):
        """Make the next draws those of this batch's rows."""
        keep = batch["attention_mask"].bool()
        self.ids = batch["input_ids"]
        self.rows = [tuple(row[kept].tolist()) for row, kept in zip(batch["input_ids"], keep, strict=True)]
        self.where = keep

    def __call__(self, kind, like):
        noise = torch.zeros(like.shape, dtype=torch.float64)
        if like.dim() == 0:  # the share of mixup
            return noise.fill_(SHARE).to(like.dtype)
        if like.dim() == 1:  # its random order of the rows
            keys = [_draw(kind, words, 1)[0, 0] for words in self.rows]
            return torch.stack(keys).to(like.dtype)
        if like.dim() == 2:  # the table of scope: vocabulary: one row per distinct id, in order
            for row, token in enumerate(self.ids.unique().tolist()):
                noise[row] = _draw(kind, (token,), like.shape[-1])[0]
        else:
            for row, (words, kept) in enumerate(zip(self.rows, self.where, strict=True)):
                noise[row, kept] = _draw(kind, words, like.shape[-1])
        return noise.to(like.dtype)

    def _count(self, module, _args, inputs):
        if module.training:
            self.passes += 1
            self.copies = len(inputs["input_ids"]) // len(self.rows)


@cache
def _draw(kind, words, width):
    generator = torch.Generator().manual_seed(zlib.crc32(repr((kind, words)).encode()))
    draw = torch.randn if kind == "normal" else torch.rand
    noise = draw(len(words), width, generator=generator, dtype=torch.float64)
    return noise if kind == "normal" else noise * 2 - 1


class Bench:
    """A model with an engine: ``gradients(batch, batch, ...)`` is one optimiser step's worth of micro-batches."""

    def __init__(
        self, objective="cross-entropy", adversary="none", inputs="none", average="none", task="single-label", *,
        dtype=torch.float64, wrap=None, steps=STEPS, **engine,
    ):  # fmt: skip
        self.model = tiny("bert", dtype=dtype, task=task, labels=1 if task == "regression" else 3)
        self.injected = Injected(self.model)
        self.wrapped = self.model if wrap is None else wrap(self.model)
        self.average = AVERAGES[average] and make_average(AVERAGES[average], self.model, total_steps=steps)
        self.engine = Engine(
            self.wrapped,
            OBJECTIVES[objective],
            ADVERSARIES[adversary],
            inputs=INPUTS[inputs],
            average=self.average,
            task=task,
            noise=self.injected,
            special_ids=(BOS, EOS),
            **engine,
        )

    def backward(self, batch, **reduction):
        """Run one micro-batch."""
        self.injected.about(batch)
        return self.engine.backward(batch, **reduction)

    def step(self, optimizer, **settings):
        """Take an optimiser step; the average follows it."""
        taken = self.engine.step(optimizer, **settings)
        if self.average is not None and taken:
            self.average.update()
        return taken

    def accumulate(self, batches, **reduction):
        """Run the micro-batches of one optimiser step; return the sum of their losses."""
        last = len(batches) - 1
        return sum(self.backward(b, sync=i == last, **reduction) for i, b in enumerate(batches))

    def gradients(self, *batches, **reduction):
        """Return the gradients of one optimiser step; a radius that adjusts itself is where it starts."""
        self.model.zero_grad()
        if self.engine.radius is not None:
            self.engine.radius = AutoRadius(self.engine.adversary.label_free)
        self.accumulate(batches, **reduction)
        return gradients(self.model)

    @contextmanager
    def deltas(self, monkeypatch):
        """Collect the perturbations that teach (FreeLB: several in a step)."""
        found = []
        cls = type(self.engine.adversary)
        term = cls.term

        def spy(adversary, step, delta):
            found.append(delta.detach())
            return term(adversary, step, delta)

        with monkeypatch.context() as patch:
            patch.setattr(cls, "term", spy)
            yield found


def pick(batch, rows, *, width=None):
    """Return these rows of a batch, padded to the longest of them or to ``width``."""
    rows = list(rows)
    mask = batch["attention_mask"][rows]
    width = width or int(mask.sum(1).max())
    part = {name: value[rows] for name, value in batch.items()}
    by_token = batch["labels"].shape == batch["input_ids"].shape
    for name, filler in (("input_ids", 0), ("attention_mask", 0), *([("labels", -100)] if by_token else [])):
        part[name] = nn.functional.pad(part[name], (0, max(0, width - part[name].shape[1])), value=filler)[:, :width]
    return part


def total(batch):
    """Return what a batch counts for: its rows, or its labelled words."""
    labels = batch["labels"]
    return float((labels != -100).sum() if labels.shape == batch["input_ids"].shape else len(labels))


def norm(tensors):
    """Return the L2 norm over a dict of tensors."""
    return float(torch.stack([t.double().norm() for t in tensors.values()]).norm())


def relative_difference(first, second):
    """Return ||first - second|| / ||second||."""
    return norm({name: first[name] - second[name] for name in first}) / norm(second)
