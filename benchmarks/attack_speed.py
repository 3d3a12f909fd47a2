"""How fast an attack is: our search beside the same search with each text's candidates batched by 32, nothing else.

    python benchmarks/attack_speed.py --data PATH_TO_DATA

fine-tunes all-MiniLM-L6-v2 on 2,000 sentences of SST-2 (or takes --run), attacks test sentences in blocks, each block
by every runner in turn, and writes benchmarks/results/attack-speed.json. The naive runner asks the model about one
text's candidates at a time, 32 a pass, in their order and without remembering an answer; the search code is the same.
The data are parquet files with columns text and label; they are not part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "attack-speed.json"
ATTACKS = ("textfooler", "deepwordbug")
NAIVE_BATCH = 32


@dataclass
class Count:
    """What a runner has done so far."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    texts: int = 0
    attacked: int = 0
    fooled: int = 0
    queries: int = 0
    texts_run: int = 0

    def add(self, result: Any, seconds: float, cpu: float) -> None:
        self.seconds += seconds
        self.cpu_seconds += cpu
        self.texts += result.n
        self.attacked += result.attacked
        self.fooled += result.fooled
        self.queries += sum(outcome.queries for outcome in result.outcomes)
        self.texts_run += result.texts_run

    def row(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "examples_per_second": round(self.texts / self.seconds, 3),
            "examples_per_cpu_second": round(self.texts / self.cpu_seconds, 3),
            "success_rate": round(self.fooled / max(self.attacked, 1), 4),
            "queries_per_example": round(self.queries / max(self.attacked, 1), 1),
            "texts_through_the_model": self.texts_run,
        }


def main() -> None:
    args = arguments()
    from toughen.attack.attack_recipes import RECIPES, Ingredients
    from toughen.attack.constraints import STOP_WORDS
    from toughen.attack.subject import examples_of
    from toughen.run import Run

    run = Run.open(args.run) if args.run else trained(Path(args.data))
    classifier = run.classifier
    lists = Path(args.data) / "synonyms_counterfitted"
    found = sorted(lists.glob("*.json")) + sorted(lists.glob("*.t*"))
    given = Ingredients(classifier, found[0] if found else None, stop_words=STOP_WORDS)
    test = str(Path(args.data) / "sst_kim/sst2_sentences_test.parquet")
    examples = examples_of(classifier, test, {"text": "text", "label": "label"}, limit=args.limit, seed=0)
    rows: dict[str, Any] = {}
    content = {
        "what": "attack on MiniLM-L6 fine-tuned on 2,000 SST-2 sentences, examples per second",
        "texts": len(examples),
        "block": args.block,
        "budget": args.budget,
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or None,
        "model_accuracy": run.metrics["test"]["accuracy"],
        "attacks": rows,
    }
    for name in ATTACKS:
        rows[name] = compare(RECIPES[name](given), given, examples, args.block, args.budget)
        print(json.dumps({name: rows[name]}, indent=1), flush=True)
        RESULTS.write_text(json.dumps(content, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--run", help="a run to attack; default: train one")
    parser.add_argument("--limit", type=int, default=96)
    parser.add_argument("--block", type=int, default=32, help="texts that each runner attacks in turn")
    parser.add_argument("--budget", type=int, default=500)
    args = parser.parse_args()
    if args.data is None or not Path(args.data).is_dir():
        sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
    return args


def trained(data: Path) -> Any:
    import pandas as pd

    import toughen
    from toughen.demo.encoder import find_minilm

    folder = Path(tempfile.mkdtemp(prefix="attack-speed-"))
    splits = {}
    for split, name, rows in (("train", "train", 2000), ("validation", "dev", 400), ("test", "test", 400)):
        frame = pd.read_parquet(data / f"sst_kim/sst2_sentences_{name}.parquet")
        splits[split] = frame.sample(rows, random_state=0)[["text", "label"]]
    training = {"epochs": 2, "learning_rate": 1e-4, "max_length": 64}
    return toughen.train(splits, model=find_minilm(), recipe="plain", output=folder / "run", training=training)


def compare(attack: Any, given: Any, examples: Any, block: int, budget: int) -> dict[str, Any]:
    """Attack blocks of the same texts by each runner in turn, the order turning from block to block."""
    runners: dict[str, Callable[[Any], Any]] = {
        "naive": lambda part: attacked(attack, naive(given.classifier), given, part, budget, at_once=1),
        "ours": lambda part: attacked(attack, ours(given.classifier, "fp32"), given, part, budget),
        "ours, bf16": lambda part: attacked(attack, ours(given.classifier, "bf16"), given, part, budget),
    }
    counts = {name: Count() for name in runners}
    part = cut(examples, 0, 4)
    for runner in runners.values():  # what is loaded or compiled once is not timed
        runner(part)
    for number, start in enumerate(range(0, len(examples), block)):
        names = list(runners)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began, cpu = time.perf_counter(), time.process_time()
            result = runners[name](cut(examples, start, start + block))
            counts[name].add(result, time.perf_counter() - began, time.process_time() - cpu)
    rows: dict[str, Any] = {name: count.row() for name, count in counts.items()}
    for name in ("ours", "ours, bf16"):
        rows[name]["times_naive"] = round(counts["naive"].cpu_seconds / counts[name].cpu_seconds, 2)
        rows[name]["times_naive_wall"] = round(counts["naive"].seconds / counts[name].seconds, 2)
    return rows


def attacked(attack: Any, queries: Any, given: Any, part: Any, budget: int, at_once: int = 64) -> Any:
    from toughen.attack.run_attack import run_attack

    return run_attack(attack, queries, given.services(), part, 0, budget, at_once=at_once)


def cut(examples: Any, start: int, end: int) -> Any:
    from toughen.attack.subject import Examples

    return Examples(examples.texts[start:end], examples.labels[start:end], examples.rows[start:end])


def ours(classifier: Any, precision: Any) -> Any:
    from toughen.attack.queries import Queries

    return Queries(classifier, 64, precision=precision)


def naive(classifier: Any) -> Any:
    """Answer each request alone: its texts as they come, 32 a pass, through tokenizer and model and nothing else."""
    import torch

    from toughen.attack.queries import Queries

    class Naive(Queries):
        def probabilities(self, texts: Sequence[str]) -> Any:
            if not texts:
                return np.empty((0, len(self.classifier.label_names)))
            return np.concatenate(
                [self.one_pass(texts[i : i + NAIVE_BATCH]) for i in range(0, len(texts), NAIVE_BATCH)]
            )

        @torch.inference_mode()
        def one_pass(self, texts: Sequence[str]) -> Any:
            self.texts_run += len(texts)
            self.passes += 1
            length = self.classifier.max_length
            batch = self.classifier.tokenizer(
                list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
            )
            batch = batch.to(self.classifier.model.device)
            return self.classifier.model(**batch).logits.double().softmax(-1).cpu().numpy()

    return Naive(classifier, NAIVE_BATCH, cache=False, joint=False, quick=False)


if __name__ == "__main__":
    main()
