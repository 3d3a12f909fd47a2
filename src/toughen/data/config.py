"""Which texts a run learns from, and how they are divided: the `data` part of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from toughen.settings import require, setting

FRESH = "attack"
"""What stands in `data.augment` for examples that are sought while the model trains."""
NOISE = "noise"
"""What stands there for training texts that are mistyped anew in each epoch."""
FreshAttack = Literal["deepwordbug", "textfooler", "pwws", "beam"]
Task = Literal["auto", "single-label", "multi-label", "regression", "tokens"]
Labels = Literal["folded", "exact"]
BadRows = Literal["refuse", "drop"]
COLUMNS = ("text", "text_pair", "label", "group", "weight")
SOFT_COLUMNS = ("label_columns", "vote_columns")
"""What names several columns of soft labels."""
SOFT_LABEL = "soft_label"
"""The column of a dataset that holds the probabilities of soft labels."""
ONE_LABEL = ("auto", "single-label")


def parse_renames(text: str | None) -> dict[str, str | None]:
    """Read ``pos=positive,N/A=``: names in any case of letters; nothing behind the sign is no label.

    Raises:
        ValueError: if a part has no sign, an empty name before it, or a name that another part has.
    """
    found: dict[str, str | None] = {}
    for part in (text or "").split(",") if text else []:
        old, sign, new = (piece.strip() for piece in part.partition("="))
        if not sign or not old:
            raise ValueError(f"{part.strip()!r} is not OLD=NEW")
        if old.casefold() in found:
            raise ValueError(f"{old!r} is named twice")
        found[old.casefold()] = new or None
    return found


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where texts and labels come from, and what is held out of training."""

    source: str = setting("", "hub id, file (.csv .tsv .jsonl .json .parquet) or folder")
    task: Task = setting(
        "auto", "what a label is: auto (inferred from the data), single-label, multi-label, regression or tokens"
    )
    text: str | None = setting(None, "column that holds the text (tokens: the words); null = found by name")
    text_pair: str | None = setting(None, "column that holds the second text of a pair; null = found by name")
    label: str | None = setting(None, "column that holds the label, or several 0/1 columns a,b,c; null = found by name")
    label_columns: str | None = setting(
        None, "columns a,b,c of a probability of each class (soft labels), whose names are the classes; null = none"
    )
    vote_columns: str | None = setting(
        None,
        "columns a,b,c of a class each, one per annotator, or one of lists of classes: shares of votes are soft labels",
    )
    positive_label: str | None = setting(None, "of two classes, the one that becomes id 1; null = the last in order")
    group: str | None = setting(None, "column whose equal values stay on one side of every division; null = none")
    weight: str | None = setting(
        None, "column of numbers above 0: what each row counts for in losses and scores; null = all alike"
    )
    validation_share: float = setting(0.1, "stratified share of train held out when no validation split is given")
    drop_shared: bool = setting(True, "drop from train the texts that also stand in validation or test")
    unlabelled: str | None = setting(None, "source of texts without labels, for the terms that need none")
    unlabelled_ratio: float = setting(1.0, "unlabelled rows per labelled row in a batch")
    encoding: str | None = setting(None, "encoding of text files, such as gbk, utf-16 or latin-1; null = UTF-8")
    labels: Labels = setting(
        "folded", "spellings of a label that differ in case or outer space: folded into the commonest, or exact"
    )
    bad_rows: BadRows = setting("refuse", "rows that cannot be read, or have no text or no label: refuse or drop")
    sanitize: bool = setting(
        False,
        "take out what a reader does not see, in training and ever after: invisible and bidirectional characters, "
        "look-alike letters in words of two alphabets, heaps of marks; NFKC",
    )
    drop: str | None = setting(
        None, "file whose column row numbers training rows to leave out, as toughen audit writes"
    )
    relabel: str | None = setting(
        None,
        "file whose columns row and label give training rows other labels (empty = as it is), as toughen audit writes",
    )
    rename_labels: str | None = setting(
        None, "labels that are read as others, OLD=NEW,... in any case of letters; nothing behind = is no label"
    )
    augment: str | None = setting(
        None,
        "pairs.parquet of an attack on training texts: what it found joins train; attack = sought anew each epoch; "
        "noise = training texts mistyped anew each epoch",
    )

    def __post_init__(self) -> None:
        share, ratio = self.validation_share, self.unlabelled_ratio
        require(0 < share < 1, "data.validation_share", share, "must be above 0 and below 1")
        require(ratio >= 0, "data.unlabelled_ratio", ratio, "must not be negative")
        given = (*COLUMNS, *SOFT_COLUMNS, "positive_label", "unlabelled", "drop", "relabel", "rename_labels", "augment")
        for name in given:
            value = getattr(self, name)
            require(value is None or bool(value.strip()), f"data.{name}", value, "must be null or a name, not empty")
        for name, choices in (("labels", Labels), ("bad_rows", BadRows)):
            value, known = getattr(self, name), get_args(choices)
            require(value in known, f"data.{name}", value, f"must be one of {', '.join(known)}")
        self._check_encoding()
        self._check_renames()
        self._check_columns()
        self._check_soft_labels()
        self._check_task()

    def _check_encoding(self) -> None:
        try:
            known = self.encoding is None or bool("a".encode(self.encoding))
        except LookupError:
            known = False
        require(
            known, "data.encoding", self.encoding, "must name an encoding of text, such as gbk or utf-16, or be null"
        )

    def _check_renames(self) -> None:
        try:
            parse_renames(self.rename_labels)
        except ValueError as error:
            rule = f"must be OLD=NEW,... with each OLD once, but {error}"
            require(False, "data.rename_labels", self.rename_labels, rule)

    def _check_columns(self) -> None:
        """Refuse one column in two parts."""
        named: dict[str, str] = {}
        for name in COLUMNS:
            column = getattr(self, name)
            other = named.setdefault(column, name) if column is not None else name
            require(other == name, f"data.{name}", column, f"must be another column than data.{other}")

    def _check_soft_labels(self) -> None:
        for name in SOFT_COLUMNS:
            value = getattr(self, name)
            rule = "must be null where data.label is named: a row has either one class or soft labels"
            require(value is None or self.label is None, f"data.{name}", value, rule)
            rule = "is for texts with one class each; leave it out"
            require(
                value is None or self.task in ONE_LABEL, f"data.{name}", value, f"{rule} where data.task is {self.task}"
            )
            hard = [one for one in ("relabel", "rename_labels") if getattr(self, one) is not None]
            rule = f"must be null where data.{' and data.'.join(hard)} is given, which is for one class per row"
            require(value is None or not hard, f"data.{name}", value, rule)
        both = self.label_columns is not None and self.vote_columns is not None
        require(not both, "data.vote_columns", self.vote_columns, "must be null where data.label_columns is named")

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


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How training texts change while the model trains; in force with `data.augment: attack` or `noise`.

    Noise: in each epoch a share of the training texts, others each time, is read with one kind of typing noise
    (letters, case, spelling, spacing, punctuation, ...) at a severity of 1 to 5. It costs no pass and no step.

    Before an epoch the model, as it then is, is attacked on a share of the training texts. What fools it joins that
    epoch with its true label. Cost: no pass per step, but up to `queries` forward passes per attacked text and epoch,
    and steps for the share of rows that join.
    """

    attack: FreshAttack = setting("deepwordbug", "deepwordbug edits letters; textfooler, pwws and beam exchange words")
    share: float = setting(
        0.1, "share of the training texts that are attacked, or mistyped, each epoch; others each time"
    )
    severity: int = setting(1, "of noise, 1 to 5: about 5, 10, 20, 35 or 50 % of what such noise can change")
    queries: int = setting(50, "texts that the model is asked about at most for each attacked text")
    max_changed: float = setting(0.2, "share of a text's words that may be changed; one always may")
    neighbours: str | None = setting(None, "word list of the attacks that exchange words; they need one")
    clean_epochs: int = setting(1, "epochs before the first attack: a new head's mistakes teach nothing")
    every: int = setting(1, "epochs between two attacks; in between, what was found last stays")

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "augment.share", self.share, "must be from 0 (nothing) to 1")
        require(0 < self.max_changed <= 1, "augment.max_changed", self.max_changed, "must be above 0 and at most 1")
        require(1 <= self.severity <= 5, "augment.severity", self.severity, "must be 1 to 5")
        for name in ("queries", "every"):
            require(getattr(self, name) >= 1, f"augment.{name}", getattr(self, name), "must be at least 1")
        require(self.clean_epochs >= 0, "augment.clean_epochs", self.clean_epochs, "must not be negative")
        kind = get_args(FreshAttack)
        require(self.attack in kind, "augment.attack", self.attack, f"must be one of {', '.join(kind)}")

    def count(self, rows: int) -> int:
        """Return how many of so many training texts are attacked at a time."""
        return round(self.share * rows)

    def find_source_epoch(self, epoch: int) -> int | None:
        """Return the epoch, from 0, at whose start the examples of an epoch are sought; None where it has none."""
        since = epoch - self.clean_epochs
        return None if since < 0 else epoch - since % self.every
