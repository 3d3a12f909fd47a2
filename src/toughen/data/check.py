"""All that is wrong with a source, and all that is odd, at once: what stops a training and what only ought to be known.

The checks are those of `toughen.data.splits.splits_of`: it stops at the first, this goes on past each.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from toughen.arrays import Ints
from toughen.data.columns.bad_rows import bad_rows, without_rows
from toughen.data.columns.find import SeveralColumnsError, present
from toughen.data.columns.labels import Labels, check_renames, put_last
from toughen.data.columns.roles import Columns, choose, named_labels, soft_label_names
from toughen.data.columns.spelling import find_alike, fold_spellings, like_missing, rename_flag, spellings
from toughen.data.columns.targets import target_of
from toughen.data.columns.texts import read_texts
from toughen.data.config import COLUMNS, SOFT_COLUMNS, Data
from toughen.data.read.chunks import hash_texts, pieces
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.raw import NoRowsError, Raw, quote_names
from toughen.data.read.sources import read_source
from toughen.data.splits import LABELLED, read_facts, read_unlabelled, splits_of
from toughen.errors import InputError, count
from toughen.tasks import TaskName

DROP = "--data.bad_rows drop"
DROPPED = "left out (data.bad_rows drop)"
SHOWN = 5  # rows that are named
FEW = 10  # texts of a class below which little can be learnt of it
SAMPLED = 2_000  # texts whose letters are looked at


@dataclass(frozen=True)
class Problem:
    """One kind of thing that is wrong or odd.

    Attributes:
        stops: whether a training refuses the data for it.
        says: what it is, where, and how often.
        rows: the first rows where it stands, from 1.
        remedy: the flag that mends it, or what else to do.
    """

    stops: bool
    says: str
    rows: tuple[int, ...] = ()
    remedy: str = ""

    def line(self) -> str:
        """Return it as one line."""
        where = f" (row {', '.join(map(str, self.rows))}{', ...' if len(self.rows) == SHOWN else ''})" * bool(self.rows)
        return f"{self.says}{where}{f': {self.remedy}' if self.remedy else ''}"


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Attributes:
        problems: those that stop a training first.
        lines: the account of what would be trained on, bad rows left out; empty where nothing is left.
    """

    problems: tuple[Problem, ...]
    lines: tuple[str, ...]

    @property
    def stops(self) -> bool:
        """Tell whether a training would refuse the data."""
        return any(problem.stops for problem in self.problems)


def check(config: Data, *, seed: int, data: object | None = None) -> Checked:
    """Look at everything in a source.

    Args:
        config: the `data` part of a recipe.
        seed: as for :func:`toughen.data.load_splits`, like ``data``.
        data: in place of ``config.source``.
    """
    problems: list[Problem] = []
    lines: tuple[str, ...] = ()
    try:
        raws = read_source(config.source if data is None else data, encoding=config.encoding, drop=True)
        problems = find_fatal_problems(raws, config)
        train = _train(raws)
        config, _ = _with_likeliest(train, config)
        columns, task = choose(train, config)
        clean = {name: raw for name, (raw, _) in _divide_rows(raws, columns, task).items()}
        problems += _odd(clean, columns, task, config)
        summary = splits_of(raws, replace(config, bad_rows="drop"), seed).summary
        problems += _describe_repeats(summary.shared, summary.repeated, summary.conflicting)
        lines = tuple(summary.lines())
    except InputError as error:
        left_bare = isinstance(error, NoRowsError) and bool(problems)  # each row is bad, and that is told
        problems += [] if left_bare else _new([_refusal(error)], problems)
    return Checked(tuple(sorted(problems, key=lambda problem: not problem.stops)), lines)


