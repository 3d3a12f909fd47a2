"""One label in several spellings, labels that stand for no label, and which of two labels is the positive one."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toughen.data.columns.labels import Labels, translate_labels
from toughen.data.read.raw import quote_names

NUMERIC = re.compile(r"[+-]?\d+([.,]\d+)?")
SHORTEST = 3  # letters of a word that may stand for a longer one

# fmt: off
LIKE_MISSING = frozenset((
    "", "-", "--", "?", "??", ".", "n/a", "na", "n.a.", "#n/a", "nan", "<na>", "nat", "null", "none", "nil", "missing",
    "undefined", "unlabelled", "unlabeled", "tbd", "todo", "无", "空", "未知", "未标注", "缺失",
))
POSITIVE = frozenset((
    "positive", "pos", "yes", "y", "true", "t", "good", "like", "recommended", "spam", "toxic", "hate", "hateful",
    "offensive", "abusive", "fraud", "phishing", "malicious", "fake", "clickbait", "sarcastic", "ironic", "relevant",
    "duplicate", "entailment", "paraphrase", "equivalent", "acceptable", "urgent", "👍", "😀", "😊", "🙂", "😃",
    "好评", "正面", "积极", "正向", "正", "正例", "是", "有", "对", "喜欢", "推荐", "满意", "垃圾", "垃圾邮件",
    "垃圾短信", "谣言", "违规", "广告", "诈骗", "相似", "相关", "同义", "蕴含", "讽刺",
))
# fmt: on
"""Usual names, in lower case, of the class that a precision is asked of."""


def positive_last(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return two classes in the order in which a usual name of the positive class is id 1; others as they are."""
    usual = [name for name in names if name.casefold() in POSITIVE]
    return names[::-1] if len(names) == 2 and usual == [names[0]] else names


def fold_spellings(targets: Iterable[Any]) -> list[str]:
    """Make one label of those that differ in case alone, in every split; return what was done, as sentences.

    The commonest spelling stays, of equally common ones the first by alphabet. Labels whose order the source keeps have
    names of their own and stay. Space around a label never counts: it is gone when labels have been read.

    Args:
        targets: the labels of every split (see `toughen.data.columns.targets`); changed in place.
    """
    named = [target for target in targets if hasattr(target, "labels")]
    if any(target.labels.order for target in named):
        return []
    found = spellings(target.labels for target in named)
    table = {name: kept for kept, counts in found.items() for name in counts}
    changed = {kept: counts for kept, counts in found.items() if len(counts) > 1}
    if changed:
        for target in named:
            target.labels = translate_labels(target.labels.names, table)
    return [
        f"one label in {len(counts)} spellings: {_list_counts(counts)}; read as {kept!r} (data.labels exact keeps them "
        "apart)"
        for kept, counts in changed.items()
    ]


def spellings(columns: Iterable[Labels]) -> dict[str, dict[str, int]]:
    """Return {commonest spelling: {each of its spellings: rows}} of all labels."""
    counts: Counter[str] = Counter()
    for labels in columns:
        for entry in labels.names.value_counts().to_pylist():
            if entry["values"] is not None:
                counts[entry["values"]] += entry["counts"]
    groups: dict[str, dict[str, int]] = {}
    for name, rows in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        groups.setdefault(name.casefold(), {})[name] = rows
    return {next(iter(own)): own for own in groups.values()}


def _list_counts(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name!r} ({rows:,})" for name, rows in list(counts.items())[:6])
    return shown + (f" and {len(counts) - 6} more" if len(counts) > 6 else "")


def like_missing(names: Sequence[str]) -> list[str]:
    """Return a sentence where labels look like the ways in which people write that there is none."""
    found = [name for name in names if name.casefold() in LIKE_MISSING]
    return (
        [
            f"label {quote_names(found)} looks like a missing value, and is a class here: if it is none, "
            f"{rename_flag(dict.fromkeys(found, ''))} --data.bad_rows drop leaves those rows out"
        ]
        if found
        else []
    )


def find_alike(names: Sequence[str]) -> dict[str, str]:
    """Return {label: the one that it may be another spelling of}: of two, the commoner is kept.

    Two words are alike where one begins with the whole of the other (pos, positive), two labels where nothing but
    space or punctuation tells them apart. Numbers are not.

    Args:
        names: of labels that differ in more than case, the commonest first.
    """
    found: dict[str, str] = {}
    for place, name in enumerate(names):
        other = next((kept for kept in names[:place] if kept not in found and _are_alike(kept, name)), None)
        if other is not None:
            found[name] = other
    return found


def _are_alike(one: str, other: str) -> bool:
    if NUMERIC.fullmatch(one) or NUMERIC.fullmatch(other):
        return False
    bare = [re.sub(r"[\W_]+", "", name).casefold() for name in (one, other)]
    if bare[0] == bare[1] != "":
        return True
    short, long = sorted((one.casefold(), other.casefold()), key=len)
    return len(short) >= SHORTEST and short.isalpha() and long.isalpha() and long.startswith(short)


def rename_flag(renames: Mapping[str, str]) -> str:
    """Return the flag that renames labels, quoted for a shell."""
    value = ",".join(f"{old}={new}" for old, new in renames.items())
    return f"--data.rename_labels {shlex.quote(value)}"


def said_positive(names: Sequence[str]) -> str:
    """Say which of two classes is the positive one."""
    return (
        f"positive class: {names[1]!r} (precision, recall and F1 are its own; --data.positive_label {names[0]!r} "
        "takes the other)"
    )
