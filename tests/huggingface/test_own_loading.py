"""How a batch of ours comes to the device."""

from __future__ import annotations

import pytest
import torch

from toughen.huggingface.loaders import on_device


class Noted:
    """Notes how it is moved, where this machine may not have the device."""

    def to(self, device, non_blocking=False):
        return torch.device(device), non_blocking


@pytest.mark.parametrize(("kind", "waits"), [("cpu", True), ("cuda", False), ("mps", True)])
def test_nobody_waits_for_the_copy_to_a_gpu_and_for_every_other_one(kind, waits):
    moved = on_device({"input_ids": Noted(), "labels": Noted()}, torch.device(kind))
    assert moved == dict.fromkeys(("input_ids", "labels"), (torch.device(kind), not waits))


def test_a_batch_that_is_there_stays_as_it_is():
    batch = {"input_ids": torch.arange(6).reshape(2, 3), "labels": torch.tensor([0, 1])}
    moved = on_device(batch, torch.device("cpu"))
    assert all(moved[name].data_ptr() == batch[name].data_ptr() for name in batch)
