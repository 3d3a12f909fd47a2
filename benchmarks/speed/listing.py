"""What the S0 listing computes, written down plainly, with its hook firing: R-Drop, PGD-3 on the table, EMA.

R-Drop runs two forwards; the attack writes into the embedding table, one norm over all of it; every one of its passes
goes through the whole R-Drop loss and computes all weight gradients; gradients and table are copied and put back; the
average is a loop over a dict. 4 passes of 2 copies, forward and backward: 24 units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from models import Batch
from sides import CLIP, make_optimizer
from torch import Tensor


class Pgd:
    """The attack on the table, with copies of the table and of all gradients."""

    def __init__(self, model: Any, radius: float, step_size: float) -> None:
        self.model, self.radius, self.step_size = model, radius, step_size
        self.table = model.get_input_embeddings().weight
        self.kept_table: Tensor | None = None
        self.kept_gradients: dict[str, Tensor] = {}

    def attack(self, first: bool) -> None:
        """Move the table uphill and pull it back into the ball."""
        if first:
            self.kept_table = self.table.data.clone()
        norm = torch.norm(self.table.grad)
        if norm != 0 and torch.isfinite(norm):
            self.table.data.add_(self.step_size * self.table.grad / norm)
            moved = self.table.data - self.kept_table
            if torch.norm(moved) > self.radius:
                moved = self.radius * moved / torch.norm(moved)
            self.table.data = self.kept_table + moved

    def restore(self) -> None:
        """Put the table back."""
        self.table.data = self.kept_table
        self.kept_table = None

    def keep_gradients(self) -> None:
        self.kept_gradients = {n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None}

    def restore_gradients(self) -> None:
        for name, parameter in self.model.named_parameters():
            if name in self.kept_gradients:
                parameter.grad = self.kept_gradients[name]


class Ema:
    """The average: a dict of copies, updated one by one; ``warmup`` lets the decay grow, min(decay, (1+n)/(10+n))."""

    def __init__(self, model: Any, decay: float, warmup: bool = False) -> None:
        self.model, self.decay, self.warmup, self.updates = model, decay, warmup, 0
        self.shadow = {name: p.data.clone() for name, p in model.named_parameters() if p.requires_grad}

    def update(self) -> None:
        self.updates += 1
        n = self.updates
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                self.shadow[name] = (1.0 - decay) * parameter.data + decay * self.shadow[name].clone()

    def copy_to_model(self) -> None:
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                parameter.data = self.shadow[name].clone()


class Listing:
    """One training step after the other."""

    def __init__(
        self,
        model: Any,
        batches: Sequence[Batch],
        precision: str = "fp32",
        *,
        alpha: float = 5.0,
        smoothing: float = 0.1,
        radius: float = 1.0,
        step_size: float = 0.3,
        steps: int = 3,
        warmup: bool = False,
        optimizer: Any = None,
    ) -> None:
        self.model, self.batches = model, batches
        self.alpha, self.smoothing, self.steps = alpha, smoothing, steps
        self.attack = Pgd(model, radius, step_size)
        self.average = Ema(model, 0.999, warmup)
        self.optimizer, self.schedule = optimizer or make_optimizer(model)
        self.device = next(model.parameters()).device.type
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.scaler = torch.amp.GradScaler(self.device, enabled=precision == "fp16")
        self.passes = 0

    def logits(self, batch: Batch) -> Tensor:
        self.passes += 1
        with torch.autocast(self.device, dtype=self.dtype, enabled=self.dtype is not None):
            output = self.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        logits: Tensor = output.logits
        return logits if logits.dtype == torch.float64 else logits.float()

    def loss(self, batch: Batch) -> Tensor:
        """Return S0's loss: half of both cross-entropies and alpha halves of both divergences, means over the batch."""
        first, second = self.logits(batch), self.logits(batch)
        labels = batch["labels"]
        entropies = [F.cross_entropy(z, labels, label_smoothing=self.smoothing) for z in (first, second)]
        forward = F.kl_div(F.log_softmax(first, -1), F.softmax(second, -1), reduction="batchmean")
        backward = F.kl_div(F.log_softmax(second, -1), F.softmax(first, -1), reduction="batchmean")
        return 0.5 * (entropies[0] + entropies[1]) + self.alpha * 0.5 * (forward + backward)

    def gradients(self, batch: Batch) -> None:
        """Leave the clean and the last adversarial gradient, added, in ``.grad``."""
        self.scaler.scale(self.loss(batch)).backward()
        self.attack.keep_gradients()
        for k in range(self.steps):
            self.attack.attack(first=k == 0)
            if k < self.steps - 1:
                self.model.zero_grad()
            else:
                self.attack.restore_gradients()
            self.scaler.scale(self.loss(batch)).backward()
        self.attack.restore()

    def __call__(self, i: int) -> None:
        """Train on batch i."""
        self.gradients(self.batches[i % len(self.batches)])
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.average.update()
