"""The Hugging Face way: `ToughTrainer` is a `Trainer` with one more argument.

    python examples/trainer.py [--model FOLDER] [--recipe NAME] [--steps N] [--output FOLDER]

It obeys its `TrainingArguments`; of the recipe it takes the objective, the adversary, the average and the layer-wise
rate decay. The sample corpus and the MiniLM of `make demo` are the defaults, so this runs offline.
"""

import argparse
import tempfile

import numpy as np
import torch
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    TrainingArguments,
)

from toughen import ToughTrainer
from toughen.demo.corpus import FOLDER as CORPUS
from toughen.demo.encoder import find_minilm


def main() -> None:
    args = arguments()
    folder = args.model or find_minilm()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    files = {split: str(CORPUS / f"{split}.csv") for split in ("train", "validation", "test")}
    with tempfile.TemporaryDirectory() as cache:
        data = load_dataset("csv", data_files=files, cache_dir=cache).class_encode_column("label")
        data = data.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=128), batched=True)
        trainer = ToughTrainer(
            model,
            training_arguments(args),
            recipe=args.recipe,  # the one new argument; without it, this is Trainer to the bit
            train_dataset=data["train"],
            eval_dataset=data["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=accuracy,
        )
        trainer.train()
        # From here on the model holds the scored weights: the average, where the recipe has one.
        print("test", trainer.evaluate(data["test"], metric_key_prefix="test"))
    print("forward passes per optimiser step, over its two micro-batches:", trainer.report()["passes_per_step"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="folder or hub id; default: the MiniLM of make demo")
    parser.add_argument("--recipe", default="tough-stack", help="shipped recipe or YAML file")
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    parser.add_argument("--output", default="runs/trainer", help="folder for checkpoints and the model")
    return parser.parse_args()


def training_arguments(args: argparse.Namespace) -> TrainingArguments:
    return TrainingArguments(
        args.output,
        max_steps=args.steps,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        learning_rate=1e-4,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=max(args.steps // 2, 1),
        save_steps=max(args.steps // 2, 1),
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        logging_steps=max(args.steps // 4, 1),
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
    )


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


if __name__ == "__main__":
    main()
