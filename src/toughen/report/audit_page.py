"""The report of an audit: training rows that are worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from toughen.errors import InputError, count
from toughen.files import read_json
from toughen.report.names import source_label
from toughen.report.page import Note, Page, Section, Table
from toughen.report.sentences import number, percent

SHOWN = 200
"""Rows of a table on the page; the files have all."""
_LONGEST = 300
Row = Mapping[str, Any]


def audit_page(path: Path) -> Page:
    """Tell what an audit found; path is its audit.json, beside which its tables stand."""
    content = read_json(path)
    relabel, drop, outliers = (_read(path.parent / f"{name}.csv") for name in ("relabel", "drop", "outliers"))
    facts = [
        ("run", Path(content["run"]).name),
        ("data", source_label(content["sources"]["data"])),
        ("training rows", number(content["n"])),
        ("labels", ", ".join(content["label_names"])),
    ]
    sections = [
        Section("Labels that are likely wrong", list(_labels(relabel))),
        Section("Classes", [_classes(content), *_overlap(content)]),
        Section("Copies", list(_copies(drop))),
        Section("Unlike all others", list(_outliers(outliers))),
    ]
    return Page("audit", path.resolve().parent.name, list(_summary(content)), facts, sections)


def _summary(content: Row) -> Iterator[str]:
    labels, copies = content["labels"], content["copies"]
    yield (
        f"{count(labels['likely_wrong'], 'label')} of {content['n']:,} are likely wrong. The models answer "
        f"{percent(labels['out_of_fold_accuracy'])} of the rows as they are labelled; where they err themselves, rows "
        "are named that are right."
    )
    yield (
        f"{count(copies['rows'], 'row')} in {count(copies['groups'], 'group')} are the same text or nearly so; "
        f"{count(copies['contradicting_groups'], 'group')} of these carry several labels."
    )
    if content["overlap"]:
        most = content["overlap"][0]
        one, other = most["labels"]
        share = percent(most["share"])
        yield f"“{one}” and “{other}” are mixed up most: about {most['rows']:,.0f} rows, {share} of both."
    yield "Next: fill in the column label of relabel.csv and train with --data.relabel; drop.csv goes to --data.drop."


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path} is missing, which the audit wrote; run toughen audit again.")
    rows: list[dict[str, Any]] = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    return rows


def _text(row: Row) -> str:
    text = " | ".join(row[name] for name in ("text", "text_pair") if name in row)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Row], cells: Sequence[str]) -> Iterator[Table | Note]:
    if not rows:
        return
    shown = f"{caption}, the first {SHOWN}" if len(rows) > SHOWN else caption
    yield Table(shown, tuple(heads), [(*(str(row[name]) for name in cells), _text(row)) for row in rows[:SHOWN]])


def _labels(rows: Sequence[Row]) -> Iterator[Table | Note]:
    heads = ("row", "labelled", "suggested", "probability of the label", "of the suggestion", "reason", "text")
    cells = ("row", "given", "suggested", "probability_given", "probability_suggested", "reason")
    yield from _table("By the probability of the label, the least first", heads, rows, cells)


def _classes(content: Row) -> Table:
    rows = [
        (
            entry["label"],
            number(entry["rows"]),
            number(entry["likely_wrong"]),
            percent(entry["estimated_share"]),
            number(entry["threshold"], 3),
        )
        for entry in content["labels"]["classes"]
        if entry["rows"]
    ]
    return Table("Classes", ("label", "rows", "likely wrong", "estimated share of wrong labels", "threshold"), rows)


def _overlap(content: Row) -> Iterator[Table]:
    rows = [
        (" and ".join(entry["labels"]), number(entry["rows"], 0), percent(entry["share"]))
        for entry in content["overlap"][:20]
    ]
    if rows:
        yield Table("Classes that overlap", ("classes", "estimated rows labelled as the other", "share of both"), rows)


def _copies(rows: Sequence[Row]) -> Iterator[Table | Note]:
    yield from _table(
        "Later copies with the same label", ("row", "copy of row", "label", "text"), rows, ("row", "copy_of", "label")
    )


def _outliers(rows: Sequence[Row]) -> Iterator[Table | Note]:
    heads = ("row", "label", "distance (z-score)", "text")
    yield from _table(
        "Far from their nearest neighbours, the farthest first", heads, rows, ("row", "label", "distance")
    )
