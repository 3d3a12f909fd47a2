"""Which texts a run learns from, and how they are divided: the `data` part of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from toughen.fields import require, setting

Task = Literal["auto", "single-label", "multi-label", "regression", "tokens"]
COLUMNS = ("text", "text_pair", "label", "group")
ONE_LABEL = ("auto", "single-label")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where texts and labels come from, and what is held out of training."""

    source: str = setting("", "hub id, file (.csv .tsv .jsonl .json .parquet) or folder")
    task: Task = setting(
        "auto", "what a label is: auto (told from the data), single-label, multi-label, regression or tokens"
    )
    text: str | None = setting(None, "column that holds the text (tokens: the words); null = found by name")
    text_pair: str | None = setting(None, "column that holds the second text of a pair; null = found by name")
    label: str | None = setting(None, "column that holds the label, or several 0/1 columns a,b,c; null = found by name")
    positive_label: str | None = setting(None, "of two classes, the one that becomes id 1; null = the last in order")
    group: str | None = setting(None, "column whose equal values stay on one side of every division; null = none")
    validation_share: float = setting(0.1, "stratified share of train held out when no validation split is given")
    drop_shared: bool = setting(True, "drop from train the texts that also stand in validation or test")
    unlabelled: str | None = setting(None, "source of texts without labels, for the terms that need none")
    unlabelled_ratio: float = setting(1.0, "unlabelled rows per labelled row in a batch")
    augment: str | None = setting(None, "pairs.parquet of an attack on training texts: what it found joins train")

    def __post_init__(self) -> None:
        share, ratio = self.validation_share, self.unlabelled_ratio
        require(0 < share < 1, "data.validation_share", share, "must be above 0 and below 1")
        require(ratio >= 0, "data.unlabelled_ratio", ratio, "must not be negative")
        for name in (*COLUMNS, "positive_label", "unlabelled", "augment"):
            value = getattr(self, name)
            require(value is None or bool(value.strip()), f"data.{name}", value, "must be null or a name, not empty")
        self._check_columns()
        self._check_task()

    def _check_columns(self) -> None:
        """Refuse one column in two parts."""
        named: dict[str, str] = {}
        for name in COLUMNS:
            column = getattr(self, name)
            other = named.setdefault(column, name) if column is not None else name
            require(other == name, f"data.{name}", column, f"must be another column than data.{other}")

    def _check_task(self) -> None:
        tokens = self.task == "tokens"
        require(self.task in get_args(Task), "data.task", self.task, f"must be one of {', '.join(get_args(Task))}")
        rule = "must be null where data.task is tokens, which has no second text"
        require(not (tokens and self.text_pair), "data.text_pair", self.text_pair, rule)
        rule = "must be null where data.task is tokens, whose every term needs labels"
        require(not (tokens and self.unlabelled), "data.unlabelled", self.unlabelled, rule)
        single = self.positive_label is None or self.task in ONE_LABEL
        rule = f"is for two classes of which a text has one; leave it out where data.task is {self.task}"
        require(single, "data.positive_label", self.positive_label, rule)
