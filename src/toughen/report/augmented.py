"""What a training run tells of the adversarial texts that it learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toughen.report.page import Block, Note, Table
from toughen.report.sentences import number

_COLUMNS = {
    "epoch": "before epoch",
    "attacked": "texts attacked",
    "answered_rightly": "answered rightly",
    "fooled": "fooled",
    "added": "added",
    "queries": "queries",
}


def describe_augmentation(account: Mapping[str, Any]) -> Iterator[Block]:
    """Tell what ``--augment`` added.

    Args:
        account: ``augment`` of metrics.json: of attacks before each epoch, or of a file; empty where there were none.
    """
    if "epochs" in account:
        rows = [
            (*(number(epoch[name]) for name in _COLUMNS), number(epoch["seconds"], 1)) for epoch in account["epochs"]
        ]
        heads = (*_COLUMNS.values(), "seconds")
        yield Table(f"Training texts attacked by {account['attack']}, and what joined the epoch", heads, rows)
        yield Note(
            "Fooled: answered rightly until the attack changed the text. A text that stands in a split already, or "
            "twice, is not added. A query is one text read by the model, beside the passes of the steps; the seconds "
            "are part of the training's."
        )
    elif account:
        names = {"pairs": "pairs in the file", "added": "added to train", "left_out": "left out"}
        rows = [(said, number(account[name])) for name, said in names.items()]
        yield Table("Adversarial texts from a file", ("", "texts"), rows)
