"""An audit as files: audit.json, rows.parquet, and tables to correct and to train with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toughen.assess.evaluation_files import plain
from toughen.files import write_json, write_whole
from toughen.runs.writer import replace_folder

if TYPE_CHECKING:
    from toughen.assess.audit.findings import Findings, Pool

AUDITS, RESULT = "audits", "audit.json"
RELABEL, DROP, OUTLIERS, ROWS = "relabel.csv", "drop.csv", "outliers.csv", "rows.parquet"


def save(folder: Path, content: Mapping[str, Any], pool: Pool, found: Findings) -> None:
    """Write all files or none, in place of an earlier audit."""
    texts = {name: pool.rows[name][:] for name in ("text", "text_pair") if name in pool.rows.column_names}
    whole = pd.DataFrame({"row": pool.rows["row"][:], "label": [pool.names[i] for i in pool.labels], **texts})
    tables = {
        RELABEL: _relabel(whole, pool, found),
        DROP: _drop(whole, found),
        OUTLIERS: whole.iloc[found.outliers].assign(
            distance=[] if found.distance is None else found.distance[found.outliers].round(3)
        ),
    }
    with replace_folder(folder, keep=True) as part:
        for name, table in tables.items():
            order = [c for c in table.columns if c not in texts] + list(texts)  # what is read first stands first
            text = table[order].to_csv(index=False, lineterminator="\n")
            (part / name).write_text(text, encoding="utf-8")
        write_whole(part / ROWS, lambda target: _all_rows(whole, pool, found).to_parquet(target, index=False))
        write_json(part / RESULT, plain(content))


def _relabel(whole: Any, pool: Pool, found: Findings) -> Any:
    """Return the rows whose label is likely wrong or contradicts a copy's, with a suggestion and an empty label."""
    likely = dict(zip(found.errors.rows.tolist(), found.errors.suggested.tolist(), strict=True))
    suggested = {row: int(found.agreed[row]) for row in found.contradictions.tolist()} | likely
    rows = np.array(sorted(suggested, key=lambda row: pool.probabilities[row, pool.labels[row]]), dtype=np.int64)
    labels = np.array([suggested[row] for row in rows.tolist()], dtype=np.int64)
    table = whole.iloc[rows].rename(columns={"label": "given"})
    table.insert(1, "label", "")  # to be filled in: a suggestion that nobody has looked at is too often wrong
    table["suggested"] = [pool.names[i] for i in labels]
    contradicting = set(found.contradictions.tolist())
    table["reason"] = [
        " and ".join(["likely wrong"] * (row in likely) + ["contradicts a copy"] * (row in contradicting))
        for row in rows.tolist()
    ]
    table["probability_given"] = pool.probabilities[rows, pool.labels[rows]].round(4)
    table["probability_suggested"] = pool.probabilities[rows, labels].round(4)
    return table


def _drop(whole: Any, found: Findings) -> Any:
    """Return the later rows of texts that recur, or nearly so, under the same label."""
    numbers = whole["row"].to_numpy()
    return whole.iloc[found.copies].assign(copy_of=numbers[found.group[found.copies]])


def _all_rows(whole: Any, pool: Pool, found: Findings) -> Any:
    own = pool.probabilities[np.arange(len(pool.labels)), pool.labels]
    likely = np.zeros(len(own), dtype=bool)
    likely[found.errors.rows] = True
    numbers = whole["row"].to_numpy()
    return whole[["row", "label"]].assign(
        fold=pool.fold,
        probability_given=own,
        prediction=[pool.names[i] for i in pool.probabilities.argmax(axis=1)],
        likely_wrong=likely,
        group=numbers[found.group],
        distance=np.nan if found.distance is None else found.distance,
    )
