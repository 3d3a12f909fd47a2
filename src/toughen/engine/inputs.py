"""The inputs slot: what does the model see? Changes of the embedding output while training, none while scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from toughen.engine.likelihood import Mixing
from toughen.engine.randomness import Noise
from toughen.settings import require, setting


@dataclass(frozen=True, kw_only=True)
class InputChange:
    """What every change of the inputs answers: partners once a micro-batch, the change itself in every pass."""

    mixes: ClassVar[bool] = False
    """Whether rows are mixed, so that no row is independent of its batch mates."""

    def mixing(self, countable: Tensor, noise: Noise) -> Mixing | None:
        """Choose partners for the rows of a micro-batch; rows that are not ``countable`` [B] keep to themselves."""
        return None

    def changed(self, hidden: Tensor, mask: Tensor, mixing: Mixing | None, copies: int, noise: Noise) -> Tensor:
        """Return the changed embedding output.

        Args:
            hidden: [copies * B, T, D].
            mask: [copies * B, T] bool, True on real tokens.
            mixing: what :meth:`mixing` chose.
            copies: how often the batch stands in ``hidden``.
            noise: source of random numbers.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Neftune(InputChange):
    """NEFTune: uniform noise on the embeddings of every training pass.

    e + U(-1, 1) * alpha / sqrt(L_i D), L_i the text's own number of tokens, D the embedding width; 0 on padding.

    Source: Jain et al., "NEFTune: Noisy Embeddings Improve Instruction Finetuning" (2310.05914). Deviation: the
    released hooks (and transformers') take the padded length of the batch for L, so that a short text among long ones
    gets less noise. The noise has L2 norm alpha / sqrt(3) whatever the length. Cost: none.
    """

    name: Literal["neftune"] = "neftune"
    alpha: float = setting(5.0, "size of the noise, in embedding units: L2 norm alpha / sqrt(3) per text (1 to 15)")

    def __post_init__(self) -> None:
        require(self.alpha > 0, "inputs.alpha", self.alpha, "must be above 0")

    def changed(self, hidden: Tensor, mask: Tensor, mixing: Mixing | None, copies: int, noise: Noise) -> Tensor:
        """See :class:`InputChange`."""
        keep = mask.unsqueeze(-1).to(hidden.dtype)
        size = self.alpha / (keep.sum((1, 2), keepdim=True).clamp(min=1) * hidden.shape[-1]).sqrt()
        # Drawn copy by copy, so that the copies differ where the source of noise is torch's.
        drawn = torch.cat([noise("uniform", part) for part in hidden.detach().chunk(copies)])
        return hidden + drawn * keep * size


@dataclass(frozen=True, kw_only=True)
class Mixup(InputChange):
    """Embedding mixup: every row is blended with another one, and so is its label.

    e = lambda e_i + (1 - lambda) e_j, attention over both rows' tokens, soft label lambda y_i + (1 - lambda) y_j;
    lambda ~ Beta(alpha, alpha), one per micro-batch, j a random permutation of the labelled rows.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (1710.09412); on embeddings, Guo et al.,
    "Augmenting Data with Mixup for Sentence Classification" (1905.08941). Rows without a label, and repeats, keep to
    themselves. Cost: none. A row's loss depends on its batch mates.
    """

    name: Literal["mixup"] = "mixup"
    alpha: float = setting(0.2, "of Beta(alpha, alpha), from which the share is drawn (0.1 to 1)")
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.alpha > 0, "inputs.alpha", self.alpha, "must be above 0")

    def mixing(self, countable: Tensor, noise: Noise) -> Mixing:
        """See :class:`InputChange`."""
        from scipy.special import betaincinv

        # On the CPU: one number, and no synchronisation with a GPU.
        quantile = (float(noise("uniform", torch.zeros((), dtype=torch.float64))) + 1) / 2
        share = float(betaincinv(self.alpha, self.alpha, quantile))
        keys = noise("uniform", torch.zeros(len(countable), dtype=torch.float64)).to(countable.device)
        # Countable rows in order, then in random order; both sorts leave the others last and in place.
        places = (~countable).to(torch.uint8).argsort(stable=True)
        shuffled = torch.where(countable, keys, torch.inf).argsort(stable=True)
        partner = torch.empty_like(places)
        partner[places] = shuffled
        return Mixing(share, partner)

    def changed(self, hidden: Tensor, mask: Tensor, mixing: Mixing | None, copies: int, noise: Noise) -> Tensor:
        """See :class:`InputChange`."""
        return hidden if mixing is None else mixing.of(hidden, copies)


def counted_positions(model: nn.Module, ids: Tensor) -> Tensor | None:
    """Return where each token [B, T] stands, for models that count it from the ids (RoBERTa's kind); None of others."""
    for module in model.modules():
        count = getattr(module, "create_position_ids_from_input_ids", None)
        if callable(count) and hasattr(module, "padding_idx"):
            found: Tensor = count(ids, module.padding_idx)
            return found
    return None


Inputs = Neftune | Mixup
"""Every answer to "what does the model see?"; ``name`` tells them apart in YAML and flags."""
