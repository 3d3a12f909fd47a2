"""(e) Peak memory of every technique; (f) padding; (g) a CSV of a million rows."""

from __future__ import annotations

import csv
import itertools
import random
import tempfile
from pathlib import Path
from typing import Any

import models
import numpy as np
from children import spawn
from measure import Bench
from parts import TECHNIQUES, hardware_precision
from transformers import BertConfig, BertModel

LOW = ("rdrop", "rat-stack", "tough-stack", "full-stack")
ROWS = 16


def run(bench: Bench, options: Any) -> None:
    """(e) Peak memory over plain's, each setting in a fresh process."""
    for size in options.sizes:
        for precision in options.given or [hardware_precision(options.device)]:
            rows, length = options.batch or ROWS, options.length or 256
            setting = {"size": size, "batch": rows, "length": length, "precision": precision}
            names = ["plain", *TECHNIQUES, *(f"{name}, memory: low" for name in LOW)]
            if options.quick:
                names = ["plain", "full-stack, memory: low"]
            plain: float | None = None
            for what in (name for name in names if name == "plain" or options.wants(name)):
                plain = _peak(bench, what, setting, options.device, plain)


def _peak(bench: Bench, what: str, setting: dict[str, Any], device: str, plain: float | None) -> float:
    """Return plain's bytes; they are measured again only for rows that are missing."""
    if what == "plain":
        known = bench.find("e", "plain", setting)
        if known is not None:
            return float(known["bytes"])
    if bench.missing("e", what, setting):
        recipe, _, low = what.partition(", memory: ")
        job = setting | {"recipe": recipe, "memory": low or "normal", "device": device}
        found = spawn("step", threads=bench.shared["threads"], **job)
        plain = plain or found["bytes"]
        bench.add("e", what, setting, found | {"ratio": found["bytes"] / plain})
    assert plain is not None
    return plain


def padding(bench: Bench, options: Any) -> None:
    """(f) Which share of the tokens is padding: an epoch of IMDb's lengths in batches of 16."""
    setting = {"batch": ROWS, "longest": options.longest}
    lengths = np.minimum(models.imdb_lengths(), options.longest)
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    epochs = {
        "buckets, multiples of 8": models.bucketed_rows(ROWS),
        "buckets": models.bucketed_rows(ROWS),
        "random": [shuffled[i : i + ROWS] for i in range(0, len(shuffled), ROWS)],
    }
    for what, batches in epochs.items():
        if not bench.missing("f", what, setting):
            continue
        rows = [lengths[np.asarray(batch)] for batch in batches]
        widths = [models.padded(n) if "8" in what else n.max() for n in rows]
        tokens = sum(int(width) * len(n) for width, n in zip(widths, rows, strict=True))
        bench.add("f", what, setting, {"ratio": 1 - sum(int(n.sum()) for n in rows) / tokens, "tokens": tokens})


def csv_rows(bench: Bench, options: Any) -> None:
    """(g) Memory with a million rows over ten thousand, and seconds to the first step over tokenising alone."""
    small, large = (100, 300) if options.quick else (10_000, 1_000_000)
    setting = {"rows": large, "small": small}
    if not bench.missing("g", "CSV", setting):
        return
    threads = bench.shared["threads"]
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        texts = _texts()
        model = _small_model(folder, texts)
        _write(folder / "validation.csv", texts, 200, 10**8)
        found: dict[str, Any] = {}
        for name, rows in (("small", small), ("large", large)):
            table = folder / f"{name}.csv"
            _write(table, texts, rows, 0)
            job = {"csv": str(table), "model": str(model), "threads": threads}
            found[f"tokenise_{name}"] = spawn("tokenise", **job)
            files = {"validation": str(folder / "validation.csv"), "folder": str(folder / name)}
            found[f"train_{name}"] = spawn("first_step", **job, **files)
        bench.add("g", "CSV", setting, found | _csv_ratios(found))


def _csv_ratios(found: dict[str, Any]) -> dict[str, float]:
    train, small = found["train_large"], found["train_small"]
    return {
        "ratio_seconds": train["seconds"] / found["tokenise_large"]["seconds"],
        "ratio_resident": train["resident_bytes"] / small["resident_bytes"],
        "ratio_anonymous": train["anonymous_bytes"] / small["anonymous_bytes"],
        "more_anonymous_mib": (train["anonymous_bytes"] - small["anonymous_bytes"]) / 2**20,
    }


def _texts() -> list[tuple[str, str]]:
    """Return the rows of the demo's corpus that has been made for training."""
    from toughen.demo.corpus import FOLDER

    with (FOLDER / "train.csv").open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _write(path: Path, texts: list[tuple[str, str]], rows: int, first: int) -> None:
    """Write rows that differ: a number and two texts of one label each."""
    rng = random.Random(0)
    by_label = {label: [text for text, of in texts if of == label] for _, label in texts}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        for i, label in zip(range(first, first + rows), itertools.cycle(by_label), strict=False):
            writer.writerow((f"{i} {rng.choice(by_label[label])} {rng.choice(by_label[label])}", label))


def _small_model(folder: Path, texts: list[tuple[str, str]]) -> Path:
    """Save a random BERT of 2 layers and width 32 with a word-piece tokenizer trained on the corpus."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    home = folder / "model"
    home.mkdir()
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator([text for text, _ in texts], vocab_size=3000, show_progress=False)
    pieces.save(str(home / "tokenizer.json"))
    tokenizer = BertTokenizerFast(tokenizer_file=str(home / "tokenizer.json"), model_max_length=128)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **shape)).save_pretrained(home)
    tokenizer.save_pretrained(home)
    return home
