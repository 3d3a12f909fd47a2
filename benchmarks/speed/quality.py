"""(h) Test F1 of the full stack and of `rat-stack` minus that of the listing's computation, paired by seed."""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from listing import Listing
from measure import Bench
from one_dnn import quick_float32

sys.path.append(str(Path(__file__).parents[1]))

SETTINGS = {"epochs": 3, "learning_rate": 1e-4, "max_length": 40, "batch_size": 16}
ROWS = {"train": 2000, "validation": 500}
# tough-stack's values: with the listing's absolute 1.0 MiniLM learns nothing.
ALPHA, SMOOTHING, RADIUS, STEP_SIZE = 1.0, 0.1, 0.2, 0.1
LOOP: dict[str, Any] = {"early_stopping": None, "weight_decay": 0.01, "max_grad_norm": 1.0, "warmup": 0.1}
STACKS: dict[str, dict[str, Any]] = {
    "full-stack": {
        "objective": {"name": "rdrop", "alpha": ALPHA, "label_smoothing": SMOOTHING},
        "adversary": {"name": "pgd", "radius": RADIUS, "radius_unit": "relative", "step_size": STEP_SIZE, "steps": 3,
                      "scope": "vocabulary", "loss": "objective", "search_loss": "objective"},
        "average": {"name": "ema", "decay": 0.999, "warmup": True},
    },
    "rat-stack": {},
    "rat-stack, radius 0.2": {"adversary.radius": 0.2},
}  # fmt: skip
"""One norm of 0.2 over a whole batch moves a text by 0.066 on average (measured), which is `rat-stack`'s radius."""


def run(bench: Bench, options: Any) -> None:
    """Make the missing runs, one line per seed and run; the intervals are the table's."""
    if options.quick:
        splits, model = _toy()
    elif options.data is None or not Path(options.data).is_dir():
        print("h is left out: give the folder with the data, --data PATH (or TOUGHEN_DATA)", flush=True)
        return
    else:
        splits, model = _sst2(Path(options.data)), _minilm()
    for seed in options.seeds[:1] if options.quick else options.seeds:
        for name in filter(options.wants, ("listing", *STACKS)):
            setting = {"seed": seed, **SETTINGS, "rows": len(splits["train"])}
            if bench.missing("h", name, setting):
                train = _listing if name == "listing" else _ours
                found = train(name, splits, model, seed, bench.shared["threads"])
                bench.add("h", name, setting, found | {"rows": {part: len(rows) for part, rows in splits.items()}})


def _sst2(root: Path) -> dict[str, Any]:
    """Return SST-2 sentences, each once: as many as ``ROWS`` says, and all others as the test.

    A larger test leaves less of its own chance in a difference of scores.
    """
    import pandas as pd

    files = (root / "sst_kim" / f"sst2_sentences_{part}.parquet" for part in ("train", "dev", "test"))
    rows = pd.concat([pd.read_parquet(file)[["text", "label"]] for file in files]).drop_duplicates("text")
    rows = rows.sample(frac=1, random_state=0, ignore_index=True)
    train, chosen = ROWS["train"], ROWS["train"] + ROWS["validation"]
    return {"train": rows[:train], "validation": rows[train:chosen], "test": rows[chosen:]}


def _minilm() -> Path:
    from toughen.demo.encoder import find_minilm

    return find_minilm()


def _toy() -> tuple[dict[str, Any], Path]:
    import memory
    import pandas as pd

    texts = memory._texts()[:60]
    rows = pd.DataFrame({"text": [t for t, _ in texts], "label": [int(of == "positive") for _, of in texts]})
    home = memory._small_model(Path(tempfile.mkdtemp(prefix="speed-")), texts)
    return {"train": rows[:32], "validation": rows[32:46], "test": rows[46:]}, home


def _ours(name: str, splits: dict[str, Any], model: Path, seed: int, threads: int) -> dict[str, Any]:
    """Train as ``toughen.train`` does, in the precision and the buckets that it chooses."""
    import toughen

    torch.set_num_threads(threads)
    folder = Path(tempfile.mkdtemp(prefix="speed-"))
    training = SETTINGS | LOOP | {"save_total_limit": 1}
    try:
        made = toughen.train(
            splits,
            model=model,
            recipe=name.partition(",")[0],
            output=folder / "run",
            seed=seed,
            training=training,
            **STACKS[name],
        )
        metrics = made.metrics
    finally:
        shutil.rmtree(folder)
    precision = metrics["environment"]["precision"]
    return {"test": metrics["test"], "validation": metrics["validation"], "precision": precision}


def _listing(_name: str, splits: dict[str, Any], model: Path, seed: int, _threads: int) -> dict[str, Any]:
    """Train with the listing's step in float32 on random batches; the average is scored after every epoch."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from transformers import logging as noise

    noise.set_verbosity_error()
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2).train()
    unit = float(classifier.get_input_embeddings().weight.detach().norm(dim=1).mean())
    count = -(-len(splits["train"]) // SETTINGS["batch_size"])
    listing = Listing(
        classifier, [], alpha=ALPHA, smoothing=SMOOTHING, radius=RADIUS * unit, step_size=STEP_SIZE * unit,
        warmup=True, optimizer=_optimizer(classifier, count * SETTINGS["epochs"]),
    )  # fmt: skip
    best, validation = None, -1.0
    with quick_float32() as kernels:
        for epoch in range(SETTINGS["epochs"]):
            listing.batches = _batches(splits["train"], tokenizer, np.random.default_rng([seed, epoch]))
            for i in range(count):
                listing(i)
            scored = copy.deepcopy(listing.average)
            scored.model = copy.deepcopy(classifier).eval()
            scored.copy_to_model()
            score = _f1(scored.model, tokenizer, splits["validation"])
            if score > validation:
                best, validation = scored.model, score
        test = _f1(best, tokenizer, splits["test"])
    return {"test": {"f1": test}, "validation": {"f1": validation}, "precision": "fp32", "kernels": kernels}


def _optimizer(model: Any, steps: int) -> tuple[Any, Any]:
    """Return AdamW (no decay of biases and norms, as the Trainer has it) and the cosine schedule."""
    from transformers import get_cosine_schedule_with_warmup

    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for _, p in named if p.dim() > 1], "weight_decay": LOOP["weight_decay"]},
        {"params": [p for _, p in named if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=SETTINGS["learning_rate"], fused=True)
    return optimizer, get_cosine_schedule_with_warmup(optimizer, round(LOOP["warmup"] * steps), steps)


def _batches(rows: Any, tokenizer: Any, rng: np.random.Generator | None) -> list[dict[str, torch.Tensor]]:
    """Return batches in random order (None: as they are), each padded to its longest text."""
    order = np.arange(len(rows)) if rng is None else rng.permutation(len(rows))
    size = SETTINGS["batch_size"]
    batches = []
    for start in range(0, len(order), size):
        part = rows.iloc[order[start : start + size]]
        encoded = tokenizer(
            part["text"].tolist(), truncation=True, max_length=SETTINGS["max_length"], padding=True, return_tensors="pt"
        )
        labels = torch.tensor(part["label"].tolist())
        batches.append({name: encoded[name] for name in ("input_ids", "attention_mask")} | {"labels": labels})
    return batches


@torch.inference_mode()
def _f1(model: Any, tokenizer: Any, rows: Any) -> float:
    """Return the F1 of the positive class, a number from 0 to 1."""
    from sklearn.metrics import f1_score

    found: list[int] = []
    for batch in _batches(rows, tokenizer, None):
        output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        found += output.logits.argmax(-1).tolist()
    return float(f1_score(rows["label"].tolist(), found))
