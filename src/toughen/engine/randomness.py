"""Where random numbers come from: an argument, so that a test can fix them."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor


class Noise(Protocol):
    """A source of random numbers: U(-1, 1) for ``uniform``, N(0, 1) for ``normal``."""

    def __call__(self, kind: Literal["uniform", "normal"], like: Tensor) -> Tensor:
        """Return numbers of the shape, dtype and device of ``like``."""


def torch_noise(kind: Literal["uniform", "normal"], like: Tensor) -> Tensor:
    """Draw from torch's global generator of the device, which checkpoints save and restore."""
    return torch.randn_like(like) if kind == "normal" else torch.rand_like(like) * 2 - 1


class Generators:
    """The state, as it is now, of the generators that dropout and random starts draw from on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        """Make them draw again what they have drawn since."""
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
