"""Whole training loops, one optimiser step of each in turn: loading, logging, schedule and callbacks count."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models import FIRST_WORD, PAD, SIZES
from transformers import PreTrainedTokenizerFast, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from toughen.data.batches import Collator, LengthBuckets, Rows
from toughen.huggingface.trainer import ToughTrainer
from toughen.recipe.recipe import load_recipe


class Lane:
    """A ``train()`` in a thread of its own, which stands still but for the one step that is asked for.

    A step lasts from where the last one ended (the end of ``on_step_end``) to the same place of the next, so it holds
    the log line, the next batch's loading, the passes, the optimiser and the schedule. Never do two lanes run at once.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._stop, self._error = False, None
        trainer.add_callback(_Baton(self))
        trainer.remove_callback(PrinterCallback)
        # OpenMP keeps the number of threads for each thread that starts a computation.
        self._thread = threading.Thread(target=self._run, args=(torch.get_num_threads(),), daemon=True)
        self._thread.start()

    def __call__(self, _i: int) -> None:
        """Make one optimiser step."""
        self._go.release()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the training."""
        self._stop = True
        self._go.release()
        self._thread.join()

    def pause(self) -> bool:
        """Hand over after a step; return whether to end."""
        self._done.release()
        self._go.acquire()
        return self._stop

    def _run(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._go.acquire()
        try:
            if not self._stop:
                self._trainer.train()
        except BaseException as error:
            self._error = error
        finally:
            if not self._stop:
                self._error = self._error or RuntimeError("the training ended before the measurement")
            self._done.release()


class _Baton(TrainerCallback):
    """The last callback of all."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stand still until the next step is asked for."""
        if self._lane.pause():
            control.should_training_stop = True


def make_rows(size: str, rows: int, length: int) -> Any:
    """Return a dataset of texts of ``length`` random tokens."""
    import datasets

    rng = np.random.default_rng(0)
    ids = rng.integers(FIRST_WORD, SIZES[size]["vocab_size"], (rows, length)).tolist()
    columns = {"input_ids": ids, "attention_mask": [[1] * length] * rows, "labels": rng.integers(0, 2, rows).tolist()}
    return datasets.Dataset.from_dict(columns)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer that only knows how to pad."""
    from tokenizers import Tokenizer, models

    words = {"<s>": 0, "<pad>": PAD, "</s>": 2, "<unk>": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>")


def arguments(folder: Path, batch: int, precision: str, device: str) -> TrainingArguments:
    """Return what both loops are told: the settings of `plain`, a log line every 10 steps, never a checkpoint."""
    training = load_recipe("plain", {"training.learning_rate": 2e-5}).training
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        num_train_epochs=1,
        lr_scheduler_type="cosine",
        warmup_steps=training.warmup,
        logging_steps=10,
        logging_strategy="steps",
        save_strategy="no",
        eval_strategy="no",
        use_cpu=device == "cpu",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        train_sampling_strategy="group_by_length",
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )


def stock(model: Any, rows: Any, args: TrainingArguments) -> Lane:
    """Return transformers' own loop with its own length grouping and collator."""
    from transformers import DataCollatorWithPadding

    collator = DataCollatorWithPadding(make_tokenizer(), pad_to_multiple_of=8)
    return Lane(Trainer(model, args, train_dataset=rows, data_collator=collator))


def ours(model: Any, rows: Any, args: TrainingArguments, recipe: str = "plain") -> Lane:
    """Return our loop as ``toughen train`` sets it up."""
    lengths = [len(ids) for ids in rows["input_ids"]]
    return Lane(
        ToughTrainer(
            model,
            args,
            recipe=load_recipe(recipe),
            batches=LengthBuckets(lengths, args.per_device_train_batch_size, seed=args.seed),
            train_dataset=Rows(rows),
            data_collator=Collator(make_tokenizer()),
        )
    )
