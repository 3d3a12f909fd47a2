"""Lines that begin with their labels, ``__label__positive A fine film``: fastText's format, and flair's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from toughen.data.read.diagnose import refuse_bad_utf8
from toughen.data.read.raw import Damage, Raw, find_intact_rows, table_of
from toughen.errors import InputError

PREFIX = "__label__"
_LABELS = re.compile(rf"\s*((?:{PREFIX}\S+\s+|{PREFIX}\S+$)*)")


def are_labelled_lines(path: Path) -> bool:
    """Tell whether the first line that is not empty begins with a label."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return next((line.lstrip().startswith(PREFIX) for line in file if line.strip()), False)


def read_labelled_lines(path: Path, name: str, drop: bool) -> Raw:
    """Read a line as a text and its label; where a line has several, each as a list of labels. Empty lines are none.

    Args:
        path: the file, UTF-8; a line ends at LF, CRLF or CR.
        name: what the user calls it.
        drop: whether lines without a label are left out, and named in ``Raw.damage``.

    Raises:
        InputError: if the file does not begin with a label, or (unless ``drop``) a line has none.
    """
    refuse_bad_utf8(path, name)
    if not are_labelled_lines(path):
        raise InputError(
            f"{name} is text without labels: training needs a table with a text and a label per row (.csv, .jsonl, "
            f"...), or lines that begin with their label ({PREFIX}positive A fine film)."
        )
    texts, labels, damage = [], [], []
    for row, (found, text) in enumerate(_lines(path), 1):
        if found:
            labels.append(found)
            texts.append(text)
            continue
        damage.append(Damage(row, f"{name}, row {row}: the line begins with no {PREFIX}; add its label or remove it."))
        if not drop:
            raise InputError(damage[0].sentence)
    several = any(len(found) > 1 for found in labels)
    columns = {"text": texts, "label": labels if several else [found[0] for found in labels]}
    rows = find_intact_rows(len(texts), damage)
    return table_of(columns, name, typed=several, rows=rows, damage=damage)


def _lines(path: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the labels and the text of each line."""
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if line.strip():
                found = _LABELS.match(line)
                assert found is not None, "the pattern matches nothing, too"
                yield [label.removeprefix(PREFIX) for label in found[1].split()], line[found.end() :].strip()
