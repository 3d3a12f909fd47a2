"""What the commands write, read by other means than they use."""

import csv
import json
from pathlib import Path


def read_back(path: Path) -> list[dict]:
    """Return the rows of a file of any format that texts are labelled into."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines(keepends=True), delimiter="," if path.suffix == ".csv" else "\t"))