def find_fatal_problems(raws: Mapping[str, Raw], config: Data) -> list[Problem]:
    """Return every kind of thing for which a training refuses the data, each once.

    Args:
        raws: the splits, as they were read; damaged rows left out and named in them.
        config: the `data` part of a recipe.
    """
    refuses = config.bad_rows == "refuse"
    problems = [problem for raw in raws.values() for problem in _report_damage(raw, refuses)]
    try:
        train = _train(raws)
        missing = _missing_columns(train, config)
        if missing:
            return problems + missing
        config, unclear = _with_likeliest(train, config)
        problems += unclear
        columns, task = choose(train, config)
    except InputError as error:
        return [*problems, _refusal(error)]
    divided: dict[str, Raw] = {}
    for name, raw in _select_labelled(raws).items():
        found = _collect_problems(bad_rows, raw, columns, task)
        if found:
            problems += found
            continue
        try:
            divided[name], bad = _divide_rows({name: raw}, columns, task)[name]
        except NoRowsError:  # every row is bad: that is what is wrong, and there is nothing left to look at
            bad = bad_rows(raw, columns, task)
        problems += [_bad(raw, what, rows, refuses) for what, rows in bad.items()]
    return problems + _new(_faults(raws, divided, columns, task, config), problems)


def _train(raws: Mapping[str, Raw]) -> Raw:
    train = raws.get(WHOLE) or raws.get("train")
    if train is None:
        raise InputError(
            f"The data has no train split, only {quote_names(list(raws))}; add one, or give a single file."
        )
    return train


def _with_likeliest(train: Raw, config: Data) -> tuple[Data, list[Problem]]:
    """Name the likeliest column where several could be the text or the label, so that all else is looked at too."""
    problems: list[Problem] = []
    while True:
        try:
            choose(train, config)
        except SeveralColumnsError as error:
            taken = f"what else is told takes {error.likeliest!r}"
            problems.append(Problem(True, _refusal(error).says, (), taken))
            named: dict[str, Any] = {error.role: error.likeliest}
            config = replace(config, **named)
        except InputError:
            return config, problems
        else:
            return config, problems


def _select_labelled(raws: Mapping[str, Raw]) -> dict[str, Raw]:
    return {"train": _train(raws)} | {name: raws[name] for name in LABELLED[1:] if name in raws}


def _divide_rows(raws: Mapping[str, Raw], columns: Columns, task: TaskName) -> dict[str, tuple[Raw, dict[str, Ints]]]:
    """Return each labelled split without its bad rows, and those; a split that withholds its labels as it is."""
    found = {}
    for name, raw in (_select_labelled(raws) if WHOLE in raws or "train" in raws else raws).items():
        bad = bad_rows(raw, columns, task)
        withheld = any(_withholds_labels(name, raw, rows) for rows in bad.values())
        found[name] = (raw, {}) if withheld else (without_rows(raw, bad), bad)
    return found


def _missing_columns(train: Raw, config: Data) -> list[Problem]:
    """Return a problem for each column that is named and is not there."""
    named = {role: getattr(config, role) for role in COLUMNS if getattr(config, role) is not None}
    problems = [
        one for role, name in named.items() if role != "label" for one in _collect_problems(present, train, name, role)
    ]
    if any(getattr(config, role) is not None for role in SOFT_COLUMNS):
        problems += _collect_problems(soft_label_names, train, config)
    return problems + (_collect_problems(named_labels, train, named["label"]) if "label" in named else [])


def _faults(
    raws: Mapping[str, Raw], splits: Mapping[str, Raw], columns: Columns, task: TaskName, config: Data
) -> list[Problem]:
    """Return what stops a training about the rows that are left in the splits."""
    problems: list[Problem] = []
    targets: dict[str, Any] = {}
    for name, raw in splits.items():
        problems += _collect_problems(read_texts, raw, columns, task)
        problems += _collect_problems(read_facts, raw, columns, name)
        try:
            target = target_of(task, raw, columns)
            if not (name == "test" and task != "tokens" and target.withheld()):
                target.check()
                targets[name] = target
        except InputError as error:
            problems.append(_refusal(error))
    if task == "single-label":
        whole = list(_select_labelled(raws).values())
        problems += _collect_problems(check_renames, whole, columns.label[0], columns.renames)
    if "train" in targets:
        with suppress(InputError):  # bad rows may carry labels that no other has: once they are mended, train has them
            targets["train"] = target_of(task, _train(raws), columns)
        problems += _unlearnable(targets, config)
    if config.unlabelled is not None:
        problems += _collect_problems(lambda: read_unlabelled(config, columns))
    return problems


