"""Find out what a source is (file, folder, hub id, object in memory) and read its splits."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from toughen.data.read.in_memory import SPLITS, WHOLE, How, read_mapping, read_memory, split_of
from toughen.data.read.plain import inner, kind_of, plain
from toughen.data.read.printed import with_lists
from toughen.data.read.raw import Raw, quote_names, table_of
from toughen.data.read.readers import READERS, read_file, read_lines
from toughen.errors import InputError
from toughen.machine.hub import hub_answers

SAVED = ("dataset_dict.json", "state.json")
UNLABELLED_FOLDERS = SPLITS["unlabelled"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.-]+)?")
FILE_LIKE = re.compile(r"\.(csv|tsv|jsonl?|ndjson|parquet|txt|xlsx?|arrow|feather|pkl|xml|gz|zip|bz2|xz|tar)$", re.I)


def read_source(
    source: object, *, lines: bool = False, encoding: str | None = None, drop: bool = False
) -> dict[str, Raw]:
    """Return the splits of a source by name; undivided data under ``WHOLE``.

    Args:
        source: hub id (``imdb``, ``glue:sst2``), file, folder, or an object in memory.
        lines: whether a ``.txt`` file with one text per line will do (texts without labels).
        encoding: of files; None = UTF-8.
        drop: whether rows of files that are damaged are left out, and named in ``Raw.damage``.

    Raises:
        InputError: in one sentence, whatever is wrong with the source.
    """
    raws = _read_tables(source, lines, How(encoding=encoding, drop=drop))
    return {split: with_lists(raw) for split, raw in raws.items()}


def _read_tables(source: object, lines: bool, how: How) -> dict[str, Raw]:
    if not isinstance(source, str | Path):
        return read_memory(source, how)
    text = str(source).strip()
    if not text:
        raise InputError("No data given: name a hub id, a file or a folder with --data.")
    path = Path(text).expanduser()
    if path.is_dir():
        return _read_folder(path, how)
    if path.exists() or _looks_local(text, path):
        if lines and kind_of(path) == ".txt" and path.is_file() and path.stat().st_size:
            return {WHOLE: read_lines(plain(path, text, how["encoding"]), text)}
        return {WHOLE: _read_existing(path, text, how)}
    return _read_hub(text)


def _looks_local(text: str, path: Path) -> bool:
    """Tell a path that does not exist from a hub id, so that a typo is called missing and not looked up."""
    in_known_folder = len(path.parts) > 1 and path.parent.is_dir()
    return not HUB_ID.fullmatch(text) or bool(FILE_LIKE.search(text)) or in_known_folder


def _read_existing(path: Path, name: str, how: How) -> Raw:
    if not path.exists():
        raise InputError(f"The file or folder {name} is missing; check the path.")
    return read_file(path, name, **how)


# ---------------------------------------------------------------- folders


def _read_folder(folder: Path, how: How) -> dict[str, Raw]:
    if any((folder / name).is_file() for name in SAVED):
        return _read_saved(folder, how)
    splits = _split_files(folder, how) or _split_folders(folder, how["encoding"])
    if not splits:
        raise InputError(
            f"The folder {folder} holds no data: it needs train{{{','.join(READERS)}}} (and validation, test), "
            "or train/<label>/*.txt; it is missing them."
        )
    return splits


def _read_saved(folder: Path, how: How) -> dict[str, Raw]:
    """Read what the `datasets` library's ``save_to_disk`` wrote."""
    import datasets

    try:
        found: Any = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, pa.ArrowException, json.JSONDecodeError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(f"The folder {folder} looks like a saved dataset, but cannot be read: {reason}.") from error
    return read_memory(found, how)


def _split_files(folder: Path, how: How) -> dict[str, Raw]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        split = split_of(inner(path).stem) if path.is_file() and kind_of(path) in READERS else None
        if split in found:
            raise InputError(f"Both {found[split]} and {path} could be the {split} split; remove or rename one.")
        if split:
            found[split] = path
    return _read_all(found, how)


def _read_all(files: dict[str, Path], how: How) -> dict[str, Raw]:
    """Read every file, and only then refuse those that cannot be read."""
    splits: dict[str, Raw] = {}
    faults: list[InputError] = []
    for split, path in files.items():
        try:
            splits[split] = read_file(path, **how)
        except InputError as error:
            faults.append(error)
    if faults:
        raise InputError(" ".join(str(fault) for fault in faults)) from faults[0].__cause__
    return splits


def _split_folders(folder: Path, encoding: str | None) -> dict[str, Raw]:
    """Read the aclImdb layout: ``split/label/*.txt``, and ``train/unsup/*.txt`` without labels."""
    splits: dict[str, Raw] = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        split = split_of(part.name)
        labels = [path for path in sorted(part.iterdir()) if path.is_dir()] if split else []
        if split and (labelled := [path for path in labels if path.name not in UNLABELLED_FOLDERS]):
            splits[split] = _read_texts(labelled, f"the folder {part}", encoding)
        for path in labels:
            if path.name in UNLABELLED_FOLDERS:
                splits["unlabelled"] = _read_texts([path], f"the folder {path}", encoding)
    return splits


def _read_texts(folders: Sequence[Path], name: str, encoding: str | None) -> Raw:
    files = [(path, folder.name) for folder in folders for path in sorted(folder.glob("*.txt"))]
    columns = {"text": [_read_text(path, encoding) for path, _ in files], "label": [label for _, label in files]}
    return table_of(columns, name, files=[str(path) for path, _ in files])


def _read_text(path: Path, encoding: str | None) -> str:
    try:
        return path.read_bytes().decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"not in the encoding {encoding} (--data.encoding)" if encoding else "invalid UTF-8"
        raise InputError(f"The file {path} is {what}; save it as UTF-8.") from error


# ---------------------------------------------------------------- the hub


def _read_hub(name: str) -> dict[str, Raw]:
    import datasets

    repository, _, configuration = name.partition(":")
    try:
        with _cache_if_unreachable(repository):
            data = datasets.load_dataset(repository, configuration or None)
    except (ConnectionError, FileNotFoundError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(_hub_fault(repository, error)) from error
    splits = read_mapping(data, f"of {name}", How())
    if not splits:
        raise InputError(f"The dataset {name} has no train, validation or test split, only {quote_names(list(data))}.")
    return splits


@contextmanager
def _cache_if_unreachable(repository: str) -> Iterator[None]:
    """Ask the hub once; if nobody answers, let `datasets` look in its cache instead of retrying for half a minute."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    if not before and not hub_answers("dataset", repository):
        datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
        if datasets.config.HF_HUB_OFFLINE and not before:
            print(f"The hub is unreachable: {repository} was read from the local cache.", file=sys.stderr)
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _hub_fault(repository: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    if isinstance(error, ConnectionError):
        return (
            f"The dataset {repository!r} is no local file or folder and the hub is unreachable: check the name and the "
            "network, set HF_ENDPOINT to a mirror, or give a local file."
        )
    if isinstance(error, FileNotFoundError):
        return f"There is no dataset {repository!r} on the hub, nor such a file or folder here; check the name."
    if "Config name is missing" in str(error) or "BuilderConfig" in str(error):
        return f"The dataset {repository!r} has several configurations: write {repository}:NAME ({reason})."
    return f"The dataset {repository!r} cannot be read from the hub: {reason}."
