"""Training batches of our own inside the Trainer, always where there are several processes; and their way to a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader
from transformers import Trainer

from toughen.data.batches import LengthBuckets
from toughen.engine.rows import FillerRows
from toughen.errors import InputError


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
    """Return batches in the Trainer's random order, of which each process gets its share.

    Raises:
        InputError: if the rows have an order of their own, which would not be kept.
    """
    args, accelerator = trainer.args, trainer.accelerator
    dataset: Any = trainer.train_dataset
    if type(trainer)._get_train_sampler is not Trainer._get_train_sampler:
        raise InputError(
            "this subclass brings a training sampler of its own (_get_train_sampler), and with several processes the "
            "rows are dealt by ToughTrainer: pass batches=, or train in one process."
        )
    strategy = getattr(args, "train_sampling_strategy", "random")
    if strategy != "random":
        raise InputError(
            f"train_sampling_strategy={strategy!r} is not kept with several processes, where ToughTrainer deals rows "
            "at random: leave it out, pass batches=, or train in one process."
        )
    if not hasattr(dataset, "__getitem__"):
        raise InputError(
            f"with several processes the training rows are dealt by number, and a {type(dataset).__name__} has none: "
            "give a dataset with a length, or train in one process."
        )
    return LengthBuckets(
        [0] * len(dataset),
        args.per_device_train_batch_size,
        seed=args.data_seed if args.data_seed is not None else args.seed,
        world_size=accelerator.num_processes,
        rank=accelerator.process_index,
        drop_last=args.dataloader_drop_last,
        bucket=False,
    )


def check_fillers(batch: Mapping[str, Any], batches: LengthBuckets | None) -> None:
    """Refuse a collator that loses the weight of rows that only fill up a process's last batch.

    Raises:
        InputError: if the batch has no ``weight``.
    """
    if batches is not None and "weight" not in batch:
        raise InputError(
            "the data collator drops the column weight, by which rows that fill up the last batch of a process count "
            "nothing: let it pass on every column that it gets."
        )


def on_device(batch: Any, device: torch.device) -> Any:
    """Return the batch on the device; on a GPU nobody waits for the copy, which would be for all that is queued there.

    Pinned memory that is being copied is not given to another batch before the copy is done.
    """
    return send_to_device(batch, device, non_blocking=device.type == "cuda")


def _with_fillers(trainer: Trainer) -> Any:
    dataset = trainer.train_dataset
    if isinstance(dataset, datasets.Dataset):
        dataset = trainer._remove_unused_columns(dataset, description="training")
    return FillerRows(dataset)
