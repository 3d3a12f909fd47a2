"""The adapter slot: do all weights learn, or a few new ones beside them?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toughen.settings import require, setting

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters: W x + (alpha / rank) B A x, of which only A and B learn, and the head beside them.

    B starts at 0, so that training starts at the pretrained model. Only adapters and head are averaged and saved; the
    pretrained weights are read from where they came from.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2106.09685). Deviation: the paper adapts
    the attention's query and value alone; ``all-linear`` adapts every linear layer of the encoder (Dettmers et al.,
    "QLoRA", 2305.14314). Cost: no pass; no gradient, optimiser state or average of the pretrained weights.
    """

    name: Literal["lora"] = "lora"
    rank: int = setting(8, "rows of A and columns of B (1 and more)")
    alpha: float = setting(16.0, "scale of the adapters, over rank")
    dropout: float = setting(0.05, "dropout of what enters an adapter (0 to below 1)")
    targets: str = setting(ALL_LINEAR, "linear layers with an adapter: all-linear, or names such as query,value")

    def __post_init__(self) -> None:
        require(self.rank >= 1, "adapter.rank", self.rank, "must be at least 1")
        require(self.alpha > 0, "adapter.alpha", self.alpha, "must be above 0")
        require(0 <= self.dropout < 1, "adapter.dropout", self.dropout, "must be in [0, 1)")
        require(bool(self.names), "adapter.targets", self.targets, "must be all-linear or names of layers")

    @property
    def names(self) -> tuple[str, ...]:
        """The names in ``targets``."""
        return tuple(name.strip() for name in self.targets.split(",") if name.strip())
