"""Training batches of our own inside the Trainer, always where there are several processes; and their way to a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader

from toughen.data.batches import LengthBuckets
from toughen.engine.rows import FillerRows

if TYPE_CHECKING:
    from transformers import Trainer


def own_loader(trainer: Trainer, batches: LengthBuckets) -> DataLoader[Any]:
    """Return a loader whose batches are the row numbers that ``batches`` deals."""
    args = trainer.args
    dataset: Any = trainer.train_dataset
    return DataLoader(
        dataset if hasattr(dataset, "filler_aware") else _with_fillers(trainer),
        batch_sampler=batches,
        collate_fn=trainer.data_collator,
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
    )


def sharded_batches(trainer: Trainer) -> LengthBuckets:
    """Return batches in the Trainer's random order, of which each process gets its share."""
    args, accelerator = trainer.args, trainer.accelerator
    dataset: Any = trainer.train_dataset
    return LengthBuckets(
        [0] * len(dataset),
        args.per_device_train_batch_size,
        seed=args.data_seed if args.data_seed is not None else args.seed,
        world_size=accelerator.num_processes,
        rank=accelerator.process_index,
        drop_last=args.dataloader_drop_last,
        bucket=False,
    )


def on_device(batch: Any, device: torch.device) -> Any:
    """Return the batch on the device; on a GPU nobody waits for the copy, which would be for all that is queued there.

    Pinned memory that is being copied is not given to another batch before the copy is done.
    """
    return send_to_device(batch, device, non_blocking=device.type == "cuda")


def _with_fillers(trainer: Trainer) -> Any:
    import datasets

    dataset = trainer.train_dataset
    if isinstance(dataset, datasets.Dataset):
        dataset = trainer._remove_unused_columns(dataset, description="training")
    return FillerRows(dataset)