def _unlearnable(targets: Mapping[str, Any], config: Data) -> list[Problem]:
    """Return what stops a training about the labels: one class alone, or a label that train lacks."""
    if config.labels == "folded":
        fold_spellings(targets.values())
    train = targets["train"]
    try:
        names = train.label_names()
        if config.positive_label is not None:
            put_last(names, config.positive_label, train.raw)
    except InputError as error:
        return [] if _has_unknown(train) else [_refusal(error)]
    others = [target for name, target in targets.items() if name != "train"]
    return [one for target in others for one in _collect_problems(target.check_seen, train, names)]


def _has_unknown(target: Any) -> bool:
    """Tell labels of which some cannot be read or are missing: once mended, they may be of another class."""
    return bool(target.raw.damage) or bool(hasattr(target, "labels") and target.labels.names.null_count)


def _collect_problems(look: Callable[..., object], *args: object) -> list[Problem]:
    try:
        look(*args)
    except InputError as error:
        return [_refusal(error)]
    return []


def _refusal(error: InputError) -> Problem:
    return Problem(True, str(error).removesuffix("."))


def _new(found: Sequence[Problem], known: Sequence[Problem]) -> list[Problem]:
    """Return what is found and not known, each once."""
    return [one for one in dict.fromkeys(found) if one not in known]


def _withholds_labels(split: str, raw: Raw, rows: Ints) -> bool:
    return split == "test" and len(rows) == raw.table.num_rows


def _report_damage(raw: Raw, refuses: bool) -> Iterator[Problem]:
    """Yield what cannot be read, by what mends it."""
    for remedy in dict.fromkeys(one.remedy for one in raw.damage):
        found = [one for one in raw.damage if one.remedy == remedy]
        first = found[0].sentence.partition("; ")[0]
        says = f"{raw.name}: {count(len(found), 'row')} cannot be read; the first: {first}"
        how = (f"{remedy}, or " * bool(remedy) + DROP) if refuses else DROPPED
        yield Problem(refuses, says, tuple(one.row for one in found[:SHOWN]), how)


def _bad(raw: Raw, what: str, rows: Ints, refuses: bool) -> Problem:
    says = f"{raw.name}: {count(len(rows), 'row')} {what}"
    remedy = DROP if refuses else DROPPED
    if raw.files:
        return Problem(refuses, f"{says}; the first: {raw.place(int(rows[0]))}", (), remedy)
    return Problem(refuses, says, tuple(int(row) for row in raw.numbers()[rows[:SHOWN]] + 1), remedy)


def _odd(splits: Mapping[str, Raw], columns: Columns, task: TaskName, config: Data) -> Iterator[Problem]:
    """Yield what is odd about the rows that are left."""
    if task == "single-label":
        yield from _labels([target_of(task, raw, columns).labels for raw in splits.values()], config)
    if task != "tokens":
        yield from _near(splits, columns)
        yield from _scripts(splits["train"], columns)


def _labels(labels: Sequence[Labels], config: Data) -> Iterator[Problem]:
    found = spellings(labels)
    for kept, counts in found.items():
        if len(counts) > 1:
            told = ", ".join(f"{name!r} {rows:,}" for name, rows in counts.items())
            folded = config.labels == "folded"
            how = (
                f"read as {kept!r}; --data.labels exact keeps them apart"
                if folded
                else "kept apart (data.labels exact)"
            )
            yield Problem(False, f"one label in {len(counts)} spellings: {told}", (), how)
    for sentence in like_missing(list(found)):
        says, _, how = sentence.partition(": ")
        yield Problem(False, says, (), how)
    common = sorted(found, key=lambda name: -sum(found[name].values()))
    alike = find_alike(common) if not any(one.order for one in labels) else {}
    if alike:
        told = ", ".join(f"{name!r} and {kept!r}" for name, kept in list(alike.items())[:SHOWN])
        yield Problem(False, f"labels that may be one: {told}", (), f"if they are, {rename_flag(alike)}")
    small = [f"{kept!r} {sum(counts.values())}" for kept, counts in found.items() if sum(counts.values()) < FEW]
    if small and len(small) < len(found):
        says = f"{count(len(small), 'class has', 'classes have')} fewer than {FEW} rows: {', '.join(small[:SHOWN])}"
        yield Problem(False, says, (), "add rows of them, or join them to others")


