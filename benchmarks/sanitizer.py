"""What the sanitizer (`data.sanitize`) changes of clean text, and what it saves under imperceptible attacks.

    python benchmarks/sanitizer.py --data PATH_TO_DATA

Clean text: of the 25,000 IMDb training reviews and of ChnSentiCorp's training reviews, how many are another text behind
the sanitizer than behind NFKC alone, how many have other token ids by tokenizers in PATH_TO_DATA/tokenizers, and how
many answers on them change of a model that was trained without it. Attacks: MiniLM, trained on 600 texts of SST-2
(`plain`, one epoch), attacked on 40 sentences of its dev split of at most 15 words, 30 queries each, with and without
the sanitizer before the same weights. It is the model that would have been trained with it where no training text has
other token ids behind it; how many have is written. The data are not part of the project, and no text of them is
written: results/sanitizer.json holds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SETS = {"IMDb": "imdb/train.parquet", "ChnSentiCorp": "chnsenticorp/train.parquet"}
TOKENIZERS = {"IMDb": ("bert-base-uncased", "roberta-base"), "ChnSentiCorp": ("bert-base-chinese",)}
ATTACKS = ("invisible", "homoglyph", "reordering", "deletion")
SEEDS, TRAINED, LONGEST, ATTACKED, BUDGET = (0,), 600, 15, 40, 30
PLAIN = re.compile(r"[\t\n\r -~]*")  # nothing for the sanitizer to do


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    args = parser.parse_args()
    path = RESULTS / "sanitizer.json"
    if not args.table:
        if args.data is None or not Path(args.data).is_dir():
            sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
        path.write_text(json.dumps(measure(Path(args.data)), indent=1) + "\n")
    (RESULTS / "sanitizer.md").write_text(table(json.loads(path.read_text())))


def measure(root: Path) -> dict[str, Any]:
    import pandas as pd

    import toughen

    found: dict[str, Any] = {"command": "python benchmarks/sanitizer.py --data PATH", "clean": [], "attacks": []}
    sst2 = pd.read_parquet(root / "sst2/train.parquet")
    dev = pd.read_parquet(root / "sst2/dev.parquet")
    dev = dev[dev["text"].str.split().str.len() <= LONGEST]
    texts = {name: list(pd.read_parquet(root / path)["text"]) for name, path in SETS.items()}
    changed = {name: [text for text in texts[name] if differs(text)] for name in SETS}
    for name in SETS:  # NFKC alone changes most Chinese texts: it has their punctuation in half width
        found["clean"].append({"data": name, "texts": len(texts[name]), "texts_changed": len(changed[name])})
        found["clean"][-1]["ids_changed"] = {one: len(other_ids(root, one, texts[name])) for one in TOKENIZERS[name]}
    print(found, flush=True)
    touched = other_ids(root, "bert-base-uncased", texts["IMDb"])
    for seed in SEEDS:
        rows = sst2.sample(TRAINED, random_state=seed)
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            run = train(toughen, rows, Path(folder), seed)
            affected = other_ids(root, "bert-base-uncased", list(rows["text"]))
            found["attacks"] += attacked(run.classifier, dev, seed, len(affected))
            found["clean"][0].setdefault("labels_changed", []).append(labels_changed(run, touched))
        print(f"seed {seed}: {time.process_time() - began:.0f} CPU s", flush=True)
    return found


@cache
def cleaned(text: str) -> str:
    from toughen.data.tokens.sanitizer import sanitized

    return text if PLAIN.fullmatch(text) else sanitized(text)


def differs(text: str) -> bool:
    """Tell whether the sanitizer changes more than NFKC does."""
    return cleaned(text) != unicodedata.normalize("NFKC", text)


def other_ids(root: Path, name: str, texts: list[str]) -> list[str]:
    """Return the texts that have other token ids, uncut, behind the sanitizer."""
    from transformers import AutoTokenizer

    from toughen.data.tokens.sanitizer import sanitize

    plain, clean = (AutoTokenizer.from_pretrained(root / "tokenizers" / name) for _ in range(2))
    sanitize(clean)
    texts = [text for text in texts if cleaned(text) != text]
    if not texts:
        return []
    pair = (tokenizer(texts, truncation=False, verbose=False)["input_ids"] for tokenizer in (plain, clean))
    return [text for text, one, other in zip(texts, *pair, strict=True) if one != other]


def train(toughen: Any, rows: Any, folder: Path, seed: int) -> Any:
    from toughen.demo.encoder import find_minilm

    rows[["text", "label"]].to_csv(folder / "train.csv", index=False)
    return toughen.train(
        folder / "train.csv",
        model=str(find_minilm()),
        recipe="plain",
        output=folder / "run",
        **{"training.epochs": 1, "training.max_length": 64, "training.seed": seed, "data.task": "single-label"},
    )


def attacked(classifier: Any, dev: Any, seed: int, affected: int) -> list[dict[str, Any]]:
    """Attack the same weights without the sanitizer, then with it."""
    import datasets

    from toughen.attack import attack
    from toughen.data.tokens.sanitizer import sanitize

    labels = [classifier.label_names.index(str(label)) for label in dev["label"]]
    labelled = datasets.Dataset.from_dict({"text": list(dev["text"]), "label": labels, "row": list(range(len(dev)))})
    made = []
    own = classifier.tokenizer.backend_tokenizer.normalizer
    for on in (False, True):
        if on:
            sanitize(classifier.tokenizer)
        for name in ATTACKS:
            result = attack(classifier, labelled, name, limit=ATTACKED, seed=seed, budget=BUDGET)
            told = result.as_dict()
            made.append(
                {"seed": seed, "attack": name, "sanitizer": on, "texts": ATTACKED, "training_texts_changed": affected}
                | {key: told[key] for key in ("accuracy_before", "accuracy_after")}
            )
            print(made[-1], flush=True)
    classifier.tokenizer.backend_tokenizer.normalizer = own
    return made


def labels_changed(run: Any, texts: list[str]) -> int:
    """Return how many of these texts get another label by the same weights behind the sanitizer."""
    from toughen.data.tokens.sanitizer import sanitize

    before = run.classifier.predict(texts) if texts else []
    sanitize(run.classifier.tokenizer)
    after = run.classifier.predict(texts) if texts else []
    return sum(one["label"] != other["label"] for one, other in zip(before, after, strict=True))


def table(found: dict[str, Any]) -> str:
    lines = ["# The sanitizer", "", f"`{found['command']}`; what is counted, and how, stands at the script's head.", ""]
    lines += ["| clean texts | changed beyond NFKC | other token ids | other labels, by seed |", "|---|---|---|---|"]
    for row in found["clean"]:
        ids = ", ".join(f"{name} {count:,}" for name, count in row["ids_changed"].items())
        labels = ", ".join(map(str, row.get("labels_changed", []))) or "not measured"
        lines.append(f"| {row['data']}, {row['texts']:,} | {row['texts_changed']:,} | {ids} | {labels} |")
    lines += [
        "",
        "| attack | seed | accuracy before | after, without the sanitizer | after, with it |",
        "|---|---|---|---|---|",
    ]
    rows = {(row["attack"], row["seed"], row["sanitizer"]): row for row in found["attacks"]}
    for name in ATTACKS:
        for seed in SEEDS:
            without, guarded = rows[name, seed, False], rows[name, seed, True]
            numbers = (without["accuracy_before"], without["accuracy_after"], guarded["accuracy_after"])
            lines.append(f"| {name} | {seed} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
