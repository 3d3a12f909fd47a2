"""Small runs of ToughTrainer: rows of uneven length, a collator without a tokenizer, arguments that write little."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from engine.models import batch, tiny
from toughen.huggingface.trainer import ToughTrainer
from toughen.recipe.recipe import Recipe


def make_rows(count, seed=1, task="single-label"):
    """Return ``count`` rows; the label is whether a word's id is even, so that there is something to learn."""
    lengths = [3 + (7 * i + seed) % 9 for i in range(count)]
    whole = batch(lengths=lengths, labels=[0] * count, seed=seed)
    return [
        {
            "input_ids": ids[:length].tolist(),
            "attention_mask": [1] * length,
            "labels": label_of(task, ids[:length].tolist()),
        }
        for ids, length in zip(whole["input_ids"], lengths, strict=True)
    ]


def label_of(task, ids):
    """Return the label of a text: parities of the first word's id, its size, or each word's parity."""
    if task == "multi-label":
        return [float(ids[1] % 2), float(ids[1] % 3 == 0), 1.0]
    if task == "regression":
        return ids[1] / 40
    return [-100, *(i % 2 for i in ids[1:-1]), -100] if task == "tokens" else ids[1] % 2


def collate(rows):
    """Pad rows, and their words' labels, to the longest of them."""
    width = max(len(row["input_ids"]) for row in rows)
    by_word = isinstance(rows[0]["labels"], list) and isinstance(rows[0]["labels"][0], int)
    fillers = {"input_ids": 0, "attention_mask": 0} | ({"labels": -100} if by_word else {})
    padded = {
        name: torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in rows])
        for name, filler in fillers.items()
    }
    facts = [name for name in ("labels", "weight") if name in rows[0] and name not in padded]
    return padded | {name: torch.tensor([row[name] for row in rows]) for name in facts}


def arguments(folder, **changes):
    """Return TrainingArguments for a CPU, silent, with a constant-free default schedule."""
    settings = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "seed": 7}
    settings |= {"per_device_train_batch_size": 4, "num_train_epochs": 2, "learning_rate": 1e-3, "logging_steps": 1}
    return TrainingArguments(output_dir=str(folder), **settings | changes)


def trainer(folder, recipe=None, *, model=None, rows=None, cls=ToughTrainer, keep=None, **changes):
    """Return a trainer on tiny BERT; ``keep`` holds further arguments of the trainer, ``changes`` TrainingArguments."""
    keep = dict(keep or {})
    if cls is ToughTrainer:
        keep["recipe"] = recipe if recipe is None or isinstance(recipe, (str, Recipe)) else Recipe(**recipe)
    data = make_rows(13) if rows is None else rows
    return cls(
        tiny("bert", dtype=torch.float32) if model is None else model,
        arguments(folder, **changes),
        train_dataset=data,
        eval_dataset=keep.pop("eval_dataset", make_rows(12, seed=4)),
        data_collator=collate,
        **keep,
    )


def run(folder, recipe=None, **changes):
    """Return a trainer of :func:`trainer` after training."""
    made = trainer(folder, recipe, **changes)
    made.train()
    return made


def losses(made):
    """Return the logged training losses by step."""
    return {line["step"]: line["loss"] for line in made.state.log_history if "loss" in line}


def weights(model):
    """Return a copy of the weights by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(first, second):
    """Whether two nested structures of tensors and plain values are bitwise equal."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def checkpoints(folder):
    """Return the checkpoints of a run by step."""
    return {int(path.name.rpartition("-")[2]): path for path in Path(folder).glob("checkpoint-*")}
