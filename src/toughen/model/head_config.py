"""The head slot: how the tokens become one vector, and how much of the pretrained model learns with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toughen.settings import require, setting

Pooling = Literal["auto", "model", "cls", "mean", "attention", "last4"]


Bias = Literal["auto", "zero", "base-rate"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """How the model decides, and which of its layers start afresh or stand still.

    ``auto`` is what the model's files say (sentence-transformers' ``modules.json``), else the pooling that the probe
    found better (see :mod:`toughen.training.probe`), else ``model``, the architecture's own head. ``cls`` takes the
    first token, ``mean`` the mean over the tokens, ``attention`` their learned weighted mean, ``last4`` the first token
    after each of the last four layers, side by side. Cost: no pass; ``attention`` adds H^2 weights to an encoder of
    width H.

    Source: re-initialising the top layers is Zhang et al., "Revisiting Few-sample BERT Fine-tuning" (2006.05987);
    the last four layers side by side are the strongest features of Devlin et al., "BERT" (1810.04805).
    """

    pooling: Pooling = setting(
        "auto", "how tokens become one vector; model = the architecture's own head; auto = the model's files, the probe"
    )
    dropout: float | None = setting(None, "dropout before the last layer (0 to below 1); null = the model's")
    bias: Bias = setting(
        "auto", "where a new last layer starts: base-rate = the training labels' rates; auto = for several and numbers"
    )
    lr_multiplier: float = setting(1.0, "learning rate of the head over that of the rest")
    reinit_layers: int = setting(0, "top encoder layers that start from fresh random weights")
    freeze_layers: int = setting(0, "bottom encoder layers that do not learn, nor do the embeddings then")
    freeze_embeddings: bool = setting(False, "whether the embeddings do not learn")

    def __post_init__(self) -> None:
        inside = self.dropout is None or 0 <= self.dropout < 1
        require(inside, "head.dropout", self.dropout, "must be in [0, 1) or null")
        require(self.lr_multiplier > 0, "head.lr_multiplier", self.lr_multiplier, "must be above 0")
        for name in ("reinit_layers", "freeze_layers"):
            require(getattr(self, name) >= 0, f"head.{name}", getattr(self, name), "must not be negative")
