"""A plain PyTorch loop with R-Drop, FGM and EMA plugged in.

    python examples/plain_loop.py [--model FOLDER] [--data FOLDER_OR_CSV] [--precision fp16] [--steps N]

Three places differ from a loop without them: (1) `engine.backward(batch)` stands where `loss.backward()` stood,
(2) `average.update()` follows each optimiser step that was taken, (3) scoring runs inside `average.applied()`.
Batches, optimiser, schedule, clipping, accumulation and meters stay the loop's own. Without arguments it fine-tunes the
MiniLM of `make demo` on the corpus that ships with the package, offline.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_cosine_schedule_with_warmup

from toughen import Data, Ema, Engine, Fgm, RDrop, make_average
from toughen.assess.metrics import classification_metrics
from toughen.data import Collator, Splits, load_splits, tokenise
from toughen.demo.corpus import FOLDER as CORPUS
from toughen.demo.encoder import find_minilm
from toughen.machine.runtime import best_device

Batch = dict[str, torch.Tensor]

# What is plugged in. load_recipe("tough-stack") holds another set, as .objective, .adversary and .average.
OBJECTIVE = RDrop(alpha=1.0, label_smoothing=0.1)
ADVERSARY = Fgm(radius=0.2)
AVERAGE = Ema(decay=0.999)


def main() -> None:
    args = arguments()
    torch.manual_seed(args.seed)
    splits = load_splits(Data(source=str(args.data)), seed=args.seed)
    print(*splits.summary.lines(), sep="\n")
    folder = args.model or find_minilm()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(splits.label_names))
    model.to(best_device()).train()
    batches = loaders(splits, tokenizer, args.batch_size)

    total = args.steps or args.epochs * -(-len(batches["train"]) // args.accumulation)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, total // 10, total)
    average = make_average(AVERAGE, model, total_steps=total)
    with Engine(model, OBJECTIVE, ADVERSARY, precision=args.precision) as engine:
        for step, window in enumerate(islice(windows(batches["train"], args.accumulation), total), start=1):
            rows = sum(len(batch["labels"]) for batch in window)  # of the whole step: uneven batches count right
            for i, batch in enumerate(window):
                batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
                engine.backward(batch, examples=rows, sync=i == len(window) - 1)  # (1)
            if engine.step(optimizer, max_grad_norm=1.0):  # unscale, clip, step, zero_grad; False: fp16 overflowed
                schedule.step()
                average.update()  # (2)
            if step % args.log_steps == 0 or step == total:
                # The meters: means over the steps since the last line.
                report(f"step {step}/{total}", engine.terms(), rate=schedule.get_last_lr()[0])
            if step % args.eval_steps == 0 or step == total:
                with average.applied():  # (3) the raw weights come back when the block is left, come what may
                    report(f"step {step}/{total} validation", evaluate(model, batches["validation"]))
    average.copy_to_model()  # the weights that were scored are the weights that are kept
    if "test" in batches:
        report("test", evaluate(model, batches["test"]))
    if args.output:
        model.save_pretrained(args.output)
        tokenizer.save_pretrained(args.output)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="folder or hub id; default: the MiniLM of make demo")
    parser.add_argument("--data", default=CORPUS, help="labelled texts, a file or folder; default: the sample corpus")
    parser.add_argument("--output", type=Path, help="folder to save the averaged model in")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp16", "fp32"), default="auto")
    parser.add_argument("--steps", type=int, help="optimiser steps, instead of --epochs")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    numbers = {"epochs": 3, "batch-size": 8, "accumulation": 2, "log-steps": 10, "eval-steps": 50, "seed": 42}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def loaders(splits: Splits, tokenizer: Any, batch_size: int) -> dict[str, DataLoader[Batch]]:
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    tokens = {name: tokenise(rows, tokenizer, max_length=128) for name, rows in parts.items() if rows is not None}
    pad = Collator(tokenizer)
    return {name: DataLoader(rows, batch_size, name == "train", collate_fn=pad) for name, rows in tokens.items()}


def windows(loader: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Yield, epoch after epoch, the micro-batches of one optimiser step; the last of an epoch may be smaller."""
    while True:
        batches = iter(loader)
        while window := list(islice(batches, size)):
            yield window


@torch.inference_mode()
def evaluate(model: Any, loader: Iterable[Batch]) -> dict[str, Any]:
    model.eval()
    logits, labels = [], []
    for batch in loader:
        labels.append(batch.pop("labels"))
        logits.append(model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits.double().cpu())
    model.train()
    metrics = classification_metrics(torch.cat(logits).softmax(-1).numpy(), torch.cat(labels).numpy())
    return {name: metrics[name] for name in ("accuracy", "f1", "roc_auc") if metrics[name] is not None}


def report(what: str, numbers: dict[str, float], **more: float) -> None:
    print(what, *(f"{name} {value:.4g}" for name, value in (numbers | more).items()), sep="  ")


if __name__ == "__main__":
    main()
