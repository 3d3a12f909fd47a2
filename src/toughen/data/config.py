"""Which texts a run learns from, and how they are divided: the `data` part of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from toughen.fields import require, setting


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where texts and labels come from, and what is held out of training."""

    source: str = setting("", "hub id, file (.csv .tsv .jsonl .json .parquet) or folder")
    text: str | None = setting(None, "column that holds the text; null = found by name")
    label: str | None = setting(None, "column that holds the label; null = found by name")
    validation_share: float = setting(0.1, "stratified share of train held out when no validation split is given")
    drop_shared: bool = setting(True, "drop from train the texts that also stand in validation or test")
    unlabelled: str | None = setting(None, "source of texts without labels, for the terms that need none")
    unlabelled_ratio: float = setting(1.0, "unlabelled rows per labelled row in a batch")

    def __post_init__(self) -> None:
        share, ratio = self.validation_share, self.unlabelled_ratio
        require(0 < share < 1, "data.validation_share", share, "must be above 0 and below 1")
        require(ratio >= 0, "data.unlabelled_ratio", ratio, "must not be negative")
        for name in ("text", "label", "unlabelled"):
            value = getattr(self, name)
            require(value is None or bool(value.strip()), f"data.{name}", value, "must be null or a name, not empty")
        same = self.text is not None and self.text == self.label
        require(not same, "data.label", self.label, "must be another column than data.text")
