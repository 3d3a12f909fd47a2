"""What `toughen audit` finds: labels that were flipped in real data, beside cleanlab on the same probabilities.

    python benchmarks/audit.py --data PATH_TO_DATA [--cleanlab FOLDER]

flips 5 % and 10 % of the labels of CR (customer reviews, 2 classes) and TREC (questions, 6 classes), each to another
class drawn uniformly; takes five-fold out-of-fold probabilities of logistic regression on frozen all-MiniLM-L6-v2
features; and counts which flips are named. And it mixes 1 % of the other set's texts in, to see whether they rank as
outliers. The data are parquet files with columns text and label; they are not part of the project, and no text of
them is written: benchmarks/results/audit.json holds counts. cleanlab is no dependency: it stands in a folder of its own
(pip install --no-deps --target FOLDER cleanlab termcolor), and is left out where there is none.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
SETS = {"cr": "cr/all.parquet", "trec": "trec/train.parquet"}
SHARES, SEEDS, FOLDS, MIXED = (0.05, 0.1), (0, 1, 2), 5, 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data")
    parser.add_argument("--cleanlab", type=Path, help="folder into which cleanlab was installed")
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    args = parser.parse_args()
    if not args.table:
        if args.data is None or not Path(args.data).is_dir():
            sys.exit("give the folder with the data: --data PATH (or TOUGHEN_DATA)")
        if args.cleanlab is not None:
            sys.path.append(str(args.cleanlab))
        (RESULTS / "audit.json").write_text(json.dumps(measure(Path(args.data)), indent=1) + "\n")
    (RESULTS / "audit.md").write_text(table(json.loads((RESULTS / "audit.json").read_text())))


def measure(root: Path) -> dict[str, Any]:
    import pandas as pd

    frames = {name: pd.read_parquet(root / path) for name, path in SETS.items()}
    began = time.process_time()
    vectors = {name: features(list(frame["text"])) for name, frame in frames.items()}
    found: dict[str, Any] = {
        "command": "python benchmarks/audit.py --data PATH --cleanlab FOLDER",
        "rows": {name: len(frame) for name, frame in frames.items()},
        "cpu_seconds_of_features": round(time.process_time() - began, 1),
        "cleanlab": importlib.metadata.version("cleanlab") if importlib.util.find_spec("cleanlab") else None,
        "flipped": [],
        "outliers": [],
    }
    for name, frame in frames.items():
        labels = frame["label"].to_numpy()
        found["flipped"] += [flips(name, vectors[name], labels, share, seed) for share in SHARES for seed in SEEDS]
        other = next(one for one in SETS if one != name)
        found["outliers"] += [mixed(name, vectors[name], vectors[other], seed) for seed in SEEDS]
    return found


def features(texts: list[str]) -> Any:
    """Return the mean over the tokens of the frozen encoder, standardised: [N, 384]."""
    import datasets
    from sklearn.preprocessing import StandardScaler

    from toughen.demo.encoder import find_minilm
    from toughen.huggingface.pretrained import load_frozen
    from toughen.recipe.recipe import load_recipe
    from toughen.training.frozen import frozen_features

    recipe = load_recipe("plain", {"model": str(find_minilm()), "training.max_length": 64})
    model = load_frozen(recipe, ("a", "b"), "single-label", pairs=False)
    rows = datasets.Dataset.from_dict({"text": texts})
    return StandardScaler().fit_transform(frozen_features(model, rows, ("mean",), batch_size=64)["mean"])


def flips(name: str, x: Any, truth: Any, share: float, seed: int) -> dict[str, Any]:
    """Flip a share of the labels, and count which of them are named."""
    from toughen.assess.audit.label_errors import find_label_errors

    draw, classes = np.random.default_rng(seed), int(truth.max()) + 1
    rows = draw.choice(len(truth), round(share * len(truth)), replace=False)
    labels = truth.copy()
    labels[rows] = (truth[rows] + draw.integers(1, classes, len(rows))) % classes
    wrong = labels != truth
    p = out_of_fold(x, labels, seed)
    errors = find_label_errors(labels, p)
    corrected = labels.copy()
    corrected[errors.rows] = errors.suggested
    row = {
        "data": name, "share": share, "seed": seed, "flipped": len(rows), "estimated_share": errors.share,
        "accuracy_on_true_labels": float((p.argmax(axis=1) == truth).mean()),
        "true_labels_before": float((labels == truth).mean()),
        "true_labels_with_all_suggestions": float((corrected == truth).mean()),
        "toughen": counts(errors.rows, wrong),
    }  # fmt: skip
    if importlib.util.find_spec("cleanlab"):
        from cleanlab.filter import find_label_issues

        for rule in ("prune_by_noise_rate", "prune_by_class", "confident_learning"):
            given = {"filter_by": rule, "return_indices_ranked_by": "self_confidence", "n_jobs": 1}
            row[f"cleanlab, {rule}"] = counts(find_label_issues(labels, p, **given), wrong)
    return row


def out_of_fold(x: Any, labels: Any, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    p = np.zeros((len(labels), int(labels.max()) + 1))
    for learn, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, labels):
        model = LogisticRegression(C=0.003, max_iter=200, tol=1e-3).fit(x[learn], labels[learn])
        p[held] = model.predict_proba(x[held])
    return p


def counts(rows: Any, wrong: Any) -> dict[str, Any]:
    """Return how many rows are named, how many of them were flipped, and that of the first as many as were flipped."""
    most = int(wrong.sum())
    return {"named": len(rows), "right": int(wrong[rows].sum()), "right_of_the_first": int(wrong[rows[:most]].sum())}


def mixed(name: str, own: Any, other: Any, seed: int) -> dict[str, Any]:
    """Mix in texts of the other set, and see how they rank."""
    from toughen.assess.audit.outliers import FAR, outlier_scores
    from toughen.assess.novelty import auroc

    draw = np.random.default_rng(seed)
    count = round(MIXED * len(own))
    x = np.concatenate([own, other[draw.choice(len(other), count, replace=False)]])
    scores = outlier_scores(x, draw.integers(0, FOLDS, len(x)))
    return {
        "data": name, "seed": seed, "foreign": count, "named": int((scores > FAR).sum()),
        "right": int((scores[len(own) :] > FAR).sum()), "auroc": auroc(scores[len(own) :], scores[: len(own)]),
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """Return the page: means over the seeds."""
    lines = [
        "# Flipped labels found by an audit",
        "",
        f"Labels of CR ({found['rows']['cr']:,} customer reviews, 2 classes) and TREC ({found['rows']['trec']:,} "
        "questions, 6 classes), a share of them flipped to another class; five-fold out-of-fold probabilities of "
        f"logistic regression on frozen all-MiniLM-L6-v2 features. Means over {len(SEEDS)} draws. Precision: the share "
        "of the named rows that were flipped; a label that was wrong before counts against it. Recall: the share of "
        "the flipped rows that are named. At the top: precision of the first as many as were flipped (where recall "
        f"equals it). cleanlab {found['cleanlab']} is given the same probabilities. Written by "
        "`python benchmarks/audit.py --table` from `audit.json`.",
        "",
        "| data | flipped | who | named | precision | recall | at the top |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        for share in SHARES:
            rows = [row for row in found["flipped"] if (row["data"], row["share"]) == (name, share)]
            for who in [key for key in rows[0] if isinstance(rows[0][key], dict)]:
                cells = [mean(rows, who, *pair) for pair in PAIRS]
                named = np.mean([row[who]["named"] for row in rows])
                lines.append(f"| {name} | {share:.0%} | {who} | {named:,.0f} | {' | '.join(cells)} |")
    lines += [
        "",
        "| data | flipped | answered rightly | true labels before | with every suggestion | estimated wrong |",
    ]
    lines += ["|---|---|---|---|---|---|"]
    keys = ("accuracy_on_true_labels", "true_labels_before", "true_labels_with_all_suggestions", "estimated_share")
    for name in SETS:
        for share in SHARES:
            rows = [row for row in found["flipped"] if (row["data"], row["share"]) == (name, share)]
            lines.append(
                f"| {name} | {share:.0%} | " + " | ".join(f"{np.mean([r[k] for r in rows]):.3f}" for k in keys) + " |"
            )
    lines += ["", f"{MIXED:.0%} of the other set's texts mixed in, by the distance to the nearest others:", ""]
    lines += ["| data | AUROC | named | of them foreign | foreign texts |", "|---|---|---|---|---|"]
    for name in SETS:
        rows = [row for row in found["outliers"] if row["data"] == name]
        cells = [f"{np.mean([row[key] for row in rows]):,.0f}" for key in ("named", "right", "foreign")]
        lines.append(f"| {name} | {np.mean([row['auroc'] for row in rows]):.3f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


PAIRS = (("right", "named"), ("right", None), ("right_of_the_first", None))


def mean(rows: list[dict[str, Any]], who: str, of: str, among: str | None) -> str:
    """Return the mean share as text; among the flipped rows where nothing else is said."""
    return f"{np.mean([row[who][of] / (row[who][among] if among else row['flipped']) for row in rows]):.3f}"


if __name__ == "__main__":
    main()