def _near(splits: Mapping[str, Raw], columns: Columns) -> Iterator[Problem]:
    """Yield texts that differ from another one in case, punctuation or space only; equal ones are told elsewhere."""
    loose = {name: _hashes(raw, columns, r"[\p{P}\p{S}\s]+") for name, raw in splits.items()}
    exact = {name: _hashes(raw, columns, r"^\s+|\s+$") for name, raw in splits.items()}
    for name, raw in splits.items():
        _, first, of = np.unique(loose[name], return_index=True, return_inverse=True)
        twins = np.flatnonzero(exact[name] != exact[name][first[of]])
        if len(twins):
            texts = count(len(twins), "text differs", "texts differ")
            says = f"{raw.name}: {texts} from an earlier one in case, punctuation or space alone"
            yield Problem(False, says, _rows(raw, twins), "they may stand on both sides of a division: remove them")
    for name in [name for name in splits if name != "train"]:
        leaked = np.flatnonzero(np.isin(loose["train"], loose[name]) & ~np.isin(exact["train"], exact[name]))
        if len(leaked):
            texts = count(len(leaked), "text of train stands", "texts of train stand")
            says = f"{texts} in {name} but for case, punctuation or space"
            yield Problem(False, says, _rows(splits["train"], leaked), "remove them from train: scores will flatter")


def _rows(raw: Raw, rows: Ints) -> tuple[int, ...]:
    return tuple(int(row) + 1 for row in raw.numbers()[rows[:SHOWN]])


def _hashes(raw: Raw, columns: Columns, gone: str) -> npt.NDArray[np.uint64]:
    """Return a number per text, equal where texts are equal without what ``gone`` matches, in lower case if loose."""
    found = []
    for piece in pieces(raw.column(columns.text)):
        texts = pc.replace_substring_regex(piece.cast("string"), gone, "")
        found.append(hash_texts(texts if gone.startswith("^") else pc.utf8_lower(texts)))
    return np.concatenate(found)


def _scripts(raw: Raw, columns: Columns) -> Iterator[Problem]:
    """Yield the texts that are written in other letters than most."""
    texts = raw.column(columns.text).slice(0, SAMPLED).cast("string").to_pylist()
    scripts = [_script(text) for text in texts]
    counts = Counter(script for script in scripts if script)
    if len(counts) > 1:
        main, _ = counts.most_common(1)[0]
        others = np.array([i for i, script in enumerate(scripts) if script and script != main])
        told = ", ".join(f"{script} {number:,}" for script, number in counts.most_common())
        yield Problem(
            False, f"{raw.name}: texts in several scripts: {told}", _rows(raw, others), "see that the model knows them"
        )


def _script(text: str) -> str | None:
    """Return the script of most letters of a text's beginning, as Unicode names it."""
    letters = [c for c in text[:300] if c.isalpha()]
    names = Counter(unicodedata.name(c, "?").split()[0].replace("CJK", "HAN").capitalize() for c in letters)
    return names.most_common(1)[0][0] if names else None


def _describe_repeats(shared: Mapping[tuple[str, str], int], repeated: int, conflicting: int) -> Iterator[Problem]:
    for (one, other), texts in shared.items():
        if texts:
            how = "dropped from train (data.drop_shared)" if one == "train" else "kept: remove them from one"
            yield Problem(False, f"{count(texts, 'text stands', 'texts stand')} in both {one} and {other}", (), how)
    if repeated:
        says = f"{count(repeated, 'row of train repeats', 'rows of train repeat')} an earlier text"
        yield Problem(False, says, (), "kept, and always on one side")
    if conflicting:
        says = f"{count(conflicting, 'text of train carries', 'texts of train carry')} more than one label"
        yield Problem(False, says, (), "correct one of them")
